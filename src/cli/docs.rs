//! Tests that hold the documents against the code: `docs/COMMANDS.md` and the manual pages know every command and flag, the
//! documents' links lead somewhere. `UPDATE_DOCS=1 cargo test --lib cli::docs` rewrites `docs/COMMANDS.md`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::args::Cli;

const HEAD: &str = "\
# Commands

<!-- Made from src/cli/args.rs by `UPDATE_DOCS=1 cargo test --lib cli::docs`. Do not edit. -->

Exit codes of all of them: 0 ok, 1 failure, 2 usage or configuration. Errors are one line on standard error, with what to do below it. The same
texts are in the manual pages: `cxonefs man DIR` writes them.
";

/// Commands as the user sees them, the program itself first.
fn commands() -> Vec<(String, clap::Command)> {
    let mut program = Cli::command().term_width(110);
    program.build();
    let below = program.get_subcommands().filter(|command| command.get_name() != "help").cloned();
    let named = below.map(|command| (format!("cxonefs {}", command.get_name()), command));
    std::iter::once((String::from("cxonefs"), program.clone())).chain(named).collect()
}

fn markdown() -> String {
    let mut text = String::from(HEAD);
    for (name, mut command) in commands() {
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(text, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()).unwrap();
    }
    text
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// Flags of a command, without those of every command.
fn flags(command: &clap::Command) -> Vec<String> {
    let long = command.get_arguments().filter_map(|argument| argument.get_long());
    long.filter(|name| !["help", "version"].contains(name)).map(|name| format!("--{name}")).collect()
}

#[test]
fn the_document_is_up_to_date() {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join("docs/COMMANDS.md"), markdown()).unwrap();
    }
    assert!(
        read("docs/COMMANDS.md") == markdown(),
        "docs/COMMANDS.md is not what the commands say; run with UPDATE_DOCS=1"
    );
}

#[test]
fn every_flag_and_variable_is_in_the_documents_and_in_the_manual() {
    let dir = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(Cli::command(), dir.path()).unwrap();
    let documents = read("docs/COMMANDS.md");
    for (name, command) in commands() {
        let page = dir.path().join(format!("{}.1", name.replace(' ', "-")));
        let page = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        for flag in flags(&command) {
            assert!(page.contains(&flag.replace('-', "\\-")), "{name} {flag} is not in the manual");
            assert!(documents.contains(&flag), "{name} {flag} is not in docs/COMMANDS.md");
        }
        for variable in command.get_arguments().filter_map(clap::Arg::get_env).filter_map(|name| name.to_str()) {
            assert!(page.contains(variable) && documents.contains(variable), "{variable} of {name}");
            assert!(read("docs/CONFIGURATION.md").contains(variable), "{variable} of {name}");
        }
    }
}

/// The target of each link of a document, with the line it is on.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut is_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, beyond)) = after.split_once(')') else { break };
            found.push((number + 1, target.to_owned()));
            rest = beyond;
        }
    }
    found
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn documents() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let top = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        docs.chain(top).filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    found.push(root().join("tests/README.md"));
    found
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for (line, target) in links(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let place = format!("{}:{line}: {target}", document.display());
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let path =
                if file.is_empty() { document.clone() } else { document.parent().unwrap_or(Path::new("/")).join(file) };
            assert!(path.exists(), "{place}: there is no such file");
            if !heading.is_empty() {
                let text = std::fs::read_to_string(&path).unwrap();
                let known = text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading);
                assert!(known, "{place}: there is no such heading");
            }
        }
    }
}
