//! Parse, dispatch, exit codes. Everything else is in the library.

fn main() -> std::process::ExitCode {
    cxonefs::cli::main()
}
