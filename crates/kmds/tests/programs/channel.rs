//! What the people of a channel ask a bot for: songs that play, one that is refused, a link of no site, and words.

use kmds_lab::soundcloud::Format;
use kmds_lab::{Fault, Lab, Song};
use serde_json::json;

pub struct Channel {
    refused: Song,
    ogg: Song,
    webm: Song,
    mp3: Song,
}

impl Channel {
    pub fn of(lab: &Lab) -> Self {
        let refused = lab.soundcloud().track("refused").title("Refused").publish();
        lab.inject(Fault::Status(403, None).on_media().of(&refused));
        let ogg = lab
            .soundcloud()
            .track("ordinary-days")
            .formats(&[Format::Mp3Hls, Format::OpusHls])
            .seconds(3.0)
            .publish();
        let webm = lab.youtube().video("Webbed").seconds(3.0).publish();
        let mp3 = lab
            .bandcamp()
            .track("Copper Kettles")
            .seconds(2.0)
            .publish();
        Self {
            refused,
            ogg,
            webm,
            mp3,
        }
    }

    /// The texts, as a JSON list.
    pub fn texts(&self) -> String {
        let texts = json!([
            self.refused.link(),
            self.ogg.link(),
            "https://example.org/none",
            self.webm.link(),
            "Copper Kettles"
        ]);
        texts.to_string()
    }

    /// What plays, in the order of the texts, as files of the cache.
    pub fn files(&self) -> [String; 3] {
        [
            format!("soundcloud/{}.opus", self.ogg.id()),
            format!("youtube/{}.opus", self.webm.id()),
            format!("bandcamp/{}.opus", self.mp3.id()),
        ]
    }
}
