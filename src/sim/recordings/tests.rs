//! Recordings are consistent at every offset, unlike themselves everywhere, and accepted by ffmpeg where it is installed.

use std::collections::HashSet;
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn whole(recording: &Recording) -> Vec<u8> {
    let mut bytes = vec![0; recording.len() as usize];
    assert_eq!(recording.read_at(0, &mut bytes), bytes.len());
    bytes
}

fn some_of_each() -> Vec<Recording> {
    vec![
        Recording::voice(1, 0.0),
        Recording::voice(2, 1.024),
        Recording::voice(3, 7.7),
        Recording::voice(4, 61.3),
        Recording::voice_and_screen(5, 0.3),
        Recording::voice_and_screen(6, 9.9),
        Recording::voice_and_screen(7, 10.0),
        Recording::bulk(8, 100_003),
    ]
}

proptest! {
    #[test]
    fn any_piece_equals_that_piece_of_the_whole(seed: u64, screen: bool, seconds in 0.0f64..6.0, cuts in prop::collection::vec((0.0f64..1.0, 0usize..40_000), 8)) {
        let recording = if screen { Recording::voice_and_screen(seed, seconds) } else { Recording::voice(seed, seconds) };
        let bytes = whole(&recording);
        for (at, length) in cuts {
            let at = (at * bytes.len() as f64) as usize;
            let mut piece = vec![0xee; length];
            let got = recording.read_at(at as u64, &mut piece);
            prop_assert_eq!(got, length.min(bytes.len() - at));
            prop_assert_eq!(&piece[..got], &bytes[at..at + got]);
        }
    }
}

#[test]
fn nothing_is_read_past_the_end() {
    for recording in some_of_each() {
        let mut buf = [7; 16];
        assert_eq!(recording.read_at(recording.len(), &mut buf), 0);
        assert_eq!(recording.read_at(u64::MAX, &mut buf), 0);
        assert_eq!(recording.read_at(recording.len() - 1, &mut buf), 1);
        assert_eq!(buf[1..], [7; 15]);
    }
}

#[test]
fn a_wrong_offset_cannot_go_unseen() {
    let windows = |bytes: &[u8]| bytes.chunks_exact(2048).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut seen = HashSet::new();
    for recording in [Recording::voice(1, 60.0), Recording::voice(2, 60.0), Recording::voice_and_screen(3, 20.0)] {
        for window in windows(&whole(&recording)) {
            assert!(seen.insert(window), "the same 2 KiB twice");
        }
    }
}

#[test]
fn ffmpeg_finds_no_fault() {
    if Command::new("ffprobe").arg("-version").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (index, recording) in some_of_each().into_iter().enumerate().filter(|(_, r)| matches!(r.0, Kind::Mp4(_))) {
        let path = dir.path().join(format!("{index}.mp4"));
        std::fs::File::create(&path).unwrap().write_all(&whole(&recording)).unwrap();
        let decoded = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "warning", "-i"])
            .arg(&path)
            .args(["-map", "0", "-f", "null", "-"])
            .output()
            .unwrap();
        assert!(decoded.status.success());
        assert_eq!(String::from_utf8_lossy(&decoded.stderr), "", "recording {index}");
        let probed = Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", "stream=codec_name,channels,width,duration", "-of", "csv=p=0"])
            .arg(&path)
            .output()
            .unwrap();
        let probed = String::from_utf8(probed.stdout).unwrap();
        assert!(probed.lines().next().unwrap().starts_with("aac,2,"), "{probed}");
        if index == 3 {
            assert_eq!(probed.trim(), "aac,2,61.312000");
        }
        if index == 5 {
            assert!(probed.contains("h264,640,"), "{probed}");
        }
    }
}

/// Not a benchmark: only that serving is not the slow part, even unoptimised. `--nocapture` prints the rates.
#[test]
fn generation_is_not_slow() {
    for (name, recording) in [
        ("bulk", Recording::bulk(1, 64 << 20)),
        ("voice", Recording::voice(2, 1800.0)),
        ("screen", Recording::voice_and_screen(3, 600.0)),
    ] {
        let mut buf = vec![0; 1 << 20];
        let start = Instant::now();
        let (mut offset, mut total) = (0, 0);
        while total < 32 << 20 {
            let got = recording.read_at(offset, &mut buf);
            offset = if got < buf.len() { 0 } else { offset + got as u64 };
            total += got;
        }
        let rate = total as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!("{name}: {rate:.0} MB/s");
        assert!(rate > 20.0, "{name}: {rate:.0} MB/s");
    }
}
