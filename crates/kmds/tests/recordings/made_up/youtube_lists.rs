//! Lists (YouTube notes 4.1 to 4.4).

use kmds_lab::Site;
use serde_json::{Value, json};

use super::youtube::post;
use super::{Audio, LeadsTo, Recordings, Size, WantedSong, list, numbered, refused, song};

/// Itag 140, for songs of lists (notes 4.3).
const BYTES_A_SECOND: f64 = 129_700.0 / 8.0;
const BROWSE: &str = "https://www.youtube.com/youtubei/v1/browse?prettyPrint=false";
const BROWSE_HEADER: &str = "https://www.youtube.com/youtubei/v1/browse?$fields=sidebar,header,microformat,alerts&prettyPrint=false";

/// A list as it is recorded: header alone, the first page with everything, later pages by their tokens.
struct MadeList {
    id: &'static str,
    title: &'static str,
    owner: Option<&'static str>,
    pages: Vec<Vec<Value>>,
}

impl MadeList {
    fn header(&self) -> Value {
        let count: usize = self.pages.iter().map(Vec::len).sum();
        let stats = if count == 0 {
            json!([{"text": "No videos"}])
        } else {
            json!([{"text": count.to_string()}, {"text": " videos"}])
        };
        let mut items = vec![json!({"playlistSidebarPrimaryInfoRenderer": {
            "title": {"runs": [{"text": self.title}]}, "stats": [{"runs": stats}, {"simpleText": "3,202 views"}]}})];
        items.extend(self.owner.map(|owner| {
            json!({"playlistSidebarSecondaryInfoRenderer": {"videoOwner": {"videoOwnerRenderer": {"title": {"runs": [{"text": owner}]}}}}})
        }));
        json!({"sidebar": {"playlistSidebarRenderer": {"items": items}},
            "microformat": {"microformatDataRenderer": {"title": self.title}}})
    }

    fn token(&self, page: usize) -> String {
        format!("4qmF{}-{page}", self.id)
    }

    fn page(&self, number: usize, more: impl Fn(&str) -> Value) -> Vec<Value> {
        let mut items = self.pages.get(number).cloned().unwrap_or_default();
        if number + 1 < self.pages.len() {
            items.push(more(&self.token(number + 1)));
        }
        items
    }

    fn write_header(&self, made: &mut Recordings) {
        let asked = json!({"browseId": format!("VL{}", self.id), "params": "wgYCCAA%3D"});
        post(made, BROWSE_HEADER, "WEB", asked, &self.header());
    }

    fn write_later_pages(&self, made: &mut Recordings, more: impl Fn(&str) -> Value) {
        for number in 1..self.pages.len() {
            let items = self.page(number, &more);
            let answer = json!({"onResponseReceivedActions": [{"clickTrackingParams": "x"},
                {"appendContinuationItemsAction": {"targetId": self.id, "continuationItems": items}}]});
            post(
                made,
                BROWSE,
                "WEB",
                json!({"continuation": self.token(number)}),
                &answer,
            );
        }
    }

    /// Forms 1 and 2.
    fn write(&self, made: &mut Recordings, more: impl Fn(&str) -> Value) {
        self.write_with(made, more, |_| ());
    }

    fn write_with(
        &self,
        made: &mut Recordings,
        more: impl Fn(&str) -> Value,
        change: impl Fn(&mut Value),
    ) {
        self.write_header(made);
        let mut answer = self.header();
        change(&mut answer);
        answer["contents"] = json!({"twoColumnBrowseResultsRenderer": {"tabs": [{"tabRenderer": {"selected": true}}]}});
        answer["onResponseReceivedActions"] = json!([{"reloadContinuationItemsCommand": {
            "targetId": self.id, "continuationItems": self.page(0, &more), "slot": "RELOAD_CONTINUATION_SLOT_BODY"}}]);
        post(
            made,
            BROWSE,
            "WEB",
            json!({"continuation": self.token(0)}),
            &answer,
        );
        self.write_later_pages(made, more);
    }

    /// Form 3, with its continuation beside the section.
    fn write_plain(&self, made: &mut Recordings, more: impl Fn(&str) -> Value) {
        let mut items = self.page(0, &more);
        let next = if self.pages.len() > 1 {
            items.pop()
        } else {
            None
        };
        let mut sections = vec![json!({"itemSectionRenderer": {"contents": items}})];
        sections.extend(next);
        let mut answer = self.header();
        answer["contents"] = json!({"twoColumnBrowseResultsRenderer": {"tabs": [{"tabRenderer": {
            "content": {"sectionListRenderer": {"contents": sections}}}}]}});
        post(
            made,
            BROWSE,
            "WEB",
            json!({"browseId": format!("VL{}", self.id)}),
            &answer,
        );
        self.write_later_pages(made, more);
    }

