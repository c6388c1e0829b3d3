//! Everything that can be seen of a tree without opening anything, for comparing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::harness::tool;

/// Path → inode number, links, size, blocks, times, mode, and extended attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump(pub BTreeMap<String, String>);

/// Looks at everything below `root`. `state`: the attribute of that name too, which tells of the cache.
#[track_caller]
pub fn dump(root: &Path, state: bool) -> Dump {
    // How many links a file has is known when every day is listed.
    tool("find").arg(root).ok();
    let format = "%i %n %s %b %T@ %C@ %A@ %m\t%P\n";
    let listed = tool("find").in_dir(root).args([".", "-mindepth", "1", "-printf", format]).ok();
    let lines = listed.lines().into_iter().map(|line| line.split_once('\t').unwrap());
    let mut seen: BTreeMap<String, String> =
        lines.map(|(attributes, path)| (path.to_owned(), attributes.to_owned())).collect();
    let pattern = if state { "^user" } else { "^user.cxone.*_id" };
    let attributes = tool("getfattr").in_dir(root).args(["-R", "-P", "-d", "-m", pattern, "."]).ok().stdout;
    for block in attributes.split("\n\n").filter(|block| !block.is_empty()) {
        let (file, values) = block.trim_start().split_once('\n').unwrap();
        let path = unescaped(file.strip_prefix("# file: ").unwrap());
        seen.get_mut(&path).unwrap_or_else(|| panic!("{path} is not listed")).push_str(&values.replace('\n', " "));
    }
    Dump(seen)
}

/// `getfattr` writes bytes beyond ASCII as `\ooo`.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap()
}

impl Dump {
    /// Paths that are in `later` and not here.
    pub fn added(&self, later: &Dump) -> BTreeSet<String> {
        later.0.keys().filter(|path| !self.0.contains_key(*path)).cloned().collect()
    }

    /// Paths that are in both and look otherwise.
    pub fn changed(&self, later: &Dump) -> BTreeSet<String> {
        let differs = |path: &&String| later.0.get(*path).is_some_and(|seen| *seen != self.0[*path]);
        self.0.keys().filter(differs).cloned().collect()
    }

    #[track_caller]
    pub fn assert_same(&self, later: &Dump, after: &str) {
        let gone: Vec<&String> = self.0.keys().filter(|path| !later.0.contains_key(*path)).collect();
        assert!(gone.is_empty(), "after {after} these are gone: {gone:#?}");
        if let Some(path) = self.changed(later).into_iter().next() {
            panic!("after {after} {path} is\n{} and was\n{}", later.0[&path], self.0[&path]);
        }
        assert_eq!(self.added(later), BTreeSet::new(), "after {after} these are new");
    }
}
