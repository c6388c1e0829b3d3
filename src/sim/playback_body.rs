//! The body of a playback answer: what Media Playback says of an interaction, in all its documented shapes. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::dates::write_date;
use super::interaction::{Element, ElementKind, Interaction, Leg};
use super::mix::{below, in_share, mix};
use super::people::{customer_name, customer_number, uuid};
use super::switches::PlaybackVariant;
use super::world::World;
use crate::base::Channel;

/// The kind of uuid that segments have.
pub(super) const SEGMENT: u16 = 0x5b7e;
/// Numbers in a waveform, for who does not exclude them.
const WAVEFORM: u64 = 2000;

/// What a chat says, in turns: the agent begins.
const LINES: [&str; 8] = [
    "Hello, how may I help you?",
    "Hi! My invoice is wrong. – “10 € too much”",
    "Let me have a look.",
    "Thank you 😀",
    "I have corrected it.\nAnything else?",
    "No, that was all.",
    "Have a nice day!",
    "<b>You too</b> & goodbye",
];

/// The whole body. `urls` has one entry per element.
pub(super) fn body(
    world: &World,
    interaction: &Interaction,
    urls: &[Option<String>],
    variant: PlaybackVariant,
    waveforms: bool,
) -> Value {
    let elements = interaction.elements.iter().zip(urls);
    let elements = elements
        .map(|(element, url)| {
            let mut data = data(world, interaction, element, variant);
            put_url(&mut data, url.as_deref(), variant);
            if waveforms && is_voice(element.kind) {
                let wave = (0..WAVEFORM).map(|n| below(mix(&[interaction.word, 50, n]), 200) as i64 - 100);
                data.insert(
                    String::from("waveformDataList"),
                    json!([{"channel": 1, "data": wave.collect::<Vec<i64>>()}]),
                );
            }
            whole_element(interaction, element, data)
        })
        .collect();
    let mut outer = Map::new();
    outer.insert(String::from("contactId"), json!(uuid(0x0f3c, interaction.word, interaction.master.0 as u64)));
    outer.insert(String::from("acdcontactId"), json!(interaction.master.to_string()));
    outer.insert(
        String::from("elevatedInteraction"),
        json!(interaction.elements.len() > 1 && interaction.channel == Channel::Call),
    );
    envelope(outer, elements, variant)
}

/// Puts the elements into the shape of a variant: the key of the array, and the wrappers.
fn envelope(mut outer: Map<String, Value>, elements: Vec<Value>, variant: PlaybackVariant) -> Value {
    let wrap = |element| if variant.element_wrapper { json!({"Interaction": element}) } else { element };
    let elements: Vec<Value> = elements.into_iter().map(wrap).collect();
    let key = if variant.capital_key { "Interactions" } else { "interactions" };
    outer.insert(String::from(key), Value::Array(elements));
    if variant.value_wrapper { json!({"value": outer}) } else { Value::Object(outer) }
}

fn is_voice(kind: ElementKind) -> bool {
    matches!(kind, ElementKind::Voice | ElementKind::VoiceAndScreen)
}

fn whole_element(interaction: &Interaction, element: &Element, data: Map<String, Value>) -> Value {
    let media_type = match (element.kind, element.media) {
        (ElementKind::Voice, _) => "voice-only",
        (ElementKind::VoiceAndScreen, _) => "voice-and-screen",
        (ElementKind::Chat, false) => "chat",
        (ElementKind::Chat, true) => "chat-and-screen",
        (ElementKind::Email, _) => "email",
        (ElementKind::Digital, _) => "BE",
        (ElementKind::Work, _) => "WORKITEM",
    };
    let channel_type = match interaction.channel {
        Channel::Call | Channel::Voicemail | Channel::Other(_) => "PHONE_CALL",
        Channel::Chat => "CHAT",
        Channel::Email => "EMAIL",
        Channel::Sms => "SMS",
        Channel::Digital => "WHATSAPP_PRIVATE",
        Channel::Social => "FB_PRIVATE",
        Channel::Work => "WORKITEM",
    };
    let (start, end) = span(element);
    let mut whole = Map::new();
    whole.insert(String::from("mediaType"), json!(media_type));
    whole.insert(String::from("channelType"), json!(channel_type));
    match element.kind {
        ElementKind::Voice | ElementKind::VoiceAndScreen => whole.insert(String::from("@type"), json!("call")),
        ElementKind::Chat => whole.insert(String::from("@type"), json!("chat")),
        ElementKind::Email => whole.insert(String::from("@type"), json!("email")),
        ElementKind::Digital | ElementKind::Work => None,
    };
    whole.insert(String::from("startTime"), json!(start));
    whole.insert(String::from("endTime"), json!(end));
    whole.insert(String::from("callTaggingList"), json!([]));
    let order = format!("A-{}", below(interaction.word, 1000));
    whole.insert(String::from("dynamicBusinessData"), json!([{"id": "OrderNo", "value": order}]));
    whole.insert(String::from("data"), Value::Object(data));
    Value::Object(whole)
}