    fn link(&self) -> String {
        format!("https://www.youtube.com/playlist?list={}", self.id)
    }
}

/// The three places of a token (notes 4.2).
fn endpoint(token: &str) -> Value {
    json!({"continuationItemRenderer": {"continuationEndpoint": {"continuationCommand": {"token": token}}}})
}
fn executor(token: &str) -> Value {
    json!({"continuationItemRenderer": {"continuationEndpoint": {"commandExecutorCommand": {"commands": [
        {"clickTrackingParams": "x"}, {"continuationCommand": {"token": token}}]}}}})
}
fn view_model(token: &str) -> Value {
    json!({"continuationItemViewModel": {"continuationCommand": {"innertubeCommand": {"continuationCommand": {"token": token}}}}})
}

fn id(number: usize) -> String {
    format!("song{number:06}A")
}

fn seconds(number: usize) -> usize {
    60 + number % 300
}

fn old(number: usize, byline: Option<&str>) -> Value {
    let mut item = json!({"videoId": id(number), "title": {"runs": [{"text": format!("Song - {number}")}]},
        "lengthSeconds": seconds(number).to_string(), "isPlayable": true,
        "thumbnail": {"thumbnails": [{"url": format!("https://i.ytimg.com/vi/{}/hqdefault.jpg?sqp=x", id(number)), "width": 168, "height": 94}]}});
    if let Some(byline) = byline {
        item["shortBylineText"] = json!({"runs": [{"text": byline}]});
    }
    json!({"playlistVideoRenderer": item})
}

fn with(mut item: Value, name: &str, value: Value) -> Value {
    item["playlistVideoRenderer"][name] = value;
    item
}

/// An unavailable one: no byline, no length, not playable (notes 4.3).
fn gone(number: usize, title: &str) -> Value {
    json!({"playlistVideoRenderer": {"videoId": id(number), "title": {"runs": [{"text": title}]}, "isPlayable": false}})
}

fn lockup(number: usize, byline: &str, badge: &str, members: bool) -> Value {
    let mut rows = vec![json!({"metadataParts": [{"text": {"content": byline}}]})];
    if members {
        rows.push(
            json!({"badges": [{"badgeViewModel": {"badgeText": "Members only", "badgeStyle": "BADGE_MEMBERS_ONLY"}}]}),
        );
    }
    json!({"lockupViewModel": {"contentId": id(number), "contentType": "LOCKUP_CONTENT_TYPE_VIDEO",
        "contentImage": {"thumbnailViewModel": {
            "image": {"sources": [{"url": format!("https://i.ytimg.com/vi/{}/hqdefault.jpg?sqp=x", id(number)), "width": 168, "height": 94}]},
            "overlays": [{"thumbnailBottomOverlayViewModel": {"badges": [{"thumbnailBadgeViewModel": {"text": badge}}]}}]}},
        "metadata": {"lockupMetadataViewModel": {"title": {"content": format!("Song - {number}")},
            "metadata": {"contentMetadataViewModel": {"metadataRows": rows}}}}}})
}

fn listed(number: usize, artist: &str) -> WantedSong {
    let length = seconds(number) as f64;
    WantedSong {
        size: Size::About(length * BYTES_A_SECOND),
        cover: Some(format!(
            "https://i.ytimg.com/vi/{}/hqdefault.jpg",
            id(number)
        )),
        audio: Audio::Unknown,
        ..song(&id(number), &format!("Song - {number}"), artist, length)
    }
}

fn unavailable(kind: &str) -> Result<WantedSong, String> {
    Err(kind.to_owned())
}

