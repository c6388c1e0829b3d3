//! What this machine and its users are called, for documents that name them.

/// The machine's name; empty where it tells none.
#[must_use]
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// The name of a local user, from whatever the machine asks for users. May wait for a directory service.
#[must_use]
pub fn user_name(uid: u32) -> Option<String> {
    uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned())
}
