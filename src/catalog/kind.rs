//! Which of an interaction's shared files. Plain.

/// Which of an interaction's shared files. Ordered by its number (see `inode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    Metadata,
    TranscriptText,
    TranscriptJson,
    /// `email.eml` is 0, `email_2.eml` is 1, …
    Email(u8),
    /// `recording.mp4` is 0, `recording_2.mp4` is 1, …
    Recording(u8),
}
