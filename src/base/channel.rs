//! The channel of an interaction, from Reporting's `mediaTypeId`.

use std::fmt;

/// How people talked. Source: `mediaTypeId` of the Reporting API (1, 3–9 are known; others are kept by number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Call,
    Voicemail,
    Chat,
    Email,
    Sms,
    Digital,
    Social,
    Work,
    /// A media type that this version has no word for; shown as `media{id}`.
    Other(i64),
}

impl Channel {
    /// Every channel that has a word, in the order in which the configuration lists them.
    pub const NAMED: [Channel; 8] = [
        Channel::Call,
        Channel::Voicemail,
        Channel::Chat,
        Channel::Email,
        Channel::Sms,
        Channel::Digital,
        Channel::Social,
        Channel::Work,
    ];

    /// The channel for a `mediaTypeId`.
    #[must_use]
    pub fn from_media_type_id(id: i64) -> Channel {
        match id {
            1 => Channel::Email,
            3 => Channel::Chat,
            4 => Channel::Call,
            5 => Channel::Voicemail,
            6 => Channel::Work,
            7 => Channel::Sms,
            8 => Channel::Social,
            9 => Channel::Digital,
            other => Channel::Other(other),
        }
    }

    /// The inverse of [`Channel::from_media_type_id`].
    #[must_use]
    pub fn media_type_id(self) -> i64 {
        match self {
            Channel::Email => 1,
            Channel::Chat => 3,
            Channel::Call => 4,
            Channel::Voicemail => 5,
            Channel::Work => 6,
            Channel::Sms => 7,
            Channel::Social => 8,
            Channel::Digital => 9,
            Channel::Other(id) => id,
        }
    }

    /// Reads a word of the configuration's `tree.media_types`: a channel's name or `media{id}`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Channel> {
        let named = Channel::NAMED.into_iter().find(|channel| channel.to_string() == word);
        named.or_else(|| word.strip_prefix("media")?.parse().ok().map(Channel::from_media_type_id))
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Channel::Call => "call",
            Channel::Voicemail => "voicemail",
            Channel::Chat => "chat",
            Channel::Email => "email",
            Channel::Sms => "sms",
            Channel::Digital => "digital",
            Channel::Social => "social",
            Channel::Work => "work",
            Channel::Other(id) => return write!(f, "media{id}"),
        };
        f.write_str(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_round_trip() {
        for id in 0..12 {
            let channel = Channel::from_media_type_id(id);
            assert_eq!(channel.media_type_id(), id);
            assert_eq!(Channel::parse(&channel.to_string()), Some(channel));
        }
        assert_eq!(Channel::parse("phone"), None);
    }
}
