//! The track, or one form of it, that a path names: `/api/v1/tracks/{site}/{id}`, `…/{form}`.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use kmds_extract::{Format, Site, TrackId};

use super::super::error::Refusal;
use crate::app::{CopyForm, FormAsk};

/// The two path parameters, to be read by [`track_at`].
pub(super) type TrackPath = Result<Path<(String, String)>, PathRejection>;
/// The three path parameters, to be read by [`form_at`].
pub(super) type FormPath = Result<Path<(String, String, String)>, PathRejection>;

/// # Errors
/// `not_found`: no track can have that id.
pub(super) fn track_at(at: TrackPath) -> Result<TrackId, Refusal> {
    at.ok()
        .and_then(|Path((site, id))| track_named(&site, &id))
        .ok_or_else(no_such_track)
}

/// # Errors
/// `not_found`: no track can have that id. `bad_request`: no form is called that.
pub(super) fn form_at(at: FormPath) -> Result<(TrackId, FormAsk), Refusal> {
    let Path((site, id, form)) = at.map_err(|_| no_such_track())?;
    let id = track_named(&site, &id).ok_or_else(no_such_track)?;
    Ok((id, form_named(&form)?))
}

fn track_named(site: &str, id: &str) -> Option<TrackId> {
    TrackId::new(Site::parse(site)?, id)
}

/// A form's word; the links of a tagged copy have its own name there, like `mp3-tagged`.
fn form_named(word: &str) -> Result<FormAsk, Refusal> {
    let tagged = CopyForm::parse(word).filter(|form| form.tagged);
    Format::parse(word)
        .map(FormAsk::Format)
        .or(tagged.map(FormAsk::from))
        .ok_or_else(|| {
            let words = Format::ALL.map(Format::ext).join(", ");
            Refusal::bad_request(format!("there is no such form; use one of {words}"))
        })
}

fn no_such_track() -> Refusal {
    Refusal::not_found("no such track; ask /api/v1/tracks/SITE/ID with what /api/v1/fetch replied")
}

pub(super) fn never_asked_for(id: &TrackId) -> Refusal {
    Refusal::not_found(format!(
        "{id} was never asked for, or was deleted; POST its link to /api/v1/fetch"
    ))
}

pub(super) fn not_in_this_form(id: &TrackId) -> Refusal {
    Refusal::not_found(format!(
        "{id} was never asked for in this form; ask with wait=SECONDS, or for the form's audio, and it is fetched or made"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_a_format_or_a_tagged_copy() {
        for format in Format::ALL {
            let named = form_named(format.ext()).expect("a form");
            assert_eq!(named, FormAsk::Format(format));
        }
        for word in ["original-tagged", "mp3-tagged"] {
            let named = form_named(word).expect("a copy");
            let FormAsk::Rendition(form) = named else {
                panic!("{named:?}")
            };
            assert_eq!(form.to_string(), word);
        }
        for bad in ["exe", "original", "", "webm-tagged", "M4A"] {
            assert_eq!(
                form_named(bad).expect_err(bad).status.as_u16(),
                400,
                "{bad}"
            );
        }
    }
}
