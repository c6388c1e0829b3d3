//! `cxonefs man`: manual pages, from the one definition of the command line and the one table of keys.

mod config_page;

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;

use super::args::{Cli, ManArgs};
use crate::base::failure::Failure;

/// The page about the configuration.
const CONFIG_PAGE: &str = "cxonefs.toml.5";

/// Prints the main page, or writes all of them to a directory.
pub fn run(args: &ManArgs) -> Result<(), Failure> {
    if let Some(directory) = &args.directory {
        let doing = format!("writing manual pages to {}", directory.display());
        return write_all(directory).map_err(|error| Failure::failed(error).while_doing(doing));
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
    let written = rendered.and_then(|()| std::io::stdout().lock().write_all(&page));
    Failure::of_output(written)
}

/// cxonefs.toml(5), for tests that hold the documents against the code.
#[cfg(test)]
pub fn configuration() -> String {
    config_page::roff()
}

fn write_all(directory: &Path) -> std::io::Result<()> {
    clap_mangen::generate_to(Cli::command(), directory)?;
    std::fs::write(directory.join(CONFIG_PAGE), config_page::roff())
}
