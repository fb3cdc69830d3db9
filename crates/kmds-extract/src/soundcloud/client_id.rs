//! Finds the client id in SoundCloud's home page and scripts: text in, id out (field notes, 3).
//!
//! It requests no page and keeps no id.

use std::collections::BTreeSet;

use crate::json;
use crate::recipes::is_client_id;

/// `data.id` of the `apiClient` element of `window.__sc_hydration`.
pub fn of_home_page(page: &str) -> Option<String> {
    let after = page.split_once("__sc_hydration")?.1;
    let list = after.get(after.find('[')?..)?;
    let elements = json::first(list)?;
    let client = elements
        .as_array()?
        .iter()
        .find(|element| element["hydratable"] == "apiClient")?;
    client["data"]["id"]
        .as_str()
        .filter(|id| is_client_id(id))
        .map(str::to_owned)
}

/// URLs of SoundCloud's own scripts that the page names, the last first.
pub fn own_scripts(page: &str) -> impl Iterator<Item = String> + use<'_> {
    const FOLDER: &str = "https://a-v2.sndcdn.com/assets/";
    let mut seen = BTreeSet::new();
    page.rmatch_indices(FOLDER).filter_map(move |(at, _)| {
        let name = page.get(at + FOLDER.len()..)?.split(['"', '\'']).next()?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = name.ends_with(".js") && name.bytes().all(legal) && seen.insert(name);
        fits.then(|| format!("{FOLDER}{name}"))
    })
}

/// `client_id:"…"` of a script.
pub fn of_script(script: &str) -> Option<String> {
    script.match_indices("client_id").find_map(|(at, mark)| {
        let rest = script
            .get(at + mark.len()..)?
            .trim_start_matches(['"', ' ']);
        let id = rest
            .strip_prefix([':', '='])?
            .trim_start()
            .strip_prefix(['"', '\''])?
            .split(['"', '\''])
            .next()?;
        is_client_id(id).then(|| id.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF";

    #[test]
    fn the_home_page_tells_the_id_whatever_follows_the_list() {
        let page = format!(
            r#"<script>window.__sc_hydration = [{{"hydratable":"geoip","data":{{}}}},{{"hydratable":"apiClient","data":{{"id":"{ID}","isExpiring":false}}}}];</script><p>]"#
        );
        assert_eq!(of_home_page(&page).as_deref(), Some(ID));
        assert_eq!(of_home_page(&page.replace("apiClient", "other")), None);
        assert_eq!(of_home_page("window.__sc_hydration = [broken"), None);
        assert_eq!(of_home_page(&page.replace(ID, "no id & more")), None);
    }

    #[test]
    fn own_scripts_are_named_from_the_last() {
        let page = r#"<script src="https://a-v2.sndcdn.com/assets/1-a.js"></script>
            <script crossorigin src="https://a-v2.sndcdn.com/assets/53-b.js"></script>
            <script src="https://evil.example/assets/99-c.js"></script><link href="https://a-v2.sndcdn.com/assets/x.css">"#;
        let named = |page: &str| own_scripts(page).collect::<Vec<_>>();
        let own = [
            "https://a-v2.sndcdn.com/assets/53-b.js",
            "https://a-v2.sndcdn.com/assets/1-a.js",
        ];
        assert_eq!(named(&page.repeat(2)), own);
        assert_eq!(
            named("<script src=\"https://a-v2.sndcdn.com/assets/../x.js\">"),
            [""; 0]
        );
    }

    #[test]
    fn a_script_tells_the_id_past_look_alikes() {
        let script = format!(
            r#"x.client_id=e,{{client_id:"".concat(y),client_id:"{ID}",client_is_expiring:!1}}"#
        );
        assert_eq!(of_script(&script).as_deref(), Some(ID));
        assert_eq!(of_script("client_id:"), None);
    }
}
