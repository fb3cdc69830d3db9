//! Failures in yt-dlp's words.
//!
//! Owns the line `ERROR: [site] id: …`. Programs look for yt-dlp's own sentences in it, so the common ones come first;
//! the sentence of KMDS follows, which says what to do. Pure.

use kmds_extract::{Kind, Link, Site};

use super::fields::extractor;
use super::song::Trouble;

/// The line for a song of a list, or for a link that leads to one.
pub fn of_song(site: Site, id: &str, trouble: &Trouble) -> String {
    format!("[{}] {id}: {}", extractor(site).0, words(trouble))
}

/// The line for a link.
pub fn of_link(link: &str, trouble: &Trouble) -> String {
    match Link::parse(link) {
        _ if trouble.kind == Kind::UnsupportedLink => {
            format!("Unsupported URL: {link} ({})", trouble.sentence)
        }
        Ok(parsed) => of_song(parsed.site(), id(&parsed.canonical()), trouble),
        Err(_) => words(trouble),
    }
}

/// The id in a link's one form, as far as it has one.
fn id(link: &str) -> &str {
    let behind = |mark: &str| link.split_once(mark).map(|(_, rest)| rest);
    let id = behind("v=")
        .or_else(|| behind("list="))
        .or_else(|| link.rsplit('/').next());
    id.unwrap_or(link)
        .split(['&', '?', '#'])
        .next()
        .unwrap_or(link)
}

fn words(trouble: &Trouble) -> String {
    let theirs = match trouble.kind {
        Kind::NotFound | Kind::Unavailable => "Video unavailable",
        Kind::Private => "Private video",
        Kind::LoginRequired => "Login required",
        Kind::AgeRestricted => "Sign in to confirm your age",
        Kind::MembersOnly => "Join this channel to get access to members-only content",
        Kind::GeoBlocked => "The uploader has not made this video available in your country",
        Kind::DrmOnly => "This video is DRM protected",
        Kind::BotCheck => "Sign in to confirm you’re not a bot",
        Kind::RateLimited => "HTTP Error 429: Too Many Requests",
        _ => "",
    };
    match theirs {
        "" => trouble.sentence.clone(),
        theirs => format!("{theirs}. {}", trouble.sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_begins_as_programs_know_it_and_ends_with_what_to_do() {
        let private = Trouble::new(Kind::Private, "this is private; ask its owner");
        assert_eq!(
            of_link("https://youtu.be/dQw4w9WgXcQ?t=1", &private),
            "[youtube] dQw4w9WgXcQ: Private video. this is private; ask its owner"
        );
        let unknown = Trouble::new(Kind::UnsupportedLink, "not a link we know");
        assert_eq!(
            of_link("https://example.org/x", &unknown),
            "Unsupported URL: https://example.org/x (not a link we know)"
        );
        assert!(of_link("ytsearch1:a", &private).starts_with("Private video"));
    }
}
