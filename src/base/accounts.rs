//! Names and numbers of users and groups, as the system's name service tells them: files, LDAP, whatever `getent` asks. A lookup may wait for a
//! server, so it is made where nobody else waits.

/// The number of a user.
#[must_use]
pub fn user_id(name: &str) -> Option<u32> {
    uzers::get_user_by_name(name).map(|user| user.uid())
}

/// The number of a group.
#[must_use]
pub fn group_id(name: &str) -> Option<u32> {
    uzers::get_group_by_name(name).map(|group| group.gid())
}

/// The name of a user.
#[must_use]
pub fn user_name(uid: u32) -> Option<String> {
    uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nobody_else_is_made_up() {
        assert_eq!((user_id("root"), group_id("root"), user_name(0).as_deref()), (Some(0), Some(0), Some("root")));
        assert_eq!((user_id("no-such-user"), group_id("no-such-group"), user_name(0x7fff_fff0)), (None, None, None));
    }
}
