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

    /// The channel for a `mediaTypeName`, in the spellings that tenants use ("Call", "Phone Call", "E-Mail", "Work Item" …); `None` for
    /// any other name.
    #[must_use]
    pub fn from_media_type_name(name: &str) -> Option<Channel> {
        let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect();
        Some(match letters.to_ascii_lowercase().as_str() {
            "call" | "calls" | "phone" | "phonecall" | "voice" | "inboundcall" | "outboundcall" => Channel::Call,
            "voicemail" | "voicemails" => Channel::Voicemail,
            "email" | "emails" | "mail" | "inboundemail" | "outboundemail" => Channel::Email,
            "chat" | "chats" | "webchat" | "chatsession" => Channel::Chat,
            "sms" | "text" | "textmessage" => Channel::Sms,
            "digital" | "digitalexperience" | "dfo" | "be" | "brandembassy" => Channel::Digital,
            "social" | "socialmedia" => Channel::Social,
            "work" | "workitem" | "workitems" => Channel::Work,
            _ => return None,
        })
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

/// Which channels are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channels {
    /// In the order of [`Channel::NAMED`].
    named: [bool; Channel::NAMED.len()],
    /// Every one that has no word.
    others: bool,
    /// Those without a word that were asked for by number.
    numbers: Vec<i64>,
}

impl Channels {
    /// The word for every channel that has no word of its own.
    const OTHERS: &str = "other";
    /// All there are.
    pub const ALL: Channels = Channels { named: [true; Channel::NAMED.len()], others: true, numbers: Vec::new() };

    /// Reads words of the configuration: names of channels, `media{id}`, or `other`. The error is the word that is none.
    pub fn parse<T: AsRef<str>>(words: &[T]) -> Result<Channels, &str> {
        let mut channels = Channels { named: [false; Channel::NAMED.len()], others: false, numbers: Vec::new() };
        for word in words.iter().map(AsRef::as_ref) {
            if word == Channels::OTHERS {
                channels.others = true;
                continue;
            }
            let channel = Channel::parse(word).ok_or(word)?;
            match (Channel::NAMED.iter().position(|named| *named == channel), channel) {
                (Some(position), _) => channels.named[position] = true,
                (None, channel) if channels.numbers.contains(&channel.media_type_id()) => {}
                (None, channel) => channels.numbers.push(channel.media_type_id()),
            }
        }
        Ok(channels)
    }

    /// Whether a channel is shown.
    #[must_use]
    pub fn contains(&self, channel: Channel) -> bool {
        let named = Channel::NAMED.iter().position(|named| *named == channel);
        named.map_or_else(
            || self.others || self.numbers.contains(&channel.media_type_id()),
            |position| self.named[position],
        )
    }
}

/// As the configuration writes it.
impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Channel::NAMED.iter().zip(self.named).filter(|(_, shown)| *shown).map(|(channel, _)| *channel);
        let numbers = self.numbers.iter().map(|id| Channel::from_media_type_id(*id));
        let words = named.chain(numbers).map(|channel| channel.to_string());
        let words: Vec<String> = words.chain(self.others.then(|| Channels::OTHERS.to_owned())).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_word_is_shown_with_the_others_or_by_number() {
        let shown = |words: &[&str]| Channels::parse(words).unwrap();
        let default = shown(&["call", "other"]);
        assert!(default.contains(Channel::Call) && default.contains(Channel::Other(42)));
        assert!(!default.contains(Channel::Work));
        let numbered = shown(&["media42", "call", "media42", "media6"]);
        assert!(numbered.contains(Channel::Other(42)) && !numbered.contains(Channel::Other(43)));
        assert_eq!(numbered.to_string(), "call,work,media42");
        assert_eq!(Channels::parse(&["call", "phone"]), Err("phone"));
        assert!(Channels::ALL.contains(Channel::Work) && Channels::ALL.contains(Channel::Other(0)));
        assert_eq!(Channels::ALL.to_string(), "call,voicemail,chat,email,sms,digital,social,work,other");
    }

    #[test]
    fn a_media_type_is_known_by_its_name() {
        let named = Channel::from_media_type_name;
        for channel in Channel::NAMED {
            assert_eq!(named(&channel.to_string().to_uppercase()), Some(channel));
        }
        assert_eq!(named("Phone Call"), Some(Channel::Call));
        assert_eq!(named("E-Mail"), Some(Channel::Email));
        assert_eq!(named("Voice Mail"), Some(Channel::Voicemail));
        assert_eq!(named("Work Item"), Some(Channel::Work));
        assert_eq!((named("Fax"), named(""), named("4")), (None, None, None));
    }

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