fn span(element: &Element) -> (String, String) {
    (write_date(element.start), write_date(after(element.start, element.seconds)))
}

fn after(start: Timestamp, seconds: f64) -> Timestamp {
    start.saturating_add(Duration::from_secs_f64(seconds.clamp(0.0, 1e6))).unwrap_or(start)
}

fn put_url(data: &mut Map<String, Value>, url: Option<&str>, variant: PlaybackVariant) {
    let name = if variant.lower_case_url { "filetoplayurl" } else { "fileToPlayUrl" };
    match url {
        Some(url) => data.insert(String::from(name), json!(url)),
        None if variant.empty_url => data.insert(String::from(name), json!("")),
        None if variant.lower_case_url => data.insert(String::from(name), Value::Null),
        None => None,
    };
}

/// What stands under `data`, without the URL.
fn data(world: &World, interaction: &Interaction, element: &Element, variant: PlaybackVariant) -> Map<String, Value> {
    let (start, end) = span(element);
    let restricted = if variant.is_restricted { "isCustomerRestricted" } else { "customerRestricted" };
    let last = interaction.legs.len().saturating_sub(1);
    let segments: Vec<Value> = interaction
        .legs
        .iter()
        .enumerate()
        .map(|(index, leg)| {
            json!({
                "segmentId": segment_id(leg),
                "startTime": write_date(leg.start),
                "endTime": write_date(leg.end()),
                "directionType": if interaction.outbound { "OUTBOUND" } else { "INBOUND" },
                "openReasonType": if index == 0 { "CONTACT" } else { "TRANSFER" },
                "closeReasonType": if index < last { "TRANSFER" } else { "CONTACT" },
                "firstSegment": index == 0,
                "channelType": "PHONE_CALL",
                restricted: false,
            })
        })
        .collect();
    let dfo = if variant.stray_quote { "dfoStages\"" } else { "dfoStages" };
    let common = json!({
        "startTime": start,
        "endTime": end,
        "acwEndTime": write_date(after(element.start, element.seconds + 30.0)),
        "segmentsDataList": segments,
        dfo: [],
    });
    let own = match element.kind {
        ElementKind::Voice | ElementKind::VoiceAndScreen => call_data(world, interaction, element),
        ElementKind::Chat => chat_data(world, interaction, element),
        ElementKind::Email => email_data(world, interaction, element),
        ElementKind::Digital | ElementKind::Work => json!({}),
    };
    [common, own].into_iter().filter_map(|value| value.as_object().cloned()).flatten().collect()
}

fn segment_id(leg: &Leg) -> String {
    uuid(SEGMENT, leg.word, leg.contact.0 as u64)
}

fn agent_name(world: &World, leg: &Leg) -> Option<String> {
    let agent = world.agent(leg.agent?);
    let parts: Vec<String> = [agent.first_name, agent.last_name].into_iter().flatten().collect();
    Some(parts.join(" "))
}

fn call_data(world: &World, interaction: &Interaction, element: &Element) -> Value {
    let (start, end) = span(element);
    let stage = |leg: &Leg| json!([{"stageType": "ACTIVE", "startTime": start, "endTime": end, "recordingID": segment_id(leg)}]);
    let screen = match element.kind {
        ElementKind::VoiceAndScreen => json!([{"stageType": "ACTIVE", "startTime": start, "endTime": end,
            "displays": [{"width": 640, "height": 360, "topLeftX": 0, "topLeftY": 0}]}]),
        _ => json!([]),
    };
    let mut participants: Vec<Value> = Vec::new();
    for leg in &interaction.legs {
        let Some(index) = leg.agent else { continue };
        participants.push(json!({
            "participantType": "AGENT",
            "agentName": agent_name(world, leg),
            "participantId": uuid(0x9a01, leg.word, leg.contact.0 as u64),
            "segmentId": segment_id(leg),
            "userId": world.agent(index).user_id,
            "channel": 1,
            "voiceStages": stage(leg),
            "screenStages": screen,
        }));
    }
    participants.push(json!({
        "participantType": "CUSTOMER",
        "participantId": customer_number(interaction.word),
        "channel": 2,
        "voiceStages": [],
    }));
    json!({
        "videoImageUrl": null,
        "waveformDataList": [],
        "participantDataList": participants,
        "categoryMatchesList": [],
        "sentiments": [{"overallSentiment": "NEUTRAL", "channel": 1}],
    })
}

