//! `docs/PROGRAMS.md`: which program gets every byte from which door. Made of the table, which the matrix holds to what is measured:
//! `UPDATE_DOCS=1 cargo nextest run --test e2e -E 'test(programs::page)'` writes it anew.

use std::fmt::Write;
use std::path::PathBuf;

use super::table::{ALL, Class, Gives, Program};

const HEAD: &str = "\
# Programs

<!-- Made from tests/e2e/programs/table.rs by `UPDATE_DOCS=1 cargo nextest run --test e2e -E 'test(programs::page)'`. Do not edit. -->

Until an interaction was opened once, `stat` shows an estimate of its size (see [SEMANTICS.md](SEMANTICS.md#sizes)). This page says what each
program and each call makes of that. The test suite measures it: every program below reads recordings and documents that are unresolved, resolved and
cached, as root and as a user, with passthrough and without, where the estimate is too high, too low and right. No program that is called exact ever got a
wrong byte.

A program that needs the exact door is one that relies on the size that it saw before it opened the file. Give it a second mount of the same
program, where `stat` resolves:

```toml
[[mount.also]]
dir = \"/mnt/recordings-exact\"
resolve_on = \"stat\"
```

Looking costs billed calls there, so let people use the first mount. Once an interaction is resolved, every program is exact in both.
In the rare case that the true size is higher than the estimate, the first open fails once with `Input/output error`, and the next one is exact.

";

fn page() -> String {
    let mut text = String::from(HEAD);
    section(&mut text, "Exact by default", "Every byte, from every state.", |p| {
        p.class == Class::Exact && p.gives != Gives::Estimate
    });
    section(
        &mut text,
        "Needs the exact door, and fails loudly without it",
        "Exit code not 0; no wrong copy passes for a good one.",
        |p| p.class == Class::Loud,
    );
    section(
        &mut text,
        "Needs the exact door",
        "Where the estimate is not the truth, the result may be wrong with exit code 0.",
        |p| p.class == Class::Door,
    );
    section(
        &mut text,
        "Shows the estimate",
        "Free, never 0; exact once the interaction is resolved, and through the exact door.",
        |p| p.gives == Gives::Estimate,
    );
    section(&mut text, "Refused", "", |p| p.class == Class::Refused);
    text
}

fn section(text: &mut String, title: &str, means: &str, is_in: fn(&Program) -> bool) {
    write!(text, "## {title}\n\n").unwrap();
    if !means.is_empty() {
        write!(text, "{means}\n\n").unwrap();
    }
    let programs: Vec<&Program> = ALL.iter().filter(|program| is_in(program)).collect();
    if programs.iter().any(|program| !program.why.is_empty()) {
        text.push_str("| program or call | why |\n| --- | --- |\n");
        for program in programs {
            writeln!(text, "| {} | {} |", program.name, program.why).unwrap();
        }
    } else {
        let names: Vec<&str> = programs.iter().map(|program| program.name).collect();
        writeln!(text, "{}.", names.join(" · ")).unwrap();
    }
    text.push('\n');
}

#[test]
fn the_document_is_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/PROGRAMS.md");
    let text = format!("{}\n", page().trim_end());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "docs/PROGRAMS.md is not what the table says; run with UPDATE_DOCS=1");
}

#[test]
fn the_matrix_has_sixty_programs_and_no_name_twice() {
    let names: std::collections::BTreeSet<&str> = ALL.iter().map(|program| program.name).collect();
    assert!(names.len() >= 60 && names.len() == ALL.len(), "{} of {}", names.len(), ALL.len());
    for program in ALL {
        let has_reason = !matches!(program.class, Class::Exact);
        assert_eq!(has_reason, !program.why.is_empty(), "{}", program.name);
    }
}
