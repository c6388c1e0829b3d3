//! ffprobe and ffmpeg on the mount.

use std::path::Path;
use std::time::Duration;

use cxonefs::sim::{Shares, SimSettings};
use serde_json::Value;

use crate::harness::{Drive, plain, tool};

/// The duration in seconds, and the channels of the first sound track.
fn probe(path: &Path) -> (f64, u64) {
    let shown = ["-v", "error", "-show_entries", "format=duration:stream=codec_type,channels", "-of", "json"];
    let done = tool("ffprobe").args(shown).arg(path).ok();
    assert_eq!(done.stderr, "", "ffprobe complains about {}", path.display());
    let json: Value = serde_json::from_str(&done.stdout).unwrap();
    let seconds = json["format"]["duration"].as_str().unwrap().parse().unwrap();
    let streams = json["streams"].as_array().unwrap();
    let sound = streams.iter().find(|stream| stream["codec_type"] == "audio").unwrap();
    (seconds, sound["channels"].as_u64().unwrap())
}

#[test]
fn a_voice_recording_has_its_duration_and_two_channels() {
    let drive = Drive::of(plain(2, 4));
    for place in &drive.tree.places {
        let path = drive.at(&place.path).join("recording.mp4");
        let (seconds, channels) = probe(&path);
        let expected = drive.tree.truth(place.master).media[0].duration_ms as f64 / 1000.0;
        assert!((seconds - expected).abs() < 0.15, "{} lasts {seconds} s, not {expected}", path.display());
        assert_eq!(channels, 2);
        assert_decodes(&path);
    }
}

#[test]
fn a_screen_recording_decodes_without_a_word() {
    let shares = Shares { screen: 1000, ..Shares::plain() };
    let drive = Drive::of(SimSettings { shares, ..plain(1, 4) });
    for place in &drive.tree.places {
        assert!(drive.tree.truth(place.master).media[0].screen);
        assert_decodes(&drive.at(&place.path).join("recording.mp4"));
    }
}

#[track_caller]
fn assert_decodes(path: &Path) {
    let done = tool("ffmpeg").args(["-nostdin", "-v", "warning", "-xerror", "-i"]).arg(path);
    let done = done.args(["-f", "null", "-"]).ok();
    assert_eq!(done.stderr, "", "ffmpeg complains about {}", path.display());
}

#[test]
fn five_seconds_from_the_middle_cost_less_than_a_quarter() {
    let shares = Shares { screen: 1000, ..Shares::plain() };
    let drive = Drive::of(SimSettings { shares, recording_seconds: (2400.0, 2700.0), ..plain(1, 4) });
    for place in &drive.tree.places {
        let truth = &drive.tree.truth(place.master).media[0];
        // Larger than what is fetched as a whole by default.
        assert!(truth.bytes > 16 << 20, "{} bytes", truth.bytes);
        let path = drive.at(&place.path).join("recording.mp4");
        let cut = drive.sandbox.path("cut.mp4");
        let middle = (truth.duration_ms / 2000).to_string();
        drive.tenant.reset_counters();
        let cutting = tool("ffmpeg").args(["-nostdin", "-v", "error", "-y", "-ss", &middle, "-i"]).arg(&path);
        let done = cutting.args(["-t", "5", "-c", "copy"]).arg(&cut).within(Duration::from_secs(90)).ok();
        assert_eq!(done.stderr, "");
        let counters = drive.counters();
        assert!(
            counters.media_bytes < truth.bytes / 4,
            "{} of {} bytes in {} requests",
            counters.media_bytes,
            truth.bytes,
            counters.media_requests
        );
        let (seconds, channels) = probe(&cut);
        assert!((4.5..8.0).contains(&seconds) && channels == 2, "{seconds} s, {channels} channels");
        assert_decodes(&cut);
    }
}
