//! Links as they are pasted.

use kmds_extract::{Link, LinkError};

/// A link that is taken has one canonical form, which is read as the same link; space around it changes nothing.
#[test]
fn fuzz_links() {
    kmds_fuzz::target("links", |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return;
        };
        pasted(text);
        text.lines().take(100).for_each(pasted);
    });
}

fn pasted(text: &str) {
    let parsed = Link::parse(text);
    let spaced = Link::parse(&format!(" {text}\r\n"));
    assert!(parsed == spaced || spaced == Err(LinkError::TooLong));
    match parsed {
        Ok(link) => {
            stands(&link);
            stands(&link.whole_list());
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(
                sentence.len() > 20 && !sentence.contains(char::is_control),
                "{sentence}"
            );
        }
    }
}

fn stands(link: &Link) {
    let canonical = link.canonical();
    assert!(canonical.starts_with("https://"), "{canonical}");
    assert!(
        canonical.bytes().all(|byte| byte.is_ascii_graphic()),
        "{canonical}"
    );
    let again = Link::parse(&canonical);
    assert_eq!(again.as_ref(), Ok(link), "{canonical}");
    assert_eq!(again.map(|again| again.canonical()), Ok(canonical));
}
