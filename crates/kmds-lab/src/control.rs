//! The control address: plain HTTP for a lab that a person runs by hand.
//!
//! Owns `/`, `/links`, `/hits`, `/addresses`, `/connections`, `/fault`, `/faults/clear` and a few switches.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::fault::{Fault, Injection, NAMES};
use crate::log::Kind;
use crate::script::{Dialect, PlayerScript};
use crate::soundcloud::SoundCloud;
use crate::wire::{Reply, Request};
use crate::world::{Shared, Site};
use crate::youtube::{Scriptless, YouTube};

const HELP: &str = "\
GET  /links                 what can be fetched: site, seconds, bytes, link
GET  /hits                  every request so far (?site= ?kind=page|media|cover ?song= narrow it)
GET  /addresses             from which address which song's audio was asked for: address, status, bytes, site, title
POST /hits/clear            forget them
GET  /connections           hosts that were connected to
POST /fault?fault=NAME      break something; narrow it by site= kind= host= path= song= client= agent= from= first= after=
POST /faults/clear          break nothing any more
POST /delay?ms=40           add this to each request and each connection set-up
POST /range-limit?bytes=N   longest range googlevideo serves
POST /visionos?gets=WORD     what YouTube's clients without a script get: urls, refusals or sabr
POST /player-script?seed=N   YouTube plays this player script from now on
POST /rotate-client-id      SoundCloud's old client id answers 401 from now on
POST /release?song=ID       let held bytes go
POST /expire?song=ID        refuse the song's URLs that were given out so far
POST /advance?seconds=N     move the lab's clock

Faults:
";

pub fn answer(shared: &Arc<Shared>, request: &Request) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => help(),
        ("GET", "/links") => links(shared),
        ("GET", "/hits") => hits(shared, request),
        ("GET", "/addresses") => addresses(shared),
        ("POST", "/hits/clear") => {
            shared.log.clear();
            done()
        }
        ("GET", "/connections") => {
            let hosts: Vec<String> = shared
                .log
                .connections()
                .into_iter()
                .map(|connection| connection.host)
                .collect();
            Reply::json(&json!({"connections": hosts, "refused": shared.log.plain()}))
        }
        ("POST", "/fault") => fault(shared, request),
        ("POST", "/faults/clear") => {
            shared.faults.clear();
            done()
        }
        ("POST", "/delay") => number(request, "ms", |ms| {
            shared.delay_ms.store(ms, Ordering::Relaxed)
        }),
        ("POST", "/range-limit") => number(request, "bytes", |bytes| {
            shared.youtube.range_limit.store(bytes, Ordering::Relaxed)
        }),
        ("POST", "/advance") => number(request, "seconds", |seconds| shared.advance(seconds)),
        ("POST", "/visionos") => visionos(shared, request),
        ("POST", "/player-script") => number(request, "seed", |seed| {
            YouTube(Arc::clone(shared)).plays_script(PlayerScript {
                dialect: Dialect::Table,
                seed: u32::try_from(seed).unwrap_or(u32::MAX),
            });
        }),
        ("POST", "/rotate-client-id") => {
            SoundCloud(Arc::clone(shared)).rotate_client_id();
            done()
        }
        ("POST", "/release") => song(shared, request, |song| song.release()),
        ("POST", "/expire") => song(shared, request, |song| song.expire_urls()),
        _ => Reply::new(404, "text/plain", "GET / tells what there is\n"),
    }
}

fn done() -> Reply {
    Reply::new(200, "text/plain", "done\n")
}

fn wrong(why: &str) -> Reply {
    Reply::new(400, "text/plain", format!("{why}\n"))
}

fn help() -> Reply {
    let mut text = HELP.to_owned();
    for (name, value) in NAMES {
        if value.is_empty() {
            text.push_str(&format!("  {name}\n"));
        } else {
            text.push_str(&format!("  {name}:{value}\n"));
        }
    }
    Reply::new(200, "text/plain; charset=utf-8", text)
}

fn links(shared: &Shared) -> Reply {
    let mut text = String::new();
    for song in shared.songs() {
        let written = writeln!(
            text,
            "{}\t{:.1} s\t{}\t{}",
            song.site().name(),
            song.seconds(),
            song.link(),
            song.title()
        );
        debug_assert!(written.is_ok());
    }
    for list in shared.youtube.lists.lock().values() {
        text.push_str(&format!(
            "youtube\tlist\thttps://www.youtube.com/playlist?list={}\t{}\n",
            list.id, list.title
        ));
    }
    for set in shared.soundcloud.sets.lock().values() {
        text.push_str(&format!(
            "soundcloud\tset\thttps://soundcloud.com/{}\t{}\n",
            set.permalink, set.object["title"]
        ));
    }
    for page in shared
        .bandcamp
        .pages
        .lock()
        .keys()
        .filter(|page| page.contains("/album/"))
    {
        text.push_str(&format!("bandcamp\talbum\thttps://{page}\n"));
    }
    Reply::new(200, "text/plain; charset=utf-8", text)
}

