//! Which files stand beside `contact.json`: predicted from the channel before the billed call, exact after it.
//!
//! Pure.

use std::sync::Arc;

use jiff::Timestamp;

use crate::base::Channel;
use crate::catalog::{FileKind, Interaction, Resolution, ResolvedFile};

/// The free file of every interaction folder.
pub const CONTACT_JSON: &str = "contact.json";

/// A billed file as the folder shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    pub kind: FileKind,
    pub name: Arc<str>,
    /// Bytes, where they are known.
    pub size: Option<u64>,
    /// Bytes of a recording are told apart by it.
    pub validator: String,
    /// The billed call said so; a prediction otherwise.
    pub certain: bool,
}

impl Child {
    fn predicted(kind: FileKind) -> Child {
        Child { kind, name: predicted_name(kind).into(), size: None, validator: String::new(), certain: false }
    }

    fn resolved(file: &ResolvedFile) -> Child {
        Child {
            kind: file.kind,
            name: file.name.clone(),
            size: file.size,
            validator: file.validator.clone(),
            certain: true,
        }
    }
}

/// The files that a channel's billed call is expected to reveal.
pub fn predicted(channel: Channel) -> &'static [FileKind] {
    match channel {
        Channel::Call | Channel::Voicemail => &[FileKind::Metadata, FileKind::Recording(0)],
        Channel::Chat => &[FileKind::Metadata, FileKind::TranscriptText, FileKind::TranscriptJson],
        Channel::Email => &[FileKind::Metadata, FileKind::Email(0)],
        Channel::Sms | Channel::Digital | Channel::Social | Channel::Work | Channel::Other(_) => &[FileKind::Metadata],
    }
}

/// The name of a file before it is known better.
pub fn predicted_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Metadata => "metadata.json",
        FileKind::TranscriptText => "transcript.txt",
        FileKind::TranscriptJson => "transcript.json",
        FileKind::Email(_) => "email.eml",
        FileKind::Recording(_) => "recording.mp4",
    }
}

/// Whether showing this interaction truly needs a (first or another) billed call.
pub fn needs_call(resolution: &Resolution, now: Timestamp) -> bool {
    match resolution {
        Resolution::Unresolved => true,
        Resolution::Resolved { recheck_at, .. } => recheck_at.is_some_and(|at| at <= now),
    }
}

/// The billed files of an interaction's folders. What was missing is predicted again once it may be asked for again.
pub fn billed_children(interaction: &Interaction, now: Timestamp) -> Vec<Child> {
    let mut children: Vec<Child> = match &interaction.resolution {
        Resolution::Unresolved => Vec::new(),
        Resolution::Resolved { files, .. } => files.iter().map(Child::resolved).collect(),
    };
    if needs_call(&interaction.resolution, now) {
        for &kind in predicted(interaction.channel) {
            if !children.iter().any(|child| child.kind == kind) {
                children.push(Child::predicted(kind));
            }
        }
    }
    children.sort_by_key(|child| child.kind);
    children
}

/// The child of that name. `recording.mp4` stays an alias of a first recording that turned out to be called otherwise.
pub fn find_child(interaction: &Interaction, now: Timestamp, name: &str) -> Option<Child> {
    let mut children = billed_children(interaction, now);
    let exact = children.iter().position(|child| &*child.name == name);
    let alias = || {
        let first = |child: &Child| child.kind == FileKind::Recording(0);
        if name == predicted_name(FileKind::Recording(0)) { children.iter().position(first) } else { None }
    };
    exact.or_else(alias).map(|index| children.swap_remove(index))
}

/// The child of that kind.
pub fn child_of_kind(interaction: &Interaction, now: Timestamp, kind: FileKind) -> Option<Child> {
    // Asked for with every look at a file: without making the others up.
    let known = match &interaction.resolution {
        Resolution::Unresolved => None,
        Resolution::Resolved { files, .. } => files.iter().find(|file| file.kind == kind),
    };
    let expected = || needs_call(&interaction.resolution, now) && predicted(interaction.channel).contains(&kind);
    known.map(Child::resolved).or_else(|| expected().then(|| Child::predicted(kind)))
}

