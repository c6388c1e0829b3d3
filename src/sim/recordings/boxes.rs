//! The mp4 boxes in front of (or behind) the samples: `ftyp` and `moov`, after ISO/IEC 14496-12, -14 and -15.
//!
//! Both tracks have samples of one size and one duration, so the tables are a few entries, apart from the chunk offsets.
//! Knows no sample's bytes.

use super::palette::PALETTE;

/// Ticks per second of both tracks and of the movie: the sample rate of the voice.
pub(super) const TIMESCALE: u32 = 16_000;
/// Ticks of one AAC frame.
pub(super) const VOICE_TICKS: u32 = 1024;
/// Ticks of one picture: four AAC frames, so about 3.9 pictures per second.
pub(super) const SCREEN_TICKS: u32 = 4096;
/// Size of the pictures in pixels.
const WIDTH: u16 = 640;
const HEIGHT: u16 = 360;

/// What the tables of one track have to say.
#[derive(Clone, Debug)]
pub(super) struct TrackTables {
    pub(super) samples: u32,
    pub(super) sample_bytes: u32,
    pub(super) sample_ticks: u32,
    /// Samples in every chunk but the last.
    pub(super) chunk_samples: u32,
    /// Offset in the file of each chunk.
    pub(super) chunk_offsets: Vec<u64>,
}

/// `ftyp`.
pub(super) fn file_type() -> Vec<u8> {
    boxed(*b"ftyp", &[b"mp42", &[0, 0, 2, 0], b"mp42isomavc1"])
}

/// Length in bytes of `moov` for these numbers of chunks; it does not depend on the offsets.
pub(super) fn movie_len(voice: &TrackTables, screen: Option<&TrackTables>) -> u64 {
    movie(voice, screen).len() as u64
}

