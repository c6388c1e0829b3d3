//! Tests that hold the documents against the code: `docs/COMMANDS.md` and the manual pages know every command and flag, the
//! documents' links lead somewhere, their examples are run by a test or say why not, every variable that is read is documented. `UPDATE_DOCS=1 cargo test --lib cli::docs` rewrites `docs/COMMANDS.md`.

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

/// Where links and examples may lead: nothing else is ours to promise, and no test can follow them.
const HOSTS: [&str; 3] = ["www.rust-lang.org", "cxone.niceincontact.com", "127.0.0.1"];

#[test]
fn addresses_are_well_formed_and_of_known_hosts() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for (start, _) in text.match_indices("://") {
            let scheme = text[..start].rfind(|c: char| !c.is_ascii_lowercase()).map_or(0, |at| at + 1);
            let end =
                text[start..].find(|c: char| c.is_whitespace() || "`)\"<>,|".contains(c)).unwrap_or(text.len() - start);
            let address = &text[scheme..start + end];
            // A scheme by itself, and a placeholder in a usage line.
            if address.ends_with("://") || address.contains("ADDRESS") {
                continue;
            }
            let place = format!("{}: {address}", document.display());
            let url = url::Url::parse(address).unwrap_or_else(|error| panic!("{place}: {error}"));
            let host = url.host_str().unwrap_or_default();
            assert!(HOSTS.contains(&host), "{place}: is not a host that documents may name");
            assert!(url.scheme() == "https" || host == "127.0.0.1", "{place}");
        }
    }
}

/// The test that runs a document's `sh` and `console` blocks.
const RUN_BY: [(&str, &str); 9] = [
    ("README.md", "tests/e2e/docs/mod.rs"),
    ("docs/BACKUP.md", "tests/e2e/docs/mod.rs"),
    ("docs/COSTS.md", "tests/e2e/docs/mod.rs"),
    ("docs/INSTALL.md", "tests/e2e/docs/mod.rs"),
    ("docs/SEMANTICS.md", "tests/e2e/docs/mod.rs"),
    ("docs/SIMULATOR.md", "tests/e2e/docs/mod.rs"),
    ("docs/TROUBLESHOOTING.md", "tests/e2e/docs/mod.rs"),
    ("docs/UPGRADING.md", "tests/e2e/docs/mod.rs"),
    ("docs/SECURITY.md", "tests/e2e/privacy/document.rs"),
];

#[test]
fn examples_are_run_or_say_why_not() {
    for document in documents() {
        let name = document.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let runner = RUN_BY.iter().find(|(known, _)| *known == name);
        if let Some((_, test)) = runner {
            assert!(read(test).contains(&name), "{test} does not run {name}");
        }
        let text = std::fs::read_to_string(&document).unwrap();
        let mut before = "";
        let mut is_code = false;
        for (number, line) in text.lines().enumerate() {
            let place = format!("{name}:{}", number + 1);
            if let Some(language) = line.trim_start().strip_prefix("```") {
                is_code = !is_code;
                let reason = before.trim().strip_prefix("<!-- test: skip:").and_then(|rest| rest.strip_suffix("-->"));
                match language {
                    "sh" | "console" => {
                        let said = reason.is_some_and(|reason| reason.trim().len() > 10);
                        assert!(said || runner.is_some(), "{place} is run by no test and does not say why");
                    }
                    "" if !is_code => {}
                    other => {
                        assert!(["text", "toml", "ini", "json"].contains(&other), "{place}: is {other:?} run or not?");
                    }
                }
            }
            if !line.trim().is_empty() {
                before = line;
            }
        }
    }
}

/// What the source reads of the environment by name; what is read for tests and by every program is not ours to explain.
#[test]
fn every_variable_that_is_read_is_documented() {
    const NOT_OURS: [&str; 6] = [
        "UPDATE_DOCS",
        "CXONEFS_TEST_AUDIT_SOCKET",
        "CXONEFS_TEST_FULL",
        "CXONEFS_TEST_GUESS",
        "CXONEFS_FUZZ_CORPUS",
        "PATH",
    ];
    let page = super::man::configuration();
    let mut found = 0;
    for entry in walkdir::WalkDir::new(root().join("src")).into_iter().map(Result::unwrap) {
        if entry.path().extension().is_none_or(|end| end != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        for part in text.split("env::var").skip(1) {
            let part = part.strip_prefix("_os").unwrap_or(part);
            let Some((name, _)) = part.strip_prefix("(\"").and_then(|rest| rest.split_once('"')) else { continue };
            if NOT_OURS.contains(&name) {
                continue;
            }
            found += 1;
            let place = format!("{} of {}", name, entry.path().display());
            assert!(
                read("docs/CONFIGURATION.md").contains(&format!("`{name}`")),
                "{place} is not in docs/CONFIGURATION.md"
            );
            assert!(page.contains(name), "{place} is not in cxonefs.toml(5)");
        }
    }
    assert!(found > 8, "only {found} were found: is the environment read in another way?");
}
