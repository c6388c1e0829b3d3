//! An mp4 recording that is never stored: any byte of it is computed from its seed and its offset.
//!
//! The file is `ftyp`, `moov` and `mdat`, or, in half of them, `ftyp`, `mdat` and `moov`. The media data is a row of groups;
//! a group is 16 voice samples (1.024 s) and then, with a screen, 4 pictures. Within a track all samples have one size,
//! so where an offset falls is arithmetic. Each sample is an encoded frame of the palette and filler that no other
//! sample shares, so that a byte served from a wrong offset cannot go unseen.

use super::boxes::{self, SCREEN_TICKS, TIMESCALE, TrackTables, VOICE_TICKS};
use super::palette::{PALETTE, sei_payload};
use crate::sim::mix::{self, mix};

/// Voice samples in a group.
const GROUP_VOICE: u64 = 16;
/// Voice samples that last as long as one picture.
const VOICE_PER_PICTURE: u64 = (SCREEN_TICKS / VOICE_TICKS) as u64;
/// Pictures for which the screen stays the same.
const HOLD: u64 = 12;
/// `mdat` with a 64-bit size.
const DATA_HEADER: u64 = 16;
/// Largest filler of one AAC data stream element, with its two bytes of header.
const ELEMENT_MAX: usize = 256;
/// The longest recording, four hours: keeps the tables small and every 32-bit field in range.
const SECONDS_MAX: f64 = 4.0 * 3600.0;

/// One mp4 recording.
#[derive(Clone, Debug)]
pub(super) struct Mp4 {
    seed: u64,
    voice_samples: u64,
    screen: bool,
    /// What stands before the samples.
    head: Vec<u8>,
    /// What stands behind them.
    tail: Vec<u8>,
    data_bytes: u64,
}

impl Mp4 {
    /// A recording of about `seconds` (rounded to whole AAC frames, at least one).
    pub(super) fn new(seed: u64, seconds: f64, screen: bool) -> Mp4 {
        let frames = seconds.clamp(0.0, SECONDS_MAX) * f64::from(TIMESCALE) / f64::from(VOICE_TICKS);
        let voice_samples = (frames.round() as u64).max(1);
        let mut mp4 = Mp4 { seed, voice_samples, screen, head: Vec::new(), tail: Vec::new(), data_bytes: 0 };
        mp4.data_bytes = mp4.voice_samples * PALETTE.voice_sample as u64
            + if screen { mp4.pictures() * PALETTE.screen_sample as u64 } else { 0 };
        mp4.lay_out();
        mp4
    }

    /// Bytes of the whole file.
    pub(super) fn len(&self) -> u64 {
        self.head.len() as u64 + self.data_bytes + self.tail.len() as u64
    }

    /// Fills `out` with the bytes at `offset`; the caller keeps both inside the file.
    pub(super) fn read_at(&self, mut offset: u64, mut out: &mut [u8]) {
        let data_start = self.head.len() as u64;
        let data_end = data_start + self.data_bytes;
        while !out.is_empty() {
            let taken = if offset < data_start {
                copy_from(&self.head, offset, out)
            } else if offset < data_end {
                self.read_sample(offset - data_start, out)
            } else {
                copy_from(&self.tail, offset - data_end, out)
            };
            if taken == 0 {
                return;
            }
            offset += taken as u64;
            out = &mut out[taken..];
        }
    }

    fn pictures(&self) -> u64 {
        self.voice_samples.div_ceil(VOICE_PER_PICTURE)
    }

    fn group_bytes(&self) -> u64 {
        let pictures = if self.screen { GROUP_VOICE / VOICE_PER_PICTURE } else { 0 };
        GROUP_VOICE * PALETTE.voice_sample as u64 + pictures * PALETTE.screen_sample as u64
    }

    /// Builds what stands around the samples.
    fn lay_out(&mut self) {
        let file_type = boxes::file_type();
        let data_header = [&1u32.to_be_bytes()[..], b"mdat", &(DATA_HEADER + self.data_bytes).to_be_bytes()].concat();
        let front = mix(&[self.seed, 1]).is_multiple_of(2);
        let (voice, screen) = self.tables(0);
        let movie_len = if front { boxes::movie_len(&voice, screen.as_ref()) } else { 0 };
        let (voice, screen) = self.tables(file_type.len() as u64 + movie_len + DATA_HEADER);
        let movie = boxes::movie(&voice, screen.as_ref());
        if front {
            self.head = [file_type, movie, data_header].concat();
        } else {
            self.head = [file_type, data_header].concat();
            self.tail = movie;
        }
    }

    /// The tables of both tracks where the samples begin at `base`.
    fn tables(&self, base: u64) -> (TrackTables, Option<TrackTables>) {
        let groups = self.voice_samples.div_ceil(GROUP_VOICE);
        let starts: Vec<u64> = (0..groups).map(|group| base + group * self.group_bytes()).collect();
        let voice_in = |group: u64| GROUP_VOICE.min(self.voice_samples - group * GROUP_VOICE);
        let behind_voice = |group: u64| starts[group as usize] + voice_in(group) * PALETTE.voice_sample as u64;
        let screen = self.screen.then(|| TrackTables {
            samples: self.pictures() as u32,
            sample_bytes: PALETTE.screen_sample as u32,
            sample_ticks: SCREEN_TICKS,
            chunk_samples: (GROUP_VOICE / VOICE_PER_PICTURE) as u32,
            chunk_offsets: (0..groups).map(behind_voice).collect(),
        });
        let voice = TrackTables {
            samples: self.voice_samples as u32,
            sample_bytes: PALETTE.voice_sample as u32,
            sample_ticks: VOICE_TICKS,
            chunk_samples: GROUP_VOICE as u32,
            chunk_offsets: starts,
        };
        (voice, screen)
    }

