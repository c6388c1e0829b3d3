//! Programs from package indexes, installed once, below `target/`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tool::sh;

/// An index may be slow; what it gave stays.
const INSTALLED_WITHIN: Duration = Duration::from_mins(8);

/// A virtual environment with these packages of Python.
pub fn of_python(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let install = "python3 -m venv . && ./bin/pip install --quiet --disable-pip-version-check";
    installed(name, "Python's package index", install, packages)
}

/// A folder with these packages of Node.
pub fn of_node(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    installed(name, "Node's package registry", "npm install --silent --no-audit --no-fund --prefix .", packages)
}

fn installed(name: &str, index: &str, install: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let packages = packages.join(" ");
    let done = dir.join("installed");
    // Two tests may want it at once.
    let line = format!(
        "mkdir -p '{dir}'; exec 9> '{dir}.lock'; flock 9; [ \"$(cat '{done}' 2>&1)\" != '{packages}' ] || exit 0
         rm -rf '{dir}'; mkdir '{dir}'; cd '{dir}'; {install} {packages} && echo '{packages}' > '{done}'",
        dir = dir.display(),
        done = done.display()
    );
    let run = sh(&line).within(INSTALLED_WITHIN).run();
    if run.code() == 0 { Ok(dir) } else { Err(format!("{packages} cannot be had from {index}: {}", run.stderr)) }
}
