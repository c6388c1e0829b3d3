//! The books of the cache, as sequences of what happens to it.

use super::*;

fn hash(byte: u8) -> KeyHash {
    KeyHash([byte; 32])
}

#[test]
fn cold_files_go_oldest_first_and_before_hot_blocks() {
    let mut space = Space::new(1000, 0);
    space.add_cold(hash(1), 10);
    space.add_cold(hash(2), 20);
    space.add_cold(hash(3), 30);
    space.add_block(FileId(1), 0);
    space.add_block(FileId(1), 1);
    space.add_old_block(FileId(2), 5);
    space.touch(FileId(1), 0..1);
    assert_eq!(space.take_cold(&hash(2)), Some(20));
    let order: Vec<_> = std::iter::from_fn(|| space.pop_victim()).collect();
    let blocks = [(2, 5), (1, 1), (1, 0)].map(|(file, block)| Victim::Block(FileId(file), block));
    assert_eq!(order[..2], [Victim::Cold(hash(1), 10), Victim::Cold(hash(3), 30)]);
    assert_eq!(order[2..], blocks);
}

#[test]
fn what_is_held_is_no_victim_until_it_is_not_held() {
    let mut space = Space::new(1000, 0);
    space.add_cold(hash(1), 10);
    space.add_cold(hash(2), 20);
    space.add_block(FileId(3), 0);
    space.add_block(FileId(3), 1);
    space.hold(hash(1), None, true);
    space.hold(hash(3), Some(FileId(3)), true);
    space.add_block(FileId(3), 2);
    // Touched, and cold again.
    assert_eq!(space.take_cold(&hash(1)), Some(10));
    space.note_file(hash(1), FileId(4));
    space.add_old_block(FileId(4), 7);
    assert!(space.take_block(FileId(4), 7));
    space.forget_file(FileId(4));
    space.cool(hash(1), 10);
    assert_eq!((space.pop_victim(), space.pop_victim()), (Some(Victim::Cold(hash(2), 20)), None));
    assert!(space.is_cold(&hash(1)) && space.has_block(FileId(3), 2) && !space.has_block(FileId(3), 3));
    assert!(space.take_block(FileId(3), 2), "damage goes");
    assert_eq!((space.cold_hashes(), space.used(), space.hot_blocks), (vec![hash(1)], 30, 0));
    space.hold(hash(1), None, false);
    space.hold(hash(3), Some(FileId(3)), false);
    let order: Vec<_> = std::iter::from_fn(|| space.pop_victim()).collect();
    let blocks = [0, 1].map(|block| Victim::Block(FileId(3), block));
    assert_eq!((order[0], &order[1..]), (Victim::Cold(hash(1), 10), &blocks[..]));
}

#[test]
fn a_huge_cache_orders_segments_and_gives_up_their_blocks_one_by_one() {
    assert_eq!([10 << 30, 16 << 30, 100 << 30, 10 << 40].map(segment_blocks), [1, 1, 8, 64]);
    let mut space = Space::new(100 << 30, 0);
    for block in [9, 0, 1] {
        space.add_block(FileId(1), block);
    }
    space.add_old_block(FileId(2), 7);
    space.add_old_block(FileId(2), 6);
    space.touch(FileId(1), 9..10);
    assert!(space.take_block(FileId(1), 1) && !space.take_block(FileId(1), 1) && space.has_block(FileId(1), 0));
    let order: Vec<_> = std::iter::from_fn(|| space.pop_victim()).collect();
    let blocks = [(2, 6), (2, 7), (1, 0), (1, 9)].map(|(file, block)| Victim::Block(FileId(file), block));
    assert_eq!(order, blocks);
    assert_eq!(space.hot_blocks, 0);
}

#[test]
fn nothing_is_reserved_beyond_the_limit() {
    let mut space = Space::new(100, 0);
    assert!(space.reserve(60));
    assert!(!space.reserve(41) && space.reserve(40));
    space.cancel(40);
    space.settle(60);
    assert_eq!(space.used(), 60);
    assert!(space.reserve(40));
}

#[test]
fn what_is_reserved_counts_against_what_is_free() {
    let mut space = Space::new(1000, 100);
    space.learn_free(Some(109));
    assert!(!space.reserve(10));
    space.learn_free(Some(110));
    assert!(space.reserve(10));
    // The disk has not seen the first 10 yet.
    space.learn_free(Some(119));
    assert!(!space.reserve(10));
    space.learn_free(Some(120));
    assert!(space.reserve(10));
    space.settle(20);
    assert!(!space.reserve(10));
    space.learn_free(Some(110));
    assert!(space.reserve(10));
}

#[test]
fn the_file_system_is_asked_as_often_as_it_matters() {
    let mut space = Space::new(u64::MAX, 1 << 30);
    assert!(space.must_ask());
    space.learn_free(Some(100 << 30));
    assert!(!space.must_ask() && space.reserve(FREE_BELIEVED));
    space.settle(FREE_BELIEVED);
    assert!(space.must_ask());
    space.learn_free(Some((1 << 30) + FREE_AMPLE - 1));
    assert!(space.must_ask());
    space.learn_free(None);
    assert!(!space.must_ask());
}
