//! The facts of a list in its page: title, owner, count, alerts (field notes, 4.4).

use serde::Deserialize;

use super::item::LinkedText;
use crate::json::lenient::{Obj, Seq, Text};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub title: Option<String>,
    pub owner: Option<String>,
    /// Songs in the list, unavailable ones included.
    pub count: Option<u32>,
}

/// An error that came as HTTP 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert(pub String);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    pub sidebar: Obj<Sidebar>,
    pub header: Obj<Headers>,
    pub metadata: Obj<Metadata>,
    pub microformat: Obj<Microformat>,
    pub alerts: Seq<Obj<AlertItem>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Sidebar {
    playlist_sidebar_renderer: Obj<SidebarItems>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SidebarItems {
    items: Seq<Obj<SidebarItem>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SidebarItem {
    playlist_sidebar_primary_info_renderer: Obj<Primary>,
    playlist_sidebar_secondary_info_renderer: Obj<Secondary>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Primary {
    title: Text,
    stats: Seq<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Secondary {
    video_owner: Obj<Owner>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Owner {
    video_owner_renderer: Obj<Titled>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Titled {
    title: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Headers {
    playlist_header_renderer: Obj<PlaylistHeader>,
    page_header_renderer: Obj<PageHeader>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PlaylistHeader {
    title: Text,
    num_videos_text: Text,
    owner_text: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageHeader {
    page_title: Text,
    content: Obj<PageHeaderContent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageHeaderContent {
    page_header_view_model: Obj<PageHeaderViewModel>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PageHeaderViewModel {
    metadata: Obj<HeaderMetadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HeaderMetadata {
    content_metadata_view_model: Obj<Rows>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rows {
    metadata_rows: Seq<Obj<Row>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Row {
    metadata_parts: Seq<Obj<Part>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Part {
    text: LinkedText,
    avatar_stack: Obj<AvatarStack>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AvatarStack {
    avatar_stack_view_model: Obj<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    text: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    playlist_metadata_renderer: Obj<Titled>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Microformat {
    microformat_data_renderer: Obj<MicroformatTexts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MicroformatTexts {
    title: Text,
    url_canonical: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AlertItem {
    alert_renderer: Obj<AlertText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AlertText {
    r#type: Text,
    text: Text,
}

impl Alert {
    /// Only alerts of type ERROR; the others are notices.
    pub(super) fn of(head: &Head) -> Option<Self> {
        head.alerts
            .iter()
            .filter_map(|alert| alert.as_ref()?.alert_renderer.as_ref())
            .find(|alert| alert.r#type.0 == "ERROR")
            .map(|alert| Self(alert.text.0.clone()))
    }
}

impl Header {
    pub(super) fn of(head: &Head) -> Self {
        let sidebar = || {
            let items = head
                .sidebar
                .as_ref()
                .and_then(|it| it.playlist_sidebar_renderer.as_ref());
            items
                .into_iter()
                .flat_map(|it| it.items.iter())
                .filter_map(|it| it.as_ref())
        };
        let primary =
            || sidebar().find_map(|it| it.playlist_sidebar_primary_info_renderer.as_ref());
        let secondary =
            sidebar().find_map(|it| it.playlist_sidebar_secondary_info_renderer.as_ref());
        let old = head
            .header
            .as_ref()
            .and_then(|it| it.playlist_header_renderer.as_ref());
        let new = head
            .header
            .as_ref()
            .and_then(|it| it.page_header_renderer.as_ref());
        let metadata = head
            .metadata
            .as_ref()
            .and_then(|it| it.playlist_metadata_renderer.as_ref());
        let microformat = head
            .microformat
            .as_ref()
            .and_then(|it| it.microformat_data_renderer.as_ref());
        let owner = secondary.and_then(|it| {
            it.video_owner
                .as_ref()?
                .video_owner_renderer
                .as_ref()?
                .title
                .get()
        });
        Self {
            title: primary()
                .and_then(|it| it.title.unchanged())
                .or_else(|| old.and_then(|it| it.title.unchanged()))
                .or_else(|| new.and_then(|it| it.page_title.unchanged()))
                .or_else(|| metadata.and_then(|it| it.title.unchanged()))
                .or_else(|| microformat.and_then(|it| it.title.unchanged())),
            owner: owner
                .or_else(|| old.and_then(|it| it.owner_text.get()))
                .or_else(|| new.and_then(owner_of_rows))
                .map(|owner| owner.strip_prefix("by ").unwrap_or(owner).trim().to_owned()),
            count: primary()
                .and_then(|it| it.stats.first().and_then(|stat| count(&stat.0)))
                .or_else(|| old.and_then(|it| count(&it.num_videos_text.0)))
                .or_else(|| {
                    new.and_then(|new| {
                        parts(new).find_map(|part| count_of_videos(&part.text.text.0))
                    })
                }),
        }
    }
}

fn parts(header: &PageHeader) -> impl Iterator<Item = &Part> {
    let model = header
        .content
        .as_ref()
        .and_then(|it| it.page_header_view_model.as_ref());
    let rows = model
        .and_then(|it| it.metadata.as_ref())
        .and_then(|it| it.content_metadata_view_model.as_ref());
    rows.into_iter()
        .flat_map(|rows| rows.metadata_rows.iter())
        .filter_map(|row| row.as_ref())
        .flat_map(|row| row.metadata_parts.iter())
        .filter_map(|part| part.as_ref())
}

/// The owner among a page header's rows: the one with a picture, or the text that leads to a channel or says "by".
fn owner_of_rows(header: &PageHeader) -> Option<&str> {
    parts(header).find_map(|part| {
        let pictured = part
            .avatar_stack
            .as_ref()
            .and_then(|it| it.avatar_stack_view_model.as_ref());
        let named = |text: &&str| part.text.linked || text.starts_with("by ");
        pictured
            .and_then(|it| it.text.get())
            .or_else(|| part.text.text.get().filter(named))
    })
}

/// "4,999 videos" → 4999, "No videos" → 0.
fn count(text: &str) -> Option<u32> {
    let text = text.trim();
    if text.to_lowercase().starts_with("no ") {
        return Some(0);
    }
    let digits: String = text
        .chars()
        .take_while(|c| c.is_ascii_digit() || matches!(c, ',' | '.' | ' ' | '\u{a0}'))
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

fn count_of_videos(text: &str) -> Option<u32> {
    let lower = text.to_lowercase();
    ["video", "song", "track"]
        .iter()
        .any(|word| lower.contains(word))
        .then(|| count(text))
        .flatten()
}

/// The place where an album's page names its list.
pub(super) fn canonical_url(head: &Head) -> Option<String> {
    head.microformat
        .as_ref()?
        .microformat_data_renderer
        .as_ref()?
        .url_canonical
        .owned()
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_read_as_the_site_writes_them() {
        assert_eq!(count("49 videos"), Some(49));
        assert_eq!(count("4,999 videos"), Some(4999));
        assert_eq!(count("No videos"), Some(0));
        assert_eq!(count("videos"), None);
    }
}
