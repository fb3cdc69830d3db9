//! The commented example file: every setting with its sentence, variable and default.
//!
//! Owns the order of the tables and how a default is written in TOML.

use super::settings::SETTINGS;
use super::typed::Setting;
use super::value::Shape;

/// The commented example file: every setting with its sentence, variable and default. `kmds.example.toml` is this text.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of KMDS. Every line that is commented out shows the default; an empty one means none.\n\
         # Each can be given as an environment variable too, which wins over this file; flags win over both.\n",
    );
    let mut section = "";
    let mut rows: Vec<&Setting> = SETTINGS.iter().collect();
    rows.sort_by_key(|setting| {
        let table = table_of(setting.key);
        SETTINGS
            .iter()
            .position(|other| table_of(other.key) == table)
    });
    for setting in rows {
        let table = table_of(setting.key);
        if table != section {
            section = table;
            text.push_str(&format!("\n[{section}]\n"));
        }
        let name = setting.key.rsplit('.').next().unwrap_or(setting.key);
        let per_site = if setting.per_site {
            " Also per site, like youtube."
        } else {
            ""
        };
        let own = if setting.per_site {
            format!("{}.", setting.key)
        } else {
            String::new()
        };
        let own = own.trim_end_matches('.');
        text.push_str(&format!(
            "# {}{per_site}{own} ({})\n",
            setting.says,
            setting.variable()
        ));
        text.push_str(&format!("# {name} = {}\n", toml_value(setting)));
    }
    text
}

fn table_of(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(table, _)| table)
}

/// The default as it is written in the file.
fn toml_value(setting: &Setting) -> String {
    match setting.shape {
        Shape::Bool | Shape::Number(_) if !setting.default.is_empty() => setting.default.to_owned(),
        Shape::Number(_) => "1000".to_owned(),
        Shape::List | Shape::Arguments | Shape::Names | Shape::Networks | Shape::Words(_) => {
            let quoted: Vec<String> = setting
                .default
                .split(',')
                .filter(|word| !word.is_empty())
                .map(|word| format!("\"{word}\""))
                .collect();
            format!("[{}]", quoted.join(", "))
        }
        _ => format!("\"{}\"", setting.default),
    }
}
