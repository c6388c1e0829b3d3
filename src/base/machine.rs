//! What this machine is called, for documents that name it.

/// The machine's name; empty where it tells none.
#[must_use]
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