/// `moov` with a voice track and, perhaps, a screen track.
pub(super) fn movie(voice: &TrackTables, screen: Option<&TrackTables>) -> Vec<u8> {
    let ticks = u64::from(voice.samples) * u64::from(VOICE_TICKS);
    let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
    let tracks = 1 + u32::from(screen.is_some());
    let movie_header = full_box(
        *b"mvhd",
        0,
        &[
            &[0; 8],
            &be(TIMESCALE),
            &be(ticks),
            &[0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &matrix(),
            &[0; 24],
            &be(tracks + 1),
        ],
    );
    let voice = track(1, voice, &SOUND);
    let screen = screen.map(|tables| track(2, tables, &PICTURE)).unwrap_or_default();
    boxed(*b"moov", &[&movie_header, &voice, &screen])
}

/// What differs between a sound and a picture track.
struct Kind {
    handler: [u8; 4],
    name: &'static [u8],
    volume: [u8; 2],
    width: u16,
    height: u16,
    media_header: fn() -> Vec<u8>,
    sample_entry: fn() -> Vec<u8>,
}

const SOUND: Kind = Kind {
    handler: *b"soun",
    name: b"voice\0",
    volume: [1, 0],
    width: 0,
    height: 0,
    media_header: || full_box(*b"smhd", 0, &[&[0; 4]]),
    sample_entry: voice_entry,
};

const PICTURE: Kind = Kind {
    handler: *b"vide",
    name: b"screen\0",
    volume: [0, 0],
    width: WIDTH,
    height: HEIGHT,
    media_header: || full_box(*b"vmhd", 1, &[&[0; 8]]),
    sample_entry: screen_entry,
};

fn track(id: u32, tables: &TrackTables, kind: &Kind) -> Vec<u8> {
    let ticks = be(tables.samples.saturating_mul(tables.sample_ticks));
    let track_header = full_box(
        *b"tkhd",
        3,
        &[
            &[0; 8],
            &be(id),
            &[0; 4],
            &ticks,
            &[0; 12],
            &kind.volume,
            &[0; 2],
            &matrix(),
            &be(u32::from(kind.width) << 16),
            &be(u32::from(kind.height) << 16),
        ],
    );
    // 0x55c4 is "und", the undetermined language.
    let media_header = full_box(*b"mdhd", 0, &[&[0; 8], &be(TIMESCALE), &ticks, &[0x55, 0xc4, 0, 0]]);
    let handler = full_box(*b"hdlr", 0, &[&[0; 4], &kind.handler, &[0; 12], kind.name]);
    let here = full_box(*b"url ", 1, &[]);
    let references = full_box(*b"dref", 0, &[&be(1), &here]);
    let data_info = boxed(*b"dinf", &[&references]);
    let info = boxed(*b"minf", &[&(kind.media_header)(), &data_info, &sample_table(tables, &(kind.sample_entry)())]);
    let media = boxed(*b"mdia", &[&media_header, &handler, &info]);
    boxed(*b"trak", &[&track_header, &media])
}

fn sample_table(tables: &TrackTables, entry: &[u8]) -> Vec<u8> {
    let descriptions = full_box(*b"stsd", 0, &[&be(1), entry]);
    let times = full_box(*b"stts", 0, &[&be(1), &be(tables.samples), &be(tables.sample_ticks)]);
    let sizes = full_box(*b"stsz", 0, &[&be(tables.sample_bytes), &be(tables.samples)]);
    let chunks = tables.chunk_offsets.len() as u32;
    let last = tables.samples - tables.chunk_samples * chunks.saturating_sub(1);
    let regular = [be(1), be(tables.chunk_samples), be(1)].concat();
    let shorter = [be(chunks), be(last), be(1)].concat();
    let runs: &[&[u8]] = match (chunks, last == tables.chunk_samples) {
        (_, true) => &[&be(1), &regular],
        (1, false) => &[&be(1), &shorter],
        (_, false) => &[&be(2), &regular, &shorter],
    };
    let runs = full_box(*b"stsc", 0, runs);
    let offsets: Vec<u8> = tables.chunk_offsets.iter().flat_map(|offset| offset.to_be_bytes()).collect();
    let offsets = full_box(*b"co64", 0, &[&be(chunks), &offsets]);
    boxed(*b"stbl", &[&descriptions, &times, &sizes, &runs, &offsets])
}

fn voice_entry() -> Vec<u8> {
    // MPEG-4 audio, AAC-LC, 16 kHz, two channels (ISO/IEC 14496-3, AudioSpecificConfig).
    let specific = descriptor(5, &[&[0x14, 0x10]]);
    let decoder = descriptor(4, &[&[0x40, 0x15, 0, 0, 0], &be(128_000), &be(96_000), &specific]);
    let sync_layer = descriptor(6, &[&[2]]);
    let stream = full_box(*b"esds", 0, &[&descriptor(3, &[&[0, 1, 0], &decoder, &sync_layer])]);
    boxed(*b"mp4a", &[&[0; 6], &[0, 1], &[0; 8], &[0, 2, 0, 16, 0, 0, 0, 0], &be(TIMESCALE << 16), &stream])
}

fn screen_entry() -> Vec<u8> {
    let (sps, pps) = (PALETTE.sps, PALETTE.pps);
    let profile = sps.get(1..4).unwrap_or_default();
    let lengths = [(sps.len() as u16).to_be_bytes(), (pps.len() as u16).to_be_bytes()];
    let config = boxed(*b"avcC", &[&[1], profile, &[0xff, 0xe1], &lengths[0], sps, &[1], &lengths[1], pps]);
    boxed(
        *b"avc1",
        &[
            &[0; 6],
            &[0, 1],
            &[0; 16],
            &WIDTH.to_be_bytes(),
            &HEIGHT.to_be_bytes(),
            &[0, 72, 0, 0, 0, 72, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0; 32],
            &[0, 24, 0xff, 0xff],
            &config,
        ],
    )
}

/// The identity transformation.
fn matrix() -> Vec<u8> {
    [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000].into_iter().flat_map(be).collect()
}

fn be(value: u32) -> [u8; 4] {
    value.to_be_bytes()
}

fn boxed(kind: [u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&be(8 + body.len() as u32)[..], &kind, &body].concat()
}

/// A box with version 0 and flags.
fn full_box(kind: [u8; 4], flags: u32, parts: &[&[u8]]) -> Vec<u8> {
    boxed(kind, &[&be(flags), &parts.concat()])
}

/// A descriptor of ISO/IEC 14496-1; ours are all shorter than 128 bytes.
fn descriptor(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[tag, body.len() as u8], &body[..]].concat()
}
