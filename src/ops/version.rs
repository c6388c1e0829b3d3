//! Which program this is.

/// What is compiled in.
macro_rules! features {
    () => {
        "fuse-passthrough journald prometheus tls-ring sqlite-bundled"
    };
}

/// `0.1.0`, with the commit where it is known.
pub const SHORT: &str = match env!("BUILD_COMMIT").as_bytes() {
    [] => env!("CARGO_PKG_VERSION"),
    _ => concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_COMMIT"), ")"),
};

/// The same, with what it was built for.
pub const LONG: &str = match env!("BUILD_COMMIT").as_bytes() {
    [] => concat!(env!("CARGO_PKG_VERSION"), "\ntarget: ", env!("BUILD_TARGET"), "\nfeatures: ", features!()),
    _ => concat!(
        env!("CARGO_PKG_VERSION"),
        " (",
        env!("BUILD_COMMIT"),
        ")\ntarget: ",
        env!("BUILD_TARGET"),
        "\nfeatures: ",
        features!()
    ),
};
