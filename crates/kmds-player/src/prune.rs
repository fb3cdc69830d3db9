//! A script reduced to the needed pieces.
//!
//! Owns the text of the program that the engine runs in place of the whole script. It does not decide which names are
//! kept.

use std::collections::{BTreeSet, HashSet};

use crate::engine::Program;
use crate::script::{Form, Key, Piece, Script};

/// The program of the pieces that make the `wanted` names, which gives `give`: the inside of an object literal.
pub fn program(script: &Script, wanted: &BTreeSet<Key>, give: &str) -> Program {
    let kept: BTreeSet<usize> = wanted
        .iter()
        .flat_map(|key| script.pieces_of(key))
        .copied()
        .collect();
    let mut had: HashSet<&str> = wanted.iter().map(String::as_str).collect();
    let (mut text, mut spoken_of) = (String::new(), HashSet::new());
    for piece in kept.iter().filter_map(|index| script.pieces.get(*index)) {
        had.extend(piece.defines.iter().map(String::as_str));
        spoken_of.extend(script.spoken_of(piece.from, piece.to));
        write(script, piece, &mut text);
    }
    let (mut names, mut left_out, mut left_out_members) = (Vec::new(), Vec::new(), Vec::new());
    for key in &had {
        if !key.contains('.') && !is_declared(script, &kept, key) {
            names.push(*key);
        }
    }
    for key in spoken_of.iter().filter(|key| !had.contains(key.as_str())) {
        match key.split_once('.') {
            Some((_, member)) => left_out_members.push(member.to_owned()),
            None => left_out.push(key.clone()),
        }
    }
    names.sort_unstable();
    left_out.sort_unstable();
    left_out_members.sort_unstable();
    let strict = if script.strict { "\"use strict\";" } else { "" };
    let names = if names.is_empty() {
        String::new()
    } else {
        format!("var {};", names.join(","))
    };
    let object = script.object.unwrap_or_default();
    Program {
        text: format!("(function({object}){{{strict}{names}\n{text}return{{{give}}}}})"),
        left_out,
        left_out_members,
    }
}

/// A function or class with that name stands among the pieces.
fn is_declared(script: &Script, kept: &BTreeSet<usize>, key: &str) -> bool {
    script
        .pieces_of(key)
        .iter()
        .filter(|index| kept.contains(index))
        .filter_map(|index| script.pieces.get(*index))
        .any(|piece| {
            piece.form == Form::Declaration && piece.defines.iter().any(|defined| defined == key)
        })
}

fn write(script: &Script, piece: &Piece, text: &mut String) {
    let own = script.text(piece.from, piece.to);
    // A piece that fails at its start without a browser has no value; pieces that need it show that.
    let (before, after) = match piece.form {
        Form::Declaration => ("", "\n"),
        Form::Expression if piece.function_from.is_some() => ("", ";\n"),
        Form::Expression => ("try{", "}catch(kmds_){}\n"),
        Form::Pattern => ("try{(", ")}catch(kmds_){}\n"),
        Form::Statement => ("try{", "}catch(kmds_){}\n"),
    };
    text.push_str(before);
    text.push_str(own);
    text.push_str(after);
}