fn kind_of(name: &str) -> Option<Kind> {
    match name {
        "page" => Some(Kind::Page),
        "media" => Some(Kind::Media),
        "cover" => Some(Kind::Cover),
        _ => None,
    }
}

fn hits(shared: &Shared, request: &Request) -> Reply {
    let site = request
        .param("site")
        .and_then(|name| Site::from_name(&name));
    let kind = request.param("kind").and_then(|name| kind_of(&name));
    let song = request.param("song");
    let list: Vec<Value> = shared
        .log
        .all()
        .into_iter()
        .filter(|seen| site.is_none_or(|site| seen.site == Some(site)) && kind.is_none_or(|kind| seen.kind == kind))
        .filter(|seen| song.is_none() || seen.song == song)
        .map(|seen| {
            json!({"from": seen.from, "site": seen.site.map(Site::name), "kind": format!("{:?}", seen.kind).to_lowercase(), "method": seen.method,
                "host": seen.host, "path": seen.path, "range": seen.range, "client": seen.client_name, "song": seen.song,
                "status": seen.status, "fault": seen.fault, "sent_bytes": seen.sent_bytes})
        })
        .collect();
    Reply::json(&json!({"count": list.len(), "requests": list}))
}

/// One line for each request for audio.
fn addresses(shared: &Shared) -> Reply {
    let mut text = String::new();
    let media = shared.log.all().into_iter();
    for seen in media.filter(|seen| seen.kind == Kind::Media) {
        let song = seen
            .site
            .zip(seen.song.as_deref())
            .and_then(|(site, id)| shared.song(site, id));
        let site = seen.site.map_or("", Site::name);
        let title = song.as_ref().map_or("", |song| song.title());
        let (from, status, sent) = (seen.from, seen.status, seen.sent_bytes);
        let written = writeln!(text, "{from}\t{status}\t{sent}\t{site}\t{title}");
        debug_assert!(written.is_ok());
    }
    Reply::new(200, "text/plain; charset=utf-8", text)
}

fn fault(shared: &Shared, request: &Request) -> Reply {
    let fault: Fault = match request.param("fault").unwrap_or_default().parse() {
        Ok(fault) => fault,
        Err(why) => return wrong(&why),
    };
    let mut injection = Injection::from(fault);
    for (name, value) in request.params() {
        injection = match name.as_str() {
            "fault" => injection,
            "site" => match Site::from_name(&value) {
                Some(site) => injection.of_site(site),
                None => return wrong("site is youtube, soundcloud or bandcamp"),
            },
            "kind" => match kind_of(&value) {
                Some(kind) => injection.kind(kind),
                None => return wrong("kind is page, media or cover"),
            },
            "host" => injection.at_host(&value),
            "path" => injection.at_path(&value),
            "song" => injection.of_song_id(&value),
            "client" => injection.only_client(&value),
            "agent" => injection.only_agent(&value),
            "from" => match value.parse() {
                Ok(address) => injection.only_from(address),
                Err(_) => return wrong("from is an address"),
            },
            "first" | "after" => match (name.as_str(), value.parse()) {
                ("first", Ok(count)) => injection.first(count),
                (_, Ok(count)) => injection.after(count),
                (_, Err(_)) => return wrong("first and after are numbers"),
            },
            _ => return wrong(&format!("no parameter {name}")),
        };
    }
    shared.faults.add(injection);
    done()
}

fn number(request: &Request, name: &str, set: impl FnOnce(u64)) -> Reply {
    match request.param(name).and_then(|text| text.parse().ok()) {
        Some(value) => {
            set(value);
            done()
        }
        None => wrong(&format!("{name} is a number")),
    }
}

fn visionos(shared: &Shared, request: &Request) -> Reply {
    *shared.youtube.scriptless.lock() = match request.param("gets").as_deref() {
        Some("urls") => Scriptless::Served,
        Some("refusals") => Scriptless::Refused,
        Some("sabr") => Scriptless::SabrOnly,
        _ => return wrong("gets is urls, refusals or sabr"),
    };
    done()
}

fn song(shared: &Shared, request: &Request, act: impl FnOnce(&crate::world::Song)) -> Reply {
    let id = request.param("song").unwrap_or_default();
    match shared.songs().into_iter().find(|song| song.id() == id) {
        Some(song) => {
            act(&song);
            done()
        }
        None => wrong("no such song; GET /links lists them"),
    }
}