fn chat_data(world: &World, interaction: &Interaction, element: &Element) -> Value {
    let agent = interaction.legs.first().and_then(|leg| agent_name(world, leg)).unwrap_or_default();
    let customer = customer_name(interaction.word);
    let epoch = in_share(mix(&[interaction.word, 53]), world.settings().shares.epoch_times);
    let lines = 3 + below(mix(&[interaction.word, 51]), LINES.len() as u64 - 2);
    let messages: Vec<Value> = (0..lines)
        .map(|n| {
            let (kind, name) = if n % 2 == 0 { ("AGENT", &agent) } else { ("CUSTOMER", &customer) };
            let time = after(element.start, element.seconds * n as f64 / lines as f64);
            let time = if epoch { json!(time.as_millisecond()) } else { json!(write_date(time)) };
            json!({"participantType": kind, "participantName": name, "text": LINES[n as usize], "timeStamp": time})
        })
        .collect();
    json!({
        "transferPoints": [],
        "participants": [
            {"participantType": "AGENT", "participantName": agent, "screenStages": []},
            {"participantType": "CUSTOMER", "participantName": customer, "screenStages": []},
        ],
        "messages": messages,
    })
}

fn email_data(world: &World, interaction: &Interaction, element: &Element) -> Value {
    let agent = interaction.legs.first().and_then(|leg| agent_name(world, leg)).unwrap_or_default();
    let customer = customer_name(interaction.word);
    let again = if element.number > 1 { "Re: " } else { "" };
    let html = mix(&[interaction.word, 52]).is_multiple_of(2);
    let text = format!("Dear {agent},\nplease correct my invoice – it says 10 € too much.\n\nRegards\n{customer}");
    let body = if html { format!("<html><body><p>{}</p></body></html>", text.replace('\n', "<br>")) } else { text };
    json!({
        "participants": [{
            "participantType": "AGENT",
            "participantName": agent,
            "actions": [{"timeStamp": write_date(element.start), "action": "Accept"},
                        {"timeStamp": write_date(after(element.start, element.seconds)), "action": "EndEmail"}],
        }],
        "content": {
            "sentTime": write_date(element.start),
            "from": "customer@simulated.example",
            "to": ["care@simulated.example", "Billing, EU <billing@simulated.example>"],
            "cc": [],
            "bcc": [],
            "subject": format!("{again}Invoice A-{}: 10 € zu viel", below(interaction.word, 1000)),
            "body": body,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::settings::{Shares, SimSettings};

    fn first(shares: Shares) -> (World, Interaction) {
        let settings = SimSettings { shares, midnight_transfer: false, ..SimSettings::default() };
        let day = settings.last_day;
        let world = World::new(settings);
        let interaction = world.interactions(day).next().unwrap();
        (world, interaction)
    }

    #[test]
    fn the_plain_shape_is_the_documented_one() {
        let (world, interaction) = first(Shares::plain());
        let urls = [Some(String::from("https://media/x.mp4"))];
        let body = body(&world, &interaction, &urls, PlaybackVariant::default(), false);
        assert_eq!(body["acdcontactId"], interaction.master.to_string());
        assert_eq!(body["interactions"][0]["mediaType"], "voice-only");
        let data = &body["interactions"][0]["data"];
        assert_eq!(data["fileToPlayUrl"], "https://media/x.mp4");
        assert_eq!(data["participantDataList"][0]["channel"], 1);
        assert_eq!(data["waveformDataList"], json!([]));
    }

    #[test]
    fn every_variant_shows() {
        let (world, interaction) = first(Shares::plain());
        let all = PlaybackVariant {
            capital_key: true,
            value_wrapper: true,
            element_wrapper: true,
            lower_case_url: true,
            is_restricted: true,
            stray_quote: true,
            empty_url: true,
        };
        let linked = body(&world, &interaction, &[Some(String::from("u"))], all, true);
        let data = &linked["value"]["Interactions"][0]["Interaction"]["data"];
        assert_eq!(data["filetoplayurl"], "u");
        assert_eq!(data["dfoStages\""], json!([]));
        assert_eq!(data["segmentsDataList"][0]["isCustomerRestricted"], false);
        assert_eq!(data["waveformDataList"][0]["data"].as_array().unwrap().len(), 2000);
        let unlinked = body(&world, &interaction, &[None], all, false);
        assert_eq!(unlinked["value"]["Interactions"][0]["Interaction"]["data"]["filetoplayurl"], "");
    }

    #[test]
    fn chats_and_emails_carry_their_text() {
        let (world, chat) = first(Shares { chat: 1000, ..Shares::plain() });
        let chat = body(&world, &chat, &[None], PlaybackVariant::default(), false);
        assert!(chat["interactions"][0]["data"]["messages"].as_array().unwrap().len() >= 3);
        let (world, email) = first(Shares { email: 1000, ..Shares::plain() });
        let email = body(&world, &email, &[None], PlaybackVariant::default(), false);
        assert_eq!(email["interactions"][0]["data"]["content"]["to"].as_array().unwrap().len(), 2);
        assert_eq!(email["interactions"][0]["data"].get("fileToPlayUrl"), None);
    }
}
