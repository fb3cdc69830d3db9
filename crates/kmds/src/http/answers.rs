//! The answers that many routes share, as `/openapi.json` describes them: refusals, audio, pictures. Only in tests.

use std::collections::BTreeMap;

use kmds_extract::Kind;
use utoipa::IntoResponses;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder, Schema,
};

use super::error::status_and_title;

/// What any route of the classic face may answer instead.
pub(super) struct ClassicRefusals;

/// What any route of the v1 face may answer instead.
pub(super) struct V1Refusals;

/// What a file of audio may come as.
const AUDIO: [&str; 6] = [
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/webm",
    "audio/flac",
    "audio/wav",
];
/// What only `/play` sends: playlists and archives.
const LISTS: [&str; 2] = ["audio/x-mpegurl", "application/zip"];
const PICTURES: [&str; 5] = [
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/avif",
];

/// How a route that sends a file of audio answers when it does.
pub(super) struct AudioAnswers;

/// The same, where the answer may be a list of songs.
pub(super) struct PlayAnswers;

/// How a cover is answered.
pub(super) struct PictureAnswers;

impl IntoResponses for AudioAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let parts = [&AUDIO[..], &["multipart/byteranges"]].concat();
        BTreeMap::from([
            ("200".to_owned(), bytes("The file", &AUDIO)),
            ("206".to_owned(), bytes("The ranges asked for", &parts)),
            ("304".to_owned(), bytes("As the client has it", &[])),
            ("412".to_owned(), unmet()),
        ])
    }
}

impl IntoResponses for PlayAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = AudioAnswers::responses();
        let whole = bytes(
            "The audio; of several songs a playlist or an archive",
            &[&AUDIO[..], &LISTS].concat(),
        );
        all.insert("200".to_owned(), whole);
        all
    }
}

impl IntoResponses for PictureAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([("200".to_owned(), bytes("The picture", &PICTURES))])
    }
}

/// In the words of the face that answers.
fn unmet() -> RefOr<Response> {
    let said = |schema| {
        ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(schema)))
            .build()
    };
    let response = ResponseBuilder::new().description("The file is not as the condition wants it");
    let response = [CLASSIC, V1].iter().fold(response, |response, face| {
        response.content(face.content_type, said(face.schema))
    });
    RefOr::T(response.build())
}

fn bytes(description: &str, content_types: &[&str]) -> RefOr<Response> {
    let response = ResponseBuilder::new().description(description);
    let response = content_types
        .iter()
        .fold(response, |response, content_type| {
            response.content(
                *content_type,
                ContentBuilder::new().schema(None::<RefOr<Schema>>).build(),
            )
        });
    RefOr::T(response.build())
}

impl IntoResponses for ClassicRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        CLASSIC.references()
    }
}

impl IntoResponses for V1Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        V1.references()
    }
}

/// How one face refuses. Every route names the same answers, so the document has them once.
pub(super) struct FaceAnswers {
    name: &'static str,
    content_type: &'static str,
    schema: &'static str,
    /// Statuses that no kind has.
    more: &'static [(u16, &'static str)],
}

pub(super) const CLASSIC: FaceAnswers = FaceAnswers {
    name: "Classic",
    content_type: "application/json",
    schema: "ClassicError",
    more: &[],
};
pub(super) const V1: FaceAnswers = FaceAnswers {
    name: "V1",
    content_type: "application/problem+json",
    schema: "Problem",
    more: &[(415, "The body is not JSON")],
};

impl FaceAnswers {
    /// Each status with the kinds it may mean.
    fn said(&self) -> BTreeMap<u16, String> {
        let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for kind in Kind::ALL {
            by_status
                .entry(status_and_title(kind).0.as_u16())
                .or_default()
                .push(kind.as_str());
        }
        let kinds = by_status
            .into_iter()
            .map(|(status, kinds)| (status, format!("`{}`", kinds.join("`, `"))));
        kinds
            .chain(
                self.more
                    .iter()
                    .map(|&(status, said)| (status, said.to_owned())),
            )
            .collect()
    }

    fn name_of(&self, status: u16) -> String {
        format!("{}{status}", self.name)
    }

    fn references(&self) -> BTreeMap<String, RefOr<Response>> {
        let reference = |status| RefOr::Ref(Ref::from_response_name(self.name_of(status)));
        self.said()
            .into_keys()
            .map(|status| (status.to_string(), reference(status)))
            .collect()
    }

    pub(super) fn responses(&self) -> impl Iterator<Item = (String, RefOr<Response>)> {
        self.said()
            .into_iter()
            .map(|(status, said)| (self.name_of(status), RefOr::T(self.response(status, &said))))
    }

    fn response(&self, status: u16, said: &str) -> Response {
        let reference: RefOr<Schema> = RefOr::Ref(Ref::from_schema_name(self.schema));
        let content = ContentBuilder::new().schema(Some(reference)).build();
        let mut response = ResponseBuilder::new()
            .description(said)
            .content(self.content_type, content);
        if matches!(status, 418 | 429 | 503) {
            let seconds = HeaderBuilder::new().description(Some("Seconds")).build();
            response = response.header("Retry-After", seconds);
        }
        response.build()
    }
}
