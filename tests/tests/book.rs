//! The book and the README lead where they say.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use silo_tests::book::Page;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Markdown file that people read, by its path from the top.
fn pages() -> BTreeMap<PathBuf, Page> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::from("docs")];
    let tops = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"];
    let mut files: Vec<PathBuf> = tops.iter().map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                // What mdBook makes.
                if path != Path::new("docs/book") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    for path in files {
        if let Ok(text) = std::fs::read_to_string(root().join(&path)) {
            found.insert(path, Page::parse(&text));
        }
    }
    found
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(name) => plain.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}

/// What is wrong with a link on a page.
fn fault(pages: &BTreeMap<PathBuf, Page>, path: &Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        path.to_owned()
    } else {
        plain(&path.parent().unwrap().join(file))
    };
    let in_book = |path: &Path| path.starts_with("docs");
    if in_book(path) && !in_book(&target) {
        return Some("leaves the book: it would be dead there".to_owned());
    }
    if !pages.contains_key(&target) && !root().join(&target).exists() {
        return Some("leads nowhere".to_owned());
    }
    let anchors = pages.get(&target).map(|page| page.anchors.as_slice());
    let is_there = anchors.unwrap_or_default().iter().any(|a| a == anchor);
    (!anchor.is_empty() && !is_there).then(|| "has no such heading".to_owned())
}

#[silo::test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut links = 0;
    let mut faults = Vec::new();
    for (path, page) in &pages {
        for link in &page.links {
            links += 1;
            let fault = fault(&pages, path, link);
            faults.extend(fault.map(|fault| format!("{}: {link} {fault}", path.display())));
        }
    }
    assert!(
        pages.len() > 30 && links > 60,
        "{links} links in {} pages",
        pages.len()
    );
    assert_eq!(faults, Vec::<String>::new());
}

#[silo::test]
fn dead_links_are_found() {
    let page = Page::parse("# One thing: `two`\n\n[a](b.md#c) `[no](link)`\n\n## One thing: two\n");
    assert_eq!(page.links, ["b.md#c"]);
    assert_eq!(page.anchors, ["one-thing-two", "one-thing-two-1"]);
    let at = Path::new("docs/x.md");
    let pages = BTreeMap::from([(at.to_owned(), page)]);
    let fault = |link| fault(&pages, at, link);
    assert_eq!(fault("#one-thing-two-1"), None);
    assert_eq!(fault("https://example.com"), None);
    assert!(fault("b.md").unwrap().contains("nowhere"));
    assert!(fault("#c").unwrap().contains("no such heading"));
    assert!(fault("../README.md").unwrap().contains("leaves the book"));
}
