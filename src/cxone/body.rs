//! The bytes of an answer as UTF-8: gateways pack answers though nobody asked for it, and some write UTF-16 with a byte order mark. Pure.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

/// It is larger than an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The two bytes with which a gzip file begins; no text does.
const GZIP: &[u8] = b"\x1f\x8b";

/// Whether anything must be done.
pub(super) fn is_dressed(bytes: &[u8]) -> bool {
    bytes.starts_with(GZIP) || order(bytes).is_some()
}

/// Unpacks, and makes UTF-8 of UTF-16. A body that was cut off is returned as far as it goes; its parser reports the cut.
pub(super) fn plain(bytes: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, TooLarge> {
    let bytes = if bytes.starts_with(GZIP) { unpacked(&bytes, bytes_max)? } else { bytes };
    let Some((number, mark)) = order(&bytes) else { return Ok(bytes) };
    let units = bytes[mark..].chunks_exact(2).map(|pair| number([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    if text.len() > bytes_max { Err(TooLarge) } else { Ok(text.into_bytes()) }
}

fn unpacked(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, TooLarge> {
    let mut out = Vec::new();
    let _ = MultiGzDecoder::new(bytes).take(bytes_max as u64 + 1).read_to_end(&mut out);
    if out.len() > bytes_max { Err(TooLarge) } else { Ok(out) }
}

type ByteOrder = fn([u8; 2]) -> u16;

/// How two bytes make a unit of UTF-16, and how long the mark is that says so. Without a mark, JSON tells by its first character, which is ASCII.
fn order(bytes: &[u8]) -> Option<(ByteOrder, usize)> {
    match bytes {
        [0xff, 0xfe, ..] => Some((u16::from_le_bytes, 2)),
        [0xfe, 0xff, ..] => Some((u16::from_be_bytes, 2)),
        [b'{' | b'[', 0, ..] => Some((u16::from_le_bytes, 0)),
        [0, b'{' | b'[', ..] => Some((u16::from_be_bytes, 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn what_unpacks_to_more_than_allowed_is_refused() {
        let bomb = packed(&vec![b' '; 1 << 20]);
        assert_eq!(plain(bomb.clone(), (1 << 20) - 1), Err(TooLarge));
        assert_eq!(plain(bomb.clone(), 1 << 20).unwrap().len(), 1 << 20);
        let cut = plain(bomb[..bomb.len() / 2].to_vec(), 1 << 20).unwrap();
        assert!(cut.len() < 1 << 20, "as far as it goes");
    }

    proptest! {
        #[test]
        fn every_dress_gives_the_same_text(inner in "[^\"\\\\]{0,40}") {
            let text = format!("{{\"a\": \"{inner}\"}}");
            let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
            let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
            let marked = |mark: &[u8], wide: &[u8]| [mark, wide].concat();
            let dresses =
                [packed(text.as_bytes()), packed(&big), marked(b"\xff\xfe", &little), marked(b"\xfe\xff", &big), little, big];
            prop_assert!(!is_dressed(text.as_bytes()));
            for dressed in dresses {
                prop_assert!(is_dressed(&dressed));
                prop_assert_eq!(plain(dressed, 1000).unwrap(), text.as_bytes());
            }
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = plain([GZIP, &bytes].concat(), 1000);
            let _ = plain(bytes, 1000);
        }
    }
}
