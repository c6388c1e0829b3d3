//! Pure pseudo-randomness: the same numbers in give the same numbers out, in every process and on every machine.
//!
//! Nothing here is random or secret; it only has to look unlike its neighbours. Knows nothing of contacts or media.

/// Mixes one word (the finaliser of SplitMix64): neighbouring inputs give unrelated outputs.
#[inline]
pub(super) const fn scramble(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Mixes several words into one; their order matters.
pub(super) fn mix(words: &[u64]) -> u64 {
    words.iter().fold(0x6378_6f6e_6566_7321, |state, word| scramble(state ^ scramble(*word)))
}

/// Mixes text into one word.
pub(super) fn mix_text(seed: u64, text: &str) -> u64 {
    text.as_bytes().chunks(8).fold(mix(&[seed, text.len() as u64]), |state, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        scramble(state ^ u64::from_le_bytes(word))
    })
}

/// A number below `bound` (0 where `bound` is 0), taken from a mixed word.
pub(super) fn below(mixed: u64, bound: u64) -> u64 {
    ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
}

/// Whether a mixed word falls into a share, in per mille.
pub(super) fn in_share(mixed: u64, per_mille: u32) -> bool {
    below(mixed, 1000) < u64::from(per_mille)
}

/// Fills `out` with bytes `offset..` of the endless stream that belongs to `seed`. Every byte is set or'ed with `floor`.
///
/// The stream is counter-based: the word at position n is a function of (seed, n), so any offset costs the same.
pub(super) fn fill(seed: u64, offset: u64, floor: u8, out: &mut [u8]) {
    let floor = u64::from_le_bytes([floor; 8]);
    let word_at = |index: u64| (scramble(seed ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93)) | floor).to_le_bytes();
    let mut index = offset / 8;
    let skip = (offset % 8) as usize;
    let head = if skip == 0 { 0 } else { out.len().min(8 - skip) };
    let (first, rest) = out.split_at_mut(head);
    if head > 0 {
        first.copy_from_slice(&word_at(index)[skip..skip + head]);
        index += 1;
    }
    let mut words = rest.chunks_exact_mut(8);
    for word in &mut words {
        word.copy_from_slice(&word_at(index));
        index = index.wrapping_add(1);
    }
    let tail = words.into_remainder();
    tail.copy_from_slice(&word_at(index)[..tail.len()]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_piece_of_the_stream_is_the_stream_at_that_place(seed: u64, at in 0usize..500, length in 0usize..100) {
            let mut whole = [0; 600];
            fill(seed, 0, 0, &mut whole);
            let mut piece = vec![0; length];
            fill(seed, at as u64, 0, &mut piece);
            prop_assert_eq!(&piece[..], &whole[at..at + length]);
        }
    }

    #[test]
    fn a_floor_keeps_small_bytes_out() {
        let mut bytes = [0; 4096];
        fill(7, 3, 4, &mut bytes);
        assert!(bytes.iter().all(|byte| *byte > 3));
    }

    #[test]
    fn shares_are_about_as_large_as_asked() {
        let hits = (0..10_000).filter(|n| in_share(mix(&[1, *n]), 250)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!(0..1000).any(|n| in_share(scramble(n), 0)));
        assert!((0..1000).all(|n| in_share(scramble(n), 1000)));
    }
}