    /// Fills the front of `out` from the one sample that holds `at` (an offset into the samples); how many bytes it gave.
    fn read_sample(&self, at: u64, out: &mut [u8]) -> usize {
        let group = at / self.group_bytes();
        let within = at % self.group_bytes();
        let voice_in_group = GROUP_VOICE.min(self.voice_samples - group * GROUP_VOICE);
        let voice_bytes = voice_in_group * PALETTE.voice_sample as u64;
        if within < voice_bytes {
            let sample = PALETTE.voice_sample as u64;
            self.read_voice(group * GROUP_VOICE + within / sample, (within % sample) as usize, out)
        } else {
            let sample = PALETTE.screen_sample as u64;
            let within = within - voice_bytes;
            let index = group * (GROUP_VOICE / VOICE_PER_PICTURE) + within / sample;
            self.read_screen(index, (within % sample) as usize, out)
        }
    }

    /// A voice sample: data stream elements of filler, then the frame.
    fn read_voice(&self, index: u64, at: usize, out: &mut [u8]) -> usize {
        let frame = PALETTE.voice[(index % PALETTE.voice.len() as u64) as usize];
        let fill = PALETTE.voice_sample - frame.len();
        let filler_seed = mix(&[self.seed, 3, index]);
        let mut sample = Piece::new(at, out);
        let mut left = fill;
        while left > 0 && !sample.is_full() {
            // An element needs its two bytes of header, so no rest of one byte may be left over.
            let element = if left <= ELEMENT_MAX { left } else { ELEMENT_MAX.min(left - 2) };
            // id_syn_ele 4 (DSE), tag 0, byte aligned; then the count.
            sample.put(&[0x81, (element - 2) as u8]);
            sample.fill(filler_seed, (fill - left) as u64, 0, element - 2);
            left -= element;
        }
        sample.put(frame);
        sample.written
    }

    /// A picture: a SEI NAL unit of unregistered user data as filler, then the slice.
    fn read_screen(&self, index: u64, at: usize, out: &mut [u8]) -> usize {
        let pictures = (PALETTE.screen.len() / 2) as u64;
        let picture = (index / HOLD + mix(&[self.seed, 4])) % pictures;
        let slice = PALETTE.screen[(picture * 2 + index % 2) as usize];
        let unit = PALETTE.screen_sample - 8 - slice.len();
        let payload = sei_payload(unit).unwrap_or(0);
        let mut sample = Piece::new(at, out);
        sample.put(&(unit as u32).to_be_bytes());
        // NAL type 6, payload type 5: a UUID and whatever follows. No byte below 4, so nothing needs escaping.
        sample.put(&[0x06, 0x05]);
        sample.put(&[0xff; 256][..(payload / 255).min(256)]);
        sample.put(&[(payload % 255) as u8]);
        sample.fill(mix(&[self.seed, 5, index]), 0, 0x04, payload);
        sample.put(&[0x80]);
        sample.put(&(slice.len() as u32).to_be_bytes());
        sample.put(slice);
        sample.written
    }
}

/// Takes a sample's parts in order and keeps those bytes that fall into a window of it.
struct Piece<'a> {
    /// Bytes of the sample still to be passed over.
    skip: usize,
    out: &'a mut [u8],
    written: usize,
}

impl<'a> Piece<'a> {
    fn new(skip: usize, out: &'a mut [u8]) -> Piece<'a> {
        Piece { skip, out, written: 0 }
    }

    fn is_full(&self) -> bool {
        self.written == self.out.len()
    }

    /// How much of a part is passed over, and the place for the rest of it.
    fn window(&mut self, part: usize) -> (usize, &mut [u8]) {
        let skipped = self.skip.min(part);
        self.skip -= skipped;
        let length = (part - skipped).min(self.out.len() - self.written);
        let start = self.written;
        self.written += length;
        (skipped, &mut self.out[start..start + length])
    }

    fn put(&mut self, part: &[u8]) {
        let (skipped, place) = self.window(part.len());
        place.copy_from_slice(&part[skipped..skipped + place.len()]);
    }

    fn fill(&mut self, seed: u64, offset: u64, floor: u8, length: usize) {
        let (skipped, place) = self.window(length);
        mix::fill(seed, offset + skipped as u64, floor, place);
    }
}

/// Copies from `source` at `offset`; how many bytes there were.
fn copy_from(source: &[u8], offset: u64, out: &mut [u8]) -> usize {
    let rest = source.get(offset as usize..).unwrap_or_default();
    let length = rest.len().min(out.len());
    out[..length].copy_from_slice(&rest[..length]);
    length
}