/// Whether opening this file truly needs a billed call: what is known stays known while something else may be asked for again.
pub fn open_needs_call(interaction: &Interaction, now: Timestamp, kind: FileKind) -> bool {
    let is_certain = || child_of_kind(interaction, now, kind).is_some_and(|child| child.certain);
    needs_call(&interaction.resolution, now) && !is_certain()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MasterId;

    fn interaction(channel: Channel, resolution: Resolution) -> Interaction {
        Interaction {
            master_id: MasterId(1),
            channel,
            ino_base: 256,
            mtime: Timestamp::UNIX_EPOCH,
            duration_s: 1.0,
            places: 1,
            resolution,
            obstacles: crate::catalog::Obstacles::default(),
        }
    }

    fn file(kind: FileKind, name: &str) -> ResolvedFile {
        ResolvedFile { kind, name: name.into(), size: Some(1), validator: String::new() }
    }

    fn names(interaction: &Interaction, now: Timestamp) -> Vec<String> {
        billed_children(interaction, now).iter().map(|child| child.name.to_string()).collect()
    }

    #[test]
    fn an_unresolved_folder_is_predicted_from_its_channel() {
        let shown = |channel| names(&interaction(channel, Resolution::Unresolved), Timestamp::UNIX_EPOCH);
        assert_eq!(shown(Channel::Call), ["metadata.json", "recording.mp4"]);
        assert_eq!(shown(Channel::Chat), ["metadata.json", "transcript.txt", "transcript.json"]);
        assert_eq!(shown(Channel::Email), ["metadata.json", "email.eml"]);
        assert_eq!(shown(Channel::Digital), ["metadata.json"]);
    }

    #[test]
    fn a_resolved_folder_is_exact() {
        let files = [file(FileKind::Metadata, "metadata.json"), file(FileKind::Recording(0), "recording.wav")];
        let resolved = interaction(Channel::Call, Resolution::Resolved { files: files.into(), recheck_at: None });
        assert_eq!(names(&resolved, Timestamp::UNIX_EPOCH), ["metadata.json", "recording.wav"]);
        let alias = find_child(&resolved, Timestamp::UNIX_EPOCH, "recording.mp4").unwrap();
        assert_eq!(&*alias.name, "recording.wav");
        assert!(find_child(&resolved, Timestamp::UNIX_EPOCH, "recording_2.mp4").is_none());
    }

    #[test]
    fn a_missing_recording_is_shown_again_when_it_may_be_asked_for_again() {
        let later = Timestamp::from_second(3600).unwrap();
        let none = Resolution::Resolved { files: [].into(), recheck_at: Some(later) };
        let call = interaction(Channel::Call, none);
        assert!(names(&call, Timestamp::UNIX_EPOCH).is_empty());
        assert_eq!(names(&call, later), ["metadata.json", "recording.mp4"]);
    }

    #[test]
    fn one_kind_is_what_it_is_among_all() {
        let later = Timestamp::from_second(3600).unwrap();
        let files = [file(FileKind::Metadata, "metadata.json"), file(FileKind::Recording(1), "recording_2.wav")];
        for resolution in [
            Resolution::Unresolved,
            Resolution::Resolved { files: files.clone().into(), recheck_at: None },
            Resolution::Resolved { files: files.into(), recheck_at: Some(later) },
        ] {
            for channel in Channel::NAMED {
                let interaction = interaction(channel, resolution.clone());
                for now in [Timestamp::UNIX_EPOCH, later] {
                    let all = billed_children(&interaction, now);
                    let kinds = [FileKind::TranscriptText, FileKind::Recording(0), FileKind::Recording(2)];
                    for kind in all.iter().map(|child| child.kind).chain(kinds) {
                        let among = all.iter().find(|child| child.kind == kind).cloned();
                        assert_eq!(child_of_kind(&interaction, now, kind), among);
                    }
                }
            }
        }
    }
}
