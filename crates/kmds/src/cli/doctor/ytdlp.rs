//! What `kmds doctor` says of yt-dlp: the engine's own remarks, as findings.

use kmds_extract::Site;

use super::Finding;
use crate::app::{About, Remark, remarks};
use crate::config::Config;

pub fn findings(about: Option<Result<About, String>>, config: &Config) -> Vec<Finding> {
    let youtube = config
        .sites
        .get(&Site::YouTube)
        .is_some_and(|site| site.enabled);
    let remarks = match about {
        None => vec![Remark::switched_off()],
        Some(about) => remarks(&about, &config.ytdlp, youtube),
    };
    remarks.into_iter().map(finding).collect()
}

fn finding(remark: Remark) -> Finding {
    match remark.advice {
        None => Finding::ok(remark.about, remark.says),
        Some(advice) => Finding::warn(remark.about, remark.says, advice),
    }
}
