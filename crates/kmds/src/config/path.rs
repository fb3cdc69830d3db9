//! Paths as operators write them.
//!
//! Owns what `~`, a relative path and a variable in a path mean, in settings and in arguments that no shell has
//! expanded. It does not read the drive.

use std::path::{Path, PathBuf};

use super::folders;

/// A path of this machine, made absolute: `~` and `~/…` are the home folder, and a relative path begins at the working
/// folder.
/// # Errors
/// A sentence: the path names another user's home or a variable, or no home folder is known.
pub fn whole(text: &str) -> Result<String, String> {
    whole_at(text, folders::home().as_deref())
}

fn whole_at(text: &str, home: Option<&Path>) -> Result<String, String> {
    let path = at_home(text, home)?;
    let path = std::path::absolute(&path).map_err(|error| format!("use a path ({error})"))?;
    path.into_os_string().into_string().map_err(|_| {
        "its first folder has a name that is not UTF-8; write the whole path".to_owned()
    })
}

/// An argument like `--output=~/Music`, in which a shell does not replace the `~`.
/// # Errors
/// As [`whole`].
pub fn given(text: std::ffi::OsString) -> Result<PathBuf, String> {
    match text.to_str() {
        Some(text) if text.starts_with('~') => at_home(text, folders::home().as_deref()),
        _ => Ok(text.into()),
    }
}

fn at_home(text: &str, home: Option<&Path>) -> Result<PathBuf, String> {
    if has_variable(text) {
        return Err("variables are not replaced in a path; write the whole path".to_owned());
    }
    match text.strip_prefix('~') {
        None => Ok(PathBuf::from(text)),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = home.ok_or("no home folder is known (HOME), so `~` has no meaning; write the whole path")?;
            Ok(home.join(rest.trim_start_matches('/')))
        }
        Some(_) => {
            Err("`~` is this user's own home folder and nothing else; write another user's out (a folder whose \
                        name begins so: ./~name)"
                .to_owned())
        }
    }
}

/// Whether a path holds `$HOME` or `${HOME}`, which only a shell would replace.
pub fn has_variable(text: &str) -> bool {
    text.split('/').any(|part| {
        let name = part.strip_prefix('$').unwrap_or_default();
        name.starts_with(|c: char| c == '{' || c == '_' || c.is_ascii_alphabetic())
    }) || text.contains("${")
}

/// One argument for another program: a path may be at its beginning, or after `=` or `:`.
/// # Errors
/// As [`whole`].
pub fn argument(word: &str) -> Result<String, String> {
    let at = ["=~/", ":~/"]
        .iter()
        .filter_map(|mark| word.find(mark))
        .min()
        .map(|at| at + 1);
    match at {
        _ if word == "~" || word.starts_with("~/") => whole(word),
        Some(at) => Ok(format!("{}{}", &word[..at], whole(&word[at..])?)),
        None => Ok(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_folder_and_never_a_folder_of_that_name() {
        let home = Some(Path::new("/srv/ada"));
        for (text, want) in [
            ("~", "/srv/ada"),
            ("~/", "/srv/ada"),
            ("~/music/kmds", "/srv/ada/music/kmds"),
            ("~//music", "/srv/ada/music"),
            ("/srv/~", "/srv/~"),
            ("/srv/back~up", "/srv/back~up"),
            ("/mnt/c$/music", "/mnt/c$/music"),
        ] {
            assert_eq!(
                whole_at(text, home)
                    .map(|path| path.trim_end_matches('/').to_owned())
                    .as_deref(),
                Ok(want),
                "{text}"
            );
        }
        for text in [
            "~root/music",
            "~music",
            "$HOME/music",
            "${HOME}/music",
            "/srv/$USER",
            "/srv/a${B}",
            "$XDG_MUSIC_DIR",
        ] {
            assert!(whole_at(text, home).is_err(), "{text}");
        }
        assert!(
            whole_at("~/music", None)
                .expect_err("no home")
                .contains("HOME")
        );
    }

    #[test]
    fn a_relative_path_is_made_whole_from_the_working_folder() {
        let here = std::env::current_dir().expect("a working folder");
        assert_eq!(
            whole_at("music", None),
            Ok(here.join("music").display().to_string())
        );
        assert_eq!(
            whole_at("./~", None),
            Ok(here.join("~").display().to_string())
        );
    }

    #[test]
    fn an_argument_is_left_alone_unless_a_path_of_ours_stands_in_it() {
        for word in [
            "--js-runtimes",
            "node:/usr/bin/node",
            "~5",
            "a~/b",
            "--user=~x",
            "%(title)s",
        ] {
            assert_eq!(argument(word).as_deref(), Ok(word));
        }
        let home = folders::home().unwrap_or_default().display().to_string();
        if !home.is_empty() {
            assert_eq!(
                argument("node:~/bin/node"),
                Ok(format!("node:{home}/bin/node"))
            );
            assert_eq!(
                argument("--cookies=~/c.txt"),
                Ok(format!("--cookies={home}/c.txt"))
            );
        }
    }
}
