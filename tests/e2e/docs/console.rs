//! Documents as they are run: the commands of their `console` blocks with the output that they show, those of their `sh` blocks, which have
//! to succeed, and remarks to the test that readers do not see. Text only; knows no shell.
//!
//! ```text
//! <!-- test: remount -->          a remark: the test does it, then goes on
//! <!-- test: skip: too slow -->   the next block is not run, and why
//! ```console
//! $ ls -l recording.mp4           a command; lines that begin with "> " go on with it
//! -r--r----- … 733184 …           its output: … stands for anything in a line,
//! …                               and alone for any number of lines
//! ```
//! ```

/// One thing to do, with its line in the document.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Remark {
        line: usize,
        text: String,
    },
    /// Without what it is to print, it has to succeed.
    Command {
        line: usize,
        text: String,
        shown: Option<Vec<String>>,
    },
}

const REMARK: &str = "<!-- test:";

/// What a document has to be run, in order.
pub fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = document.lines().enumerate().map(|(index, line)| (index + 1, line));
    let mut skipped = false;
    while let Some((line, text)) = lines.next() {
        if let Some(remark) = text.trim().strip_prefix(REMARK).and_then(|rest| rest.strip_suffix("-->")) {
            match remark.trim().split_once(':') {
                Some(("skip", _reason)) => skipped = true,
                _ => steps.push(Step::Remark { line, text: remark.trim().to_owned() }),
            }
        } else if let Some(language) = text.trim_start().strip_prefix("```") {
            let indent = text.len() - text.trim_start().len();
            let block = lines.by_ref().take_while(|(_, text)| text.trim() != "```");
            let block: Vec<(usize, &str)> =
                block.map(|(line, text)| (line, text.get(indent..).unwrap_or(""))).collect();
            match language {
                "console" | "sh" if std::mem::take(&mut skipped) => {}
                "console" => steps.extend(commands(&block)),
                "sh" => steps.extend(script(&block)),
                _ => {}
            }
        }
    }
    steps
}

/// The lines of a script, each a command, those that end with a backslash with the next.
fn script(block: &[(usize, &str)]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (line, text) in block {
        match steps.last_mut() {
            Some(Step::Command { text: before, .. }) if before.ends_with('\\') => {
                before.push('\n');
                before.push_str(text);
            }
            _ if text.trim().is_empty() || text.trim_start().starts_with('#') => {}
            _ => steps.push(Step::Command { line: *line, text: (*text).to_owned(), shown: None }),
        }
    }
    steps
}

fn commands(block: &[(usize, &str)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (line, text) in block {
        if let Some(command) = text.strip_prefix("$ ") {
            steps.push(Step::Command { line: *line, text: command.to_owned(), shown: Some(Vec::new()) });
        } else if let Some(Step::Command { text: command, shown: Some(shown), .. }) = steps.last_mut() {
            match text.strip_prefix("> ") {
                Some(more) if shown.is_empty() => {
                    command.push('\n');
                    command.push_str(more);
                }
                _ => shown.push(text.trim_end().to_owned()),
            }
        } else {
            panic!("line {line}: output without a command: {text}");
        }
    }
    // An empty line before the next command is the document's, not the program's.
    for step in &mut steps {
        if let Step::Command { shown: Some(shown), .. } = step {
            while shown.last().is_some_and(String::is_empty) {
                shown.pop();
            }
        }
    }
    steps
}

/// Whether the output is what is shown.
pub fn is_as_shown(output: &[&str], shown: &[String]) -> bool {
    match shown.split_first() {
        None => output.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=output.len()).any(|skipped| is_as_shown(&output[skipped..], rest))
        }
        Some((first, rest)) => output
            .split_first()
            .is_some_and(|(line, others)| is_line_as_shown(line.trim_end(), first) && is_as_shown(others, rest)),
    }
}

fn is_line_as_shown(line: &str, shown: &str) -> bool {
    let mut pieces = shown.split('…');
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(end) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(end)
}

#[test]
fn commands_are_found_with_what_they_print() {
    let document = "Text.\n```text\n$ not run\n```\n<!-- test: remount -->\n```console\n$ echo a # why\na\n\n$ cat <<X\n> b\n> X\nb\n…\n```\n\
        <!-- test: skip: why -->\n```console\n$ skipped\n```\n- item\n  ```console\n  $ true\n  ```\n```sh\n# why\nls \\\n  -l\ntrue\n```\n";
    let command = |line, text: &str, shown: &[&str]| Step::Command {
        line,
        text: text.to_owned(),
        shown: Some(shown.iter().map(ToString::to_string).collect()),
    };
    let plain = |line, text: &str| Step::Command { line, text: text.to_owned(), shown: None };
    let expected = [
        Step::Remark { line: 5, text: String::from("remount") },
        command(7, "echo a # why", &["a"]),
        command(10, "cat <<X\nb\nX", &["b", "…"]),
        command(22, "true", &[]),
        plain(26, "ls \\\n  -l"),
        plain(28, "true"),
    ];
    assert_eq!(steps(document), expected);
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (output, text) in [
        (&["a 12 b"][..], "a … b"),
        (&["a 12 b"], "…"),
        (&[], "…"),
        (&["x", "y", "z"], "x\n…\nz"),
        (&["x", "z"], "x\n…\nz"),
        (&["-r--r----- 1 me 5 f"], "-r--r-----…me…f"),
    ] {
        assert!(is_as_shown(output, &shown(text)), "{output:?} {text}");
    }
    for (output, text) in [
        (&["a 12 b"][..], "a … c"),
        (&["aba"], "ab…ba"),
        (&["a"], ""),
        (&[], "a"),
        (&["x", "y"], "x"),
        (&["x", "y", "z"], "x\n…\ny"),
    ] {
        assert!(!is_as_shown(output, &shown(text)), "{output:?} {text}");
    }
}
