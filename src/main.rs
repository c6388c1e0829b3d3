//! Parse, dispatch, exit codes. Everything else is in the library.

#[global_allocator]
static ALLOCATOR: cxonefs::ops::heap::Wiping = cxonefs::ops::heap::Wiping;

fn main() -> std::process::ExitCode {
    cxonefs::cli::main()
}
