//! Scripts that mean harm end the child within its bounds, with a sentence and nothing else.

use std::time::Instant;

use serde_json::json;

use crate::harness::{Folder, PATIENCE};
use crate::{solve_player, write};

/// A script of the right shape whose function for `n` has the body `n`, after the statement `before`.
fn with_n(n: &str, before: &str) -> String {
    format!(
        r#"var _yt_player={{}};(function(g){{var window=this;'use strict';var Door,N,S,x,sts={{sts:20472}};
g.Url=function(u){{this.u=u;this.q={{}}}};g.Url.prototype.set=function(k,v){{this.q[k]=v}};
g.Url.prototype.get=function(k){{return this.q[k]}};g.Url.prototype.go=function(){{this.q.n=N(this.q.n)}};
S=function(s){{return s.split("").reverse().slice(2).join("")}};
Door=function(u,p,s){{u=new g.Url(u);u.set("alr","yes");s&&u.set(p,encodeURIComponent(S(decodeURIComponent(s))));return u}};
{before};
N=function(n){{{n}}};
}})(_yt_player);"#
    )
}

#[test]
fn the_shape_itself_is_answered() {
    let folder = Folder::new();
    let script = write(
        &folder,
        "base.js",
        &with_n("return n.split('').reverse().join('').slice(1)", ""),
    );
    let output = solve_player(&[], &script, r#"{"n": ["WAt5y_RP0MT_9Yf94"]}"#);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_script_that_means_harm_ends_within_its_bounds() {
    let bodies = [
        // Time.
        ("while(1);", ""),
        ("return x+n", "x=(function(){for(;;);})()"),
        ("return x.y", "x={get y(){while(1);}}"),
        ("for(;;){try{return nowhere(n)}catch(e){}}", "var nowhere"),
        (r#"return /^(a+)+$/.test("a".repeat(60)+"!")+n"#, ""),
        ("return Array(4294967295).fill(1).join('')", ""),
        // Memory.
        ("var a=[];for(;;)a.push(new Array(1e6).fill(7))", ""),
        (
            "var a=new ArrayBuffer(2147483647);return n+a.byteLength",
            "",
        ),
        ("var m=new Map;for(var i=0;;i++)m.set(i,i)", ""),
        ("return 'x'.repeat(1e6).replace(/x/g,'$&'.repeat(1e6))", ""),
        ("return ''.padEnd(1e9,'ab')", ""),
        // Depth.
        ("function f(){return f()+1}return f()", ""),
        (
            "var a=[];for(var i=0;i<1e6;i++)a=[a];return JSON.stringify(a)",
            "",
        ),
        // What it does to what it finds.
        (
            "return x+n",
            "x=(String.prototype.split=function(){return['a']},Array.prototype.join=function(){return'AAAAAAAA'},Object.defineProperty=JSON.parse=null)",
        ),
        (
            "return x",
            "x=new Proxy({},{get:function(){while(1);},getPrototypeOf:function(){while(1);}})",
        ),
        (
            "throw {toString:function(){while(1);},get message(){while(1);}}",
            "",
        ),
        ("throw new Error('\\x1b[31m'+'\\n'.repeat(1e5))", ""),
        ("return {toString:function(){while(1);}}", ""),
        // What it would reach.
        ("return import('fs')", ""),
        ("print('{}');return n", ""),
        (
            "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0);return n",
            "",
        ),
        // Answers that cannot be right.
        ("return n", ""),
        ("return n.slice(1)", ""),
        ("return ''", ""),
        ("return 'Nw_aX-_w8_'+n", ""),
        ("return 'Qp8s9IUyja88wFr'", ""),
        ("return 'Qp8s9I'+Math.random().toString(36).slice(2)", ""),
        ("return 'Qp8s 9I\\n'+n.slice(9)", ""),
        ("return 12345678", ""),
    ];
    let folder = Folder::new();
    let questions = json!({ "n": ["WAt5y_RP0MT_9Yf94", "1nB_ZhfkU1lC2AbI_"] }).to_string();
    for (index, (body, before)) in bodies.iter().enumerate() {
        fails(
            &folder,
            &format!("{index}.js"),
            &with_n(body, before),
            &questions,
        );
    }
}

#[test]
fn a_text_that_is_no_script_is_told() {
    let folder = Folder::new();
    let questions = r#"{"n": ["WAt5y_RP0MT_9Yf94"], "sig": ["abcdefghijklmnopqrstuvwxyz"]}"#;
    let doors: String = (0..20_000)
        .map(|index| {
            format!("f{index}=function(u,p,s){{for(;;);u.set('alr','yes');decodeURIComponent(encodeURIComponent(s))}};")
        })
        .collect();
    for (name, text) in [
        ("empty", String::new()),
        (
            "page",
            "<!DOCTYPE html><html><body>Sorry</body></html>".to_owned(),
        ),
        ("long", format!("var a=1;{}", "x".repeat(50_000_000))),
        ("statements", "a=1;".repeat(1_500_000)),
        ("brackets", "(".repeat(3_000_000)),
        ("templates", "`${".repeat(9_000)),
        ("slashes", "/[".repeat(1_000_000)),
        ("cut off", with_n("return n", "")[..400].to_owned()),
        ("doors", format!("(function(g){{{doors}}})({{}})")),
        ("zeros", "\0".repeat(1_000)),
        ("prepared", "//kmds-player 1 {\n".to_owned()),
    ] {
        fails(&folder, name, &text, questions);
    }
}

fn fails(folder: &Folder, name: &str, text: &str, questions: &str) {
    let script = write(folder, name, text);
    let begun = Instant::now();
    let output = solve_player(&[], &script, questions);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let shown: String = text
        .chars()
        .rev()
        .take(120)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{name} {}: {said}\n…{shown}",
        output.status
    );
    assert!(output.stdout.is_empty(), "{name} printed something");
    assert!(
        said.starts_with("kmds: ") && said.lines().count() == 1 && !said.contains('\x1b'),
        "{name}: {said}"
    );
    assert!(said.len() < 300, "{name}: {said}");
    assert!(
        begun.elapsed() < PATIENCE,
        "{name} took {:?}",
        begun.elapsed()
    );
}
