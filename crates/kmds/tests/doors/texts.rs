//! Texts of sites in terminals, players and logs: none of them controls its reader.

use kmds_lab::{Fault, Lab};

use crate::harness::{Kmds, tool};

const NASTY: &str =
    "A\u{1b}]0;pwn\u{7}\u{1b}[31mRed\u{9b}41mC1 \u{202e}RTL\u{2066}\u{2028}\r\n#EXTINF:9,X";

/// A terminal would obey it, a list would get a line by it, or text after it would be turned round.
fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || matches!(c, '\u{2028}' | '\u{2029}') || (c.is_control() && c != '\n')
}

#[tokio::test]
async fn no_text_of_a_site_acts_on_a_terminal_a_player_or_a_log() {
    let lab = Lab::start().await;
    let album = lab
        .bandcamp()
        .album(0)
        .song(NASTY, 5.0)
        .song(&format!("{NASTY} lost"), 5.0)
        .publish();
    let lost = &album.songs()[1];
    let _fault = lab.inject(Fault::Status(404, None).on_media().of(lost));
    let kmds = Kmds::start(&lab);
    let link: String = url::form_urlencoded::byte_serialize(album.link().as_bytes()).collect();
    let list = kmds
        .get(&format!("/play?url={link}"))
        .await
        .text()
        .await
        .expect("a body");
    assert!(
        list.lines()
            .filter(|line| line.starts_with("#EXTINF"))
            .count()
            == 2
            && !list.contains(acts),
        "{list:?}"
    );
    let archive = kmds.get(&format!("/play?url={link}&archive=zip")).await;
    let disposition = archive.headers()["content-disposition"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    assert!(
        !disposition.contains("%1B")
            && !disposition.contains("%C2%9B")
            && !disposition.contains("%E2%80%AE")
    );
    let file = kmds.folder.path("album.zip");
    std::fs::write(&file, archive.bytes().await.expect("a body")).expect("written");
    let script = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\n\
        sys.stdout.write('\\n'.join(z.namelist())+z.read('MISSING.txt').decode())";
    let told = tool(
        "python3",
        &["-X", "utf8", "-c", script, file.to_str().expect("UTF-8")],
    );
    assert!(told.contains("lost") && !told.contains(acts), "{told:?}");
    // Errors and reasons are sentences to be read; a title in a reply is a value, and stays what it is.
    let (_, reply) = kmds.fetch(&album.link()).await;
    assert!(reply.songs[0].metadata.title.contains('\u{202e}'));
    let failed = format!("{}&wait=30", reply.songs[1].tunnel);
    let error = kmds.get(&failed).await.text().await.expect("a body");
    assert!(
        error.contains("\"Status\":500") && !error.contains(acts) && !error.contains("\\u001b"),
        "{error:?}"
    );
    let odd = kmds
        .get("/a%C2%9B31m/%E2%80%AE")
        .await
        .text()
        .await
        .expect("a body");
    assert!(!odd.contains(acts), "{odd:?}");
    let log = kmds.whole_log().await;
    assert!(
        !log.contains(acts),
        "{:?}",
        log.lines()
            .filter(|line| line.contains(acts))
            .collect::<Vec<_>>()
    );
}
