//! The files of `src` as modules, and which file each imported name is defined in. Knows the language, not this program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemMod, ItemUse, Macro, UseTree, Visibility};
use walkdir::WalkDir;

/// Path segments from the crate's root, without `crate`.
pub type Module = Vec<String>;

/// A source file.
pub struct Source {
    pub lines: usize,
    /// Compiled for tests or fuzzers only.
    pub is_for_tests: bool,
    /// What the file's imports and paths name, from the crate's root. Re-exports are not among them: they make a name, and need nothing.
    names: BTreeSet<Module>,
    /// Names that the file gives to what is elsewhere.
    given: BTreeMap<String, Module>,
}

/// All files, by module.
pub struct Sources(pub BTreeMap<Module, Source>);

impl Sources {
    /// Reads every file below `root`.
    pub fn read(root: &Path) -> Sources {
        let mut sources = BTreeMap::new();
        let mut for_tests = BTreeSet::new();
        for entry in WalkDir::new(root).sort_by_file_name() {
            let entry = entry.unwrap();
            if entry.path().extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let module = module_of(entry.path().strip_prefix(root).unwrap());
            let text = fs::read_to_string(entry.path()).unwrap();
            let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
            let mut reader = Reader::new(module.clone());
            reader.visit_file(&file);
            for_tests.extend(reader.for_tests);
            let source =
                Source { lines: text.lines().count(), is_for_tests: false, names: reader.names, given: reader.given };
            sources.insert(module, source);
        }
        for (module, source) in &mut sources {
            source.is_for_tests = (0..=module.len()).any(|end| for_tests.contains(&module[..end]));
        }
        Sources(sources)
    }

    /// The files that a file needs, those for tests aside.
    pub fn needs(&self, module: &Module) -> BTreeSet<&Module> {
        let source = &self.0[module];
        let found = source.names.iter().filter_map(|name| self.file_of(name, 0));
        found.filter(|found| *found != module && !self.0[*found].is_for_tests).collect()
    }

    /// The file that a name is defined in.
    fn file_of(&self, name: &[String], depth: usize) -> Option<&Module> {
        // Re-exports of re-exports, and globs that name each other.
        if depth > 8 {
            return None;
        }
        let longest = (0..=name.len()).rev().find(|end| self.0.contains_key(&name[..*end]))?;
        let (module, source) = self.0.get_key_value(&name[..longest])?;
        let Some(next) = name.get(longest) else { return Some(module) };
        if let Some(elsewhere) = source.given.get(next) {
            let rest = name[longest + 1..].iter().cloned();
            return self.file_of(&elsewhere.iter().cloned().chain(rest).collect::<Module>(), depth + 1);
        }
        Some(module)
    }

    /// Files that need each other, directly or round about; each circle sorted.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let modules: Vec<&Module> = self.0.keys().filter(|module| !self.0[*module].is_for_tests).collect();
        let needs: BTreeMap<&Module, BTreeSet<&Module>> =
            modules.iter().map(|module| (*module, self.needs(module))).collect();
        let reach = |from: &Module| {
            let mut seen: BTreeSet<&Module> = BTreeSet::new();
            let mut left: Vec<&Module> = needs[from].iter().copied().collect();
            while let Some(next) = left.pop() {
                if seen.insert(next) {
                    left.extend(needs[next].iter().copied());
                }
            }
            seen
        };
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            modules.iter().map(|module| (*module, reach(module))).collect();
        let mut circles = BTreeSet::new();
        for module in &modules {
            let circle: Vec<String> = modules
                .iter()
                .filter(|other| reached[*module].contains(*other) && reached[*other].contains(*module))
                .map(|other| other.join("::"))
                .collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }
}

fn module_of(path: &Path) -> Module {
    let mut module: Module = path.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
        module.pop();
    }
    module
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && {
            let words = list.tokens.to_string();
            !words.contains("not") && (words.contains("test") || words.contains("fuzzing"))
        }
    })
}

struct Reader {
    /// The module that is being read: the file's, or one inside it.
    here: Module,
    names: BTreeSet<Module>,
    given: BTreeMap<String, Module>,
    for_tests: BTreeSet<Module>,
    children: BTreeSet<String>,
    depth: usize,
}

impl Reader {
    fn new(here: Module) -> Reader {
        Reader {
            here,
            names: BTreeSet::new(),
            given: BTreeMap::new(),
            for_tests: BTreeSet::new(),
            children: BTreeSet::new(),
            depth: 0,
        }
    }

    /// A path as written, from the crate's root; nothing where it leads into another crate.
    fn absolute(&self, path: &[String]) -> Option<Module> {
        let mut from = match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" | "super" => self.here.clone(),
            child if self.children.contains(child) => {
                return Some(self.here.iter().chain(path).cloned().collect());
            }
            _ => return None,
        };
        let mut rest = path;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "super" => drop(from.pop()),
                "self" => {}
                _ => break,
            }
            rest = after;
        }
        from.extend(rest.iter().cloned());
        Some(from)
    }

    fn note_use(&mut self, tree: &UseTree, before: &mut Module, is_given: bool) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_use(&path.tree, before, is_given);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|item| self.note_use(item, before, is_given)),
            UseTree::Name(name) if name.ident == "self" => {
                self.note_name(before, before.last().cloned(), is_given);
            }
            UseTree::Name(name) => {
                let path: Module = before.iter().cloned().chain([name.ident.to_string()]).collect();
                self.note_name(&path, Some(name.ident.to_string()), is_given);
            }
            UseTree::Rename(rename) => {
                let path: Module = before.iter().cloned().chain([rename.ident.to_string()]).collect();
                self.note_name(&path, Some(rename.rename.to_string()), is_given);
            }
            UseTree::Glob(_) => {
                // A glob that gives names on would have to be followed; none does.
                let path = self.absolute(before);
                assert!(!is_given || path.is_none(), "{}: names are given on by a glob", self.here.join("::"));
                self.names.extend(path);
            }
        }
    }

    fn note_name(&mut self, path: &[String], name: Option<String>, is_given: bool) {
        let Some(path) = self.absolute(path) else { return };
        if is_given {
            if let Some(name) = name {
                self.given.insert(name, path);
            }
        } else {
            self.names.insert(path);
        }
    }

    fn note_tokens(&mut self, tokens: TokenStream) {
        let mut path: Module = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) if path.is_empty() || colons == 2 => {
                    path.push(word.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => self.note_tokens(group.stream()),
                TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            self.note_written(&path);
            path.clear();
            colons = 0;
        }
        self.note_written(&path);
    }

    fn note_written(&mut self, path: &[String]) {
        if path.len() > 1
            && let Some(path) = self.absolute(path)
        {
            self.names.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_file(&mut self, file: &'ast File) {
        for item in &file.items {
            if let Item::Mod(ItemMod { content: None, ident, attrs, .. }) = item {
                self.children.insert(ident.to_string());
                if is_for_tests(attrs) {
                    self.for_tests.insert(self.here.iter().cloned().chain([ident.to_string()]).collect());
                }
            }
        }
        visit::visit_file(self, file);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if is_for_tests(&module.attrs) || module.content.is_none() {
            return;
        }
        self.here.push(module.ident.to_string());
        self.depth += 1;
        visit::visit_item_mod(self, module);
        self.depth -= 1;
        self.here.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if is_for_tests(&item.attrs) {
            return;
        }
        let is_given = self.depth == 0 && !matches!(item.vis, Visibility::Inherited);
        self.note_use(&item.tree, &mut Vec::new(), is_given);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Module = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note_written(&written);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, written: &'ast Macro) {
        self.note_tokens(written.tokens.clone());
    }
}
