//! What it takes to make a server restartable, counted: each example in `examples/plain` against its twin in
//! `examples/restartable`, and the guide `servers`, which shows how they differ.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use similar::{ChangeTag, TextDiff};
use std::fs;
use std::path::PathBuf;

/// The servers, with the most lines that may change beside imports.
const MOST_CHANGED: [(&str, usize); 5] =
    [("axum", 1), ("hyper", 3), ("tonic", 5), ("actix", 3), ("threads", 8)];

fn source(path: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A pair without its imports: they say nothing about the work.
fn pair(name: &str) -> [String; 2] {
    ["plain", "restartable"].map(|kind| {
        let text = source(&format!("examples/{kind}/{name}.rs"));
        text.lines().filter(|line| !line.starts_with("use ")).map(|line| format!("{line}\n")).collect()
    })
}

/// How many lines of the restartable server are not in the plain one.
fn changed(name: &str) -> usize {
    let [plain, restartable] = pair(name);
    let diff = TextDiff::from_lines(&plain, &restartable);
    diff.iter_all_changes().filter(|change| change.tag() == ChangeTag::Insert).count()
}

/// The whole pair as the guide shows it.
fn shown(name: &str) -> String {
    let [plain, restartable] =
        ["plain", "restartable"].map(|kind| source(&format!("examples/{kind}/{name}.rs")));
    let diff = TextDiff::from_lines(&plain, &restartable);
    let lines = diff.iter_all_changes().filter(|change| !change.value().starts_with("//!")).map(|change| {
        let sign = match change.tag() {
            ChangeTag::Insert => '+',
            ChangeTag::Delete => '-',
            ChangeTag::Equal => ' ',
        };
        format!("{sign}{}", change.value()).trim_end().to_owned() + "\n"
    });
    let text: String = lines.collect();
    format!("```diff\n{}```\n", text.trim_start_matches('\n'))
}

#[test]
fn a_server_becomes_restartable_by_few_lines() {
    for (name, most) in MOST_CHANGED {
        let changed = changed(name);
        println!("{name}: {changed} changed lines");
        assert!((1..=most).contains(&changed), "{name}: {changed} changed lines, expected {most} at most");
    }
}

#[test]
fn the_guide_shows_each_pair() {
    let guide = source("docs/servers.md");
    for (name, _) in MOST_CHANGED {
        let shown = shown(name);
        assert!(guide.contains(&shown), "docs/servers.md: expected this for {name}:\n{shown}");
    }
}