#[tokio::test]
async fn made_up_lists_are_followed_to_the_missing_token_and_never_end_at_a_short_page() {
    let mut made = Recordings::of(Site::YouTube);
    let pages = |sizes: &[usize]| {
        let mut next = 0;
        let page = |size: &usize| {
            next += size;
            (next - size..next)
                .map(|number| old(number, Some("The Owner")))
                .collect()
        };
        sizes.iter().map(page).collect::<Vec<Vec<Value>>>()
    };
    // Like `hugeplaylist`; the uploads of a channel; a list that holds a song twice.
    let huge = MadeList {
        id: "PLhugeaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        title: "Huge",
        owner: Some("The Owner"),
        pages: pages(&[100, 99, 99, 7]),
    };
    let uploads = MadeList {
        id: "UUaaaaaaaaaaaaaaaaaaaaaA",
        title: "Uploads from The Owner",
        owner: Some("The Owner"),
        pages: pages(&[3, 2]),
    };
    let mut twice = MadeList {
        id: "PLtwiceaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        title: "Twice",
        owner: Some("The Owner"),
        pages: pages(&[2]),
    };
    let again = twice.pages.first().and_then(|page| page.first()).cloned();
    twice
        .pages
        .iter_mut()
        .for_each(|page| page.extend(again.clone()));
    let whole = |count: usize| {
        list(numbered(
            (0..count)
                .map(|number| Ok(listed(number, "The Owner")))
                .collect(),
        ))
    };
    huge.write(&mut made, endpoint);
    made.want(&huge.link(), whole(305));
    uploads.write(&mut made, executor);
    made.want(&uploads.link(), whole(5));
    twice.write(&mut made, endpoint);
    made.want(
        &twice.link(),
        list(numbered(
            [0, 1, 0]
                .map(|number| Ok(listed(number, "The Owner")))
                .to_vec(),
        )),
    );
    // A token that leads nowhere: what there is, and that there is more.
    let cut = MadeList {
        id: "PLcutaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        title: "Cut",
        owner: Some("The Owner"),
        pages: pages(&[3]),
    };
    let mut first = cut.header();
    let items = [cut.page(0, endpoint), vec![endpoint("4qmFnowhere")]].concat();
    first["onResponseReceivedActions"] = json!([{"reloadContinuationItemsCommand": {"targetId": cut.id, "continuationItems": items}}]);
    post(
        &mut made,
        BROWSE,
        "WEB",
        json!({"continuation": cut.token(0)}),
        &first,
    );
    let places = numbered(
        (0..3)
            .map(|number| Ok(listed(number, "The Owner")))
            .collect(),
    );
    made.want(
        &cut.link(),
        LeadsTo::List {
            places,
            truncated: true,
        },
    );
    // 4.4 and the contract: an empty list is 404.
    let empty = MadeList {
        id: "PLemptyaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        title: "Empty",
        owner: Some("The Owner"),
        pages: Vec::new(),
    };
    empty.write(&mut made, endpoint);
    made.want(&empty.link(), refused("not_found"));
    made.judge().await;
}

#[tokio::test]
async fn made_up_lists_name_their_songs_artists_as_the_header_and_the_items_tell() {
    let mut made = Recordings::of(Site::YouTube);
    let bare = || vec![vec![old(1, None), old(2, None)]];
    let by = |artist: &str| numbered(vec![Ok(listed(1, artist)), Ok(listed(2, artist))]);
    // 4.3: course lists have no byline: the list's owner. 4.4: "by X" is X.
    let course = MadeList {
        id: "PLcourseaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        title: "A Course",
        owner: Some("The Teacher"),
        pages: bare(),
    };
    let said = MadeList {
        id: "PLbyxaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        title: "Hits",
        owner: Some("by The Collector"),
        pages: bare(),
    };
    for (made_list, artist) in [(course, "The Teacher"), (said, "The Collector")] {
        made_list.write(&mut made, endpoint);
        made.want(&made_list.link(), list(by(artist)));
    }
    // 4.4: without the sidebar's owner, that of either header.
    let headers = [
        (
            "PLoldheaderaaaaaaaaaaaaaaaaaaaaaaaa",
            json!({"playlistHeaderRenderer": {"ownerText": {"runs": [{"text": "An Owner"}]}}}),
        ),
        (
            "PLnewheaderaaaaaaaaaaaaaaaaaaaaaaaa",
            json!({"pageHeaderRenderer": {"content": {"pageHeaderViewModel": {"metadata": {
            "contentMetadataViewModel": {"metadataRows": [
                {"metadataParts": [{"avatarStack": {"avatarStackViewModel": {"text": {"content": "by An Owner"}}}}]},
                {"metadataParts": [{"text": {"content": "Playlist"}}, {"text": {"content": "2 videos"}}]}]}}}}}}),
        ),
    ];
    for (id, header) in headers {
        let made_list = MadeList {
            id,
            title: "Headed",
            owner: None,
            pages: bare(),
        };
        made_list.write_with(&mut made, endpoint, |answer| {
            answer["header"] = header.clone()
        });
        made.want(&made_list.link(), list(by("An Owner")));
    }
    // 4.4: albums have no owner block, the list's title is "Album - <name>", order = track number.
    let album = MadeList {
        id: "OLAK5uy_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        title: "Album - Blue Things",
        owner: None,
        pages: vec![vec![
            old(1, Some("Some Artist")),
            old(2, Some("Some Artist - Topic")),
        ]],
    };
    album.write(&mut made, endpoint);
    let named = |number| {
        Ok(WantedSong {
            album: Some("Blue Things".to_owned()),
            ..listed(number, "Some Artist")
        })
    };
    made.want(&album.link(), list(numbered(vec![named(1), named(2)])));
    made.judge().await;
}

