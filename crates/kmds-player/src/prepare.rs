//! From a whole script to a program of kilobytes that gives the two functions.
//!
//! Owns the search: it runs a way with nothing but its own name, and adds the missing names until none is missing. Most
//! of the script never runs. It accepts no way whose answers fail [`crate::check`].

use std::collections::BTreeSet;
use std::time::Duration;

use crate::PlayerError;
use crate::check::Wrong;
use crate::engine::{self, Bounds, Fault, Functions, Program};
use crate::finder::{self, Way};
use crate::prune;
use crate::script::{Key, Script};
use crate::solve::{self, Questions};

/// Names added one after the other before a way is given up. The site's own take some forty.
const MAX_ROUNDS: usize = 1_500;
/// The time limit of one way; a function that never ends must not prevent the next way. It is ten times what the site's
/// take on a small machine.
const TIME_FOR_A_WAY: Duration = Duration::from_millis(2_500);
/// Methods of a URL that are tried for the one that transforms `n`.
const MAX_METHODS: usize = 24;
/// Any address of the kind that the door takes.
const URL: &str = "https://rr1---sn-a.googlevideo.com/videoplayback?id=1";
/// Questions of the site's own shape, of two lengths each.
const N_PROBES: [&str; 2] = ["WAt5y_RP0MT_9Yf94", "kJ7-sdUe_qL0xB3v"];
const SIG_PROBE: &str = "AJfQdSswRQIhAK3zWm0c7yV_b-Yt2LxGp5uE1oN9DqTzXh4FkRr8CsvZAiB6yUeI2jPw0MnQl-OaVd7Hg_xK5tB3fYcWuS1Lr9Eo4Q==";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    N,
    Sig,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            Self::N => "n",
            Self::Sig => "sig",
        }
    }

    fn questions(self) -> Questions {
        let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        match self {
            Self::N => Questions {
                n: strings(&N_PROBES),
                sig: Vec::new(),
            },
            Self::Sig => Questions {
                n: Vec::new(),
                sig: strings(&[SIG_PROBE, &SIG_PROBE[..SIG_PROBE.len() - 4]]),
            },
        }
    }
}

/// A function that was found, and all its parts.
pub struct FoundFunction {
    /// `n:function(x){…}`
    pub give: String,
    pub keys: BTreeSet<Key>,
}

/// Finds the function for `what`.
pub fn find(script: &Script, what: What, bounds: Bounds) -> Result<FoundFunction, PlayerError> {
    let ways = finder::ways(script);
    let ways = if what == What::N { ways.n } else { ways.sig };
    let mut last = PlayerError::NotFound(what.name());
    for way in ways {
        let until = bounds.until.min((bounds.clock)() + TIME_FOR_A_WAY);
        let bounds = Bounds { until, ..bounds };
        match try_way(script, what, &way, bounds) {
            Ok(found) => return Ok(found),
            Err(wrong) => last = PlayerError::wrong(what.name(), wrong),
        }
    }
    Err(last)
}

/// The program with all `found` functions.
pub fn program(script: &Script, found: &[FoundFunction]) -> Program {
    let keys = found
        .iter()
        .flat_map(|found| found.keys.iter().cloned())
        .collect();
    let give: Vec<&str> = found.iter().map(|found| found.give.as_str()).collect();
    prune::program(script, &keys, &give.join(","))
}

fn try_way(script: &Script, what: What, way: &Way, bounds: Bounds) -> Result<FoundFunction, Wrong> {
    let keys: BTreeSet<Key> = way.keys(script).into_iter().collect();
    match (way, what) {
        (Way::Call(before, after), _) => settle(
            script,
            what,
            format!("{}:function(x){{return {before}x{after}}}", what.name()),
            keys,
            bounds,
        ),
        (Way::Door(door), What::Sig) => {
            let give = format!(
                "sig:function(x){{return decodeURIComponent({door}({URL:?},\"s\",encodeURIComponent(x)).get(\"s\"))}}"
            );
            settle(script, what, give, keys, bounds)
        }
        (Way::Door(door), What::N) => by_a_method(script, door, keys, bounds),
    }
}

/// One of the methods of the door's result transforms its `n`.
fn by_a_method(
    script: &Script,
    door: &str,
    keys: BTreeSet<Key>,
    bounds: Bounds,
) -> Result<FoundFunction, Wrong> {
    let give = format!(
        "names:function(x){{var u={door}({URL:?},\"s\"),all=[];\
         for(var p=Object.getPrototypeOf(u);p&&p!==Object.prototype;p=Object.getPrototypeOf(p))\
         all=all.concat(Object.getOwnPropertyNames(p));return all.join(\" \")}}"
    );
    let (keys, names) = converge(script, &give, keys, bounds, |functions| {
        functions.call("names", "")
    })?;
    let is_name = |name: &&str| {
        !matches!(*name, "constructor" | "get" | "set" | "clone")
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
    };
    let mut last = Wrong::Answer("is never made: the URL has no method");
    for name in names.split(' ').filter(is_name).take(MAX_METHODS) {
        let give = format!(
            "n:function(x){{var u={door}({URL:?},\"s\");u.set(\"n\",x);u.{name}();return u.get(\"n\")}}"
        );
        match settle(script, What::N, give, keys.clone(), bounds) {
            Ok(found) => return Ok(found),
            Err(Wrong::Fault(Fault::Time)) => return Err(Wrong::Fault(Fault::Time)),
            Err(wrong) => last = wrong,
        }
    }
    Err(last)
}

/// Adds missing names until the probes get right answers.
fn settle(
    script: &Script,
    what: What,
    give: String,
    keys: BTreeSet<Key>,
    bounds: Bounds,
) -> Result<FoundFunction, Wrong> {
    let questions = what.questions();
    let (keys, _) = converge(script, &give, keys, bounds, |functions| {
        solve::answer(functions, &questions)
    })?;
    Ok(FoundFunction { give, keys })
}

/// Runs with the known names, adds the missing ones, and repeats; returns the names it took and the last result.
fn converge<T, E: Into<Wrong>>(
    script: &Script,
    give: &str,
    mut keys: BTreeSet<Key>,
    bounds: Bounds,
    with: impl Fn(&Functions) -> Result<T, E>,
) -> Result<(BTreeSet<Key>, T), Wrong> {
    for _ in 0..MAX_ROUNDS {
        let program = prune::program(script, &keys, give);
        let (done, missed) = engine::run(bounds, &program, &with);
        let before = keys.len();
        let object = script.object.unwrap_or_default();
        keys.extend(missed.into_iter().map(|key| {
            if key.starts_with('.') {
                format!("{object}{key}")
            } else {
                key
            }
        }));
        if keys.len() == before {
            return Ok((keys, done?.map_err(Into::into)?));
        }
        if bounds.over() {
            break;
        }
    }
    Err(Wrong::Fault(Fault::Time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probes_are_questions() {
        assert!(
            N_PROBES
                .iter()
                .chain([&SIG_PROBE])
                .all(|probe| crate::check::is_question(probe))
        );
    }
}
