//! `cxonefs simulate`: the simulated tenant alone, until a signal.

use std::io::Write;

use super::args::SimulateArgs;
use super::mount::log_settings;
use super::simulator::{Simulator, Wanted};
use super::workspace::{self, Workspace};
use crate::base::failure::Failure;
use crate::base::{SystemClock, complain};
use crate::daemon::{self, Signals};
use crate::ops::logging;

/// Serves until SIGINT or SIGTERM.
pub fn run(args: SimulateArgs) -> Result<(), Failure> {
    logging::start(&log_settings(&args.log, "warn", false, None)?)?;
    let runtime = daemon::runtime()?;
    runtime.block_on(serve(args))
}

async fn serve(args: SimulateArgs) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let wanted = Wanted::settle(args.tenant, Some(args.limits), args.listen, &SystemClock);
    let simulator = Simulator::start(&wanted).await?;
    // Kept until the end: a temporary one goes with it.
    let _workspace = if args.print_config {
        let workspace = Workspace::create(args.dir.as_deref())?;
        let secret_file = workspace.write_secret(simulator.secret())?;
        let client_secret_file = workspace.write_client_secret(simulator.client_secret())?;
        print(&simulator.config_toml_with_client(&workspace, &secret_file, &client_secret_file))?;
        complain(format_args!("a simulated tenant is at http://{}; Ctrl-C ends it", simulator.address()));
        Some(workspace)
    } else {
        print(&format!("a simulated tenant is at http://{}; Ctrl-C ends it\n", simulator.address()))?;
        None
    };
    if let Some(path) = &args.port_file {
        workspace::write_atomically(path, format!("{}\n", simulator.address().port()).as_bytes())?;
    }
    signals.next().await;
    Ok(())
}

/// To standard output, and out of its buffer: who reads it waits for it.
fn print(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| Failure::failed(error).while_doing("writing to standard output"))
}