#[tokio::test]
async fn made_up_songs_of_lists_that_cannot_be_had_keep_their_place_and_say_why() {
    let mut made = Recordings::of(Site::YouTube);
    let overlay = |style: &str| json!([{"thumbnailOverlayTimeStatusRenderer": {"style": style, "text": {"simpleText": style}}}]);
    let mixed = MadeList {
        id: "PLmixedaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        title: "Mixed",
        owner: Some("The Owner"),
        pages: vec![vec![
            gone(1, "[Private video]"),
            old(2, Some("The Owner")),
            gone(3, "[Deleted video]"),
            // The badge comes with `isPlayable: true`.
            with(
                old(4, Some("The Owner")),
                "badges",
                json!([{"metadataBadgeRenderer": {"style": "BADGE_STYLE_TYPE_MEMBERS_ONLY", "label": "Members only"}}]),
            ),
            with(
                old(5, Some("The Owner")),
                "thumbnailOverlays",
                overlay("LIVE"),
            ),
            with(
                old(6, Some("The Owner")),
                "thumbnailOverlays",
                overlay("UPCOMING"),
            ),
            old(7, Some("Other - Topic")),
        ]],
    };
    mixed.write(&mut made, endpoint);
    let places = vec![
        unavailable("private"),
        Ok(listed(2, "The Owner")),
        unavailable("not_found"),
        unavailable("members_only"),
        unavailable("live"),
        unavailable("unreleased"),
        Ok(listed(7, "Other")),
    ];
    made.want(&mixed.link(), list(numbered(places)));
    // The contract: with no playable song, the error of the first that is not `not_found`.
    let hopeless = MadeList {
        id: "PLhopelessaaaaaaaaaaaaaaaaaaaaaaaaa",
        title: "Hopeless",
        owner: Some("The Owner"),
        pages: vec![vec![gone(1, "[Deleted video]"), gone(2, "[Private video]")]],
    };
    hopeless.write(&mut made, endpoint);
    made.want(&hopeless.link(), refused("private"));
    made.judge().await;
}

#[tokio::test]
async fn made_up_lists_in_the_new_layout_read_as_those_in_the_old() {
    let clock = |number: usize| format!("{}:{:02}", seconds(number) / 60, seconds(number) % 60);
    let plain = |number: usize| lockup(number, "The Owner", &clock(number), false);
    // The other place of a badge (4.3).
    let other = |number: usize| {
        let mut item = plain(number);
        let badge = json!({"thumbnailBadgeViewModel": {"text": clock(number)}});
        item["lockupViewModel"]["contentImage"]["thumbnailViewModel"]["overlays"] =
            json!([{"thumbnailOverlayBadgeViewModel": {"thumbnailBadges": [badge]}}]);
        item
    };
    let pages = || {
        vec![
            vec![plain(1), plain(2)],
            vec![
                lockup(3, "The Owner", "LIVE", false),
                lockup(4, "The Owner", "Upcoming", false),
                lockup(5, "The Owner", &clock(5), true),
                other(6),
            ],
        ]
    };
    let wanted = || -> LeadsTo {
        let places = vec![
            Ok(listed(1, "The Owner")),
            Ok(listed(2, "The Owner")),
            unavailable("live"),
            unavailable("unreleased"),
            unavailable("members_only"),
            Ok(listed(6, "The Owner")),
        ];
        list(numbered(places))
    };
    let mut made = Recordings::of(Site::YouTube);
    for (id, at_once) in [
        ("PLlockupaaaaaaaaaaaaaaaaaaaaaaaaaaa", true),
        ("PLplainaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
    ] {
        let made_list = MadeList {
            id,
            title: "New",
            owner: Some("The Owner"),
            pages: pages(),
        };
        if at_once {
            made_list.write(&mut made, view_model);
        } else {
            made_list.write_plain(&mut made, view_model);
        }
        made.want(&made_list.link(), wanted());
    }
    made.judge().await;
}
