//! Links and pages that are not as they should be cost as few songs as possible.

use kmds_lab::{Fault, Lab};

use super::harness::Kmds;
use super::harness::replies::Entry;

#[tokio::test]
async fn a_page_sent_for_a_cover_is_no_cover_and_is_not_kept() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Pictured").publish();
    let kmds = Kmds::start(&lab);
    kmds.download(&song.link()).await;
    let cover = format!("/api/v1/tracks/bandcamp/{}/cover", song.id());
    lab.inject(Fault::HtmlInstead.on_covers());
    assert_eq!(kmds.get(&cover).await.status(), 502);
    lab.clear_faults();
    let answer = kmds.get(&cover).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
}

#[tokio::test]
async fn a_soundcloud_set_plays_what_is_known_while_its_batches_fail_and_all_of_it_afterwards() {
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    for fault in [
        Fault::Status(500, None),
        Fault::Status(400, None),
        Fault::ShortBody,
        Fault::HtmlInstead,
        Fault::Empty200,
    ] {
        let set = lab.soundcloud().set(8).seconds(2.0).publish();
        lab.inject(
            fault
                .clone()
                .on_pages()
                .at_path("/tracks")
                .at_host("api-v2.soundcloud.com"),
        );
        let (status, reply) = kmds.fetch(&set.link()).await;
        assert_eq!(status, 200, "{fault}: {reply}");
        let places = |songs: &[Entry]| -> Vec<u32> {
            songs.iter().map(|song| song.metadata.number).collect()
        };
        let gone = &reply.unavailable;
        assert_eq!(places(&reply.songs), [1, 2, 3, 4, 5], "{fault}");
        assert_eq!(
            gone.iter().map(|song| song.number).collect::<Vec<_>>(),
            [6, 7, 8],
            "{fault}"
        );
        for untold in gone {
            assert!(untold.reason.len() > 20, "{fault}: {untold:?}");
            assert_ne!(untold.kind, "not_found", "{fault}");
        }
        lab.clear_faults();
        let (_, reply) = kmds.fetch(&set.link()).await;
        assert_eq!(
            reply.songs.len(),
            8,
            "{fault}: what was not told is asked for again"
        );
    }
}

#[tokio::test]
async fn one_bad_value_in_every_page_costs_no_song_of_any_site() {
    let lab = Lab::start().await;
    let links = [
        lab.youtube().video("One").seconds(2.0).publish().link(),
        lab.youtube().playlist(3).publish().link(),
        lab.soundcloud().track("one").seconds(2.0).publish().link(),
        lab.soundcloud().set(8).seconds(2.0).publish().link(),
        lab.bandcamp().track("One").seconds(2.0).publish().link(),
        lab.bandcamp().album(3).publish().link(),
        lab.bandcamp().album(2).publish().embed_link(),
    ];
    lab.inject(Fault::OddValue.on_pages());
    let kmds = Kmds::start(&lab);
    for (link, songs) in links.iter().zip([1, 3, 1, 8, 1, 3, 2]) {
        let (status, reply) = kmds.fetch(link).await;
        assert_eq!(status, 200, "{link}: {reply}");
        assert_eq!(reply.songs.len(), songs, "{link}: {reply}");
    }
    kmds.download(&links[2]).await;
}

#[tokio::test]
async fn songs_of_a_bandcamp_album_are_numbered_by_place_where_its_numbers_do_not_count_them() {
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    for numbers in [
        [Some(1); 3],
        [None, Some(1), Some(12)],
        [None; 3],
        [Some(1), Some(2), Some(1)],
    ] {
        let album = lab
            .bandcamp()
            .album(3)
            .numbered(&numbers)
            .locked_at(1, kmds_lab::bandcamp::Lock::Paid)
            .publish();
        let (_, reply) = kmds.fetch(&album.link()).await;
        let shown = [
            reply.songs[0].metadata.number,
            reply.unavailable[0].number,
            reply.songs[1].metadata.number,
        ];
        assert_eq!(shown, [1, 2, 3], "{numbers:?}: {reply}");
    }
}

#[tokio::test]
async fn a_link_out_of_a_chat_is_taken_on_every_site_and_of_two_none_is_dropped() {
    let lab = Lab::start().await;
    let links = [
        lab.youtube().video("One").seconds(2.0).publish().link(),
        lab.soundcloud().track("one").seconds(2.0).publish().link(),
        lab.bandcamp().track("One").seconds(2.0).publish().link(),
    ];
    let kmds = Kmds::start(&lab);
    for link in &links {
        let wanted = kmds.fetch(link).await.1.songs[0].path.clone();
        for (before, after) in [
            ("<", ">"),
            ("(", ")."),
            ("||", "||"),
            ("[a song](", ")"),
            ("listen to ", ", please"),
            ("\u{feff}", "\u{200b}"),
        ] {
            let (status, reply) = kmds.fetch(&format!("{before}{link}{after}")).await;
            assert_eq!(
                (status, &reply.songs[0].path),
                (200, &wanted),
                "{before}{link}{after}: {reply}"
            );
        }
        for second in &links {
            for between in [" ", ",", "\n", " and "] {
                let (status, reply) = kmds.fetch(&format!("{link}{between}{second}")).await;
                assert_eq!((status, &*reply.kind), (400, "unsupported_link"), "{reply}");
                assert!(reply.error.contains("two links"), "{reply}");
            }
        }
    }
}
