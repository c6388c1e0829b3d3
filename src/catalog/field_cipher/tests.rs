//! Values are sealed, and stand in one place only.

use super::*;
use crate::base::Day;

fn field_cipher(byte: u8) -> FieldCipher {
    FieldCipher::of(MasterKey::parse(&[byte; 32]).as_ref())
}

fn sealed(field_cipher: &FieldCipher, place: Place, text: &str) -> Vec<u8> {
    match field_cipher.text(place, text).unwrap() {
        Value::Blob(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// What is stored today must be readable by every later version.
#[test]
fn golden_bytes() {
    let bytes = sealed(&field_cipher(1), Place::agent_name(Day(20_000), AgentId(8_812_345)), "Keller_Rosa_8812345");
    let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    assert_eq!(hex, "02aaf365ac8ff58806919c4139dd747b9b491a5bf0b9980561c29f918e466ed8022e0f702e3ffeb86fea7d0298ccaf1e");
}

#[test]
fn a_value_stands_in_one_place_only() {
    let (one, place) = (field_cipher(1), Place::record(Day(1), AgentId(2), MasterId(3), 4));
    let bytes = sealed(&one, place, "hello");
    assert_eq!(bytes, sealed(&one, place, "hello"), "equal values can be compared");
    assert_ne!(bytes, sealed(&one, Place::record(Day(1), AgentId(2), MasterId(3), 5), "hello"));
    assert_eq!(one.open_text(place, ValueRef::Blob(&bytes)).unwrap(), "hello");
    let elsewhere = Place::record(Day(1), AgentId(3), MasterId(2), 4);
    assert!(one.open(elsewhere, ValueRef::Blob(&bytes)).is_err());
    assert!(field_cipher(2).open(place, ValueRef::Blob(&bytes)).is_err());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(one.open(place, ValueRef::Blob(&changed)).is_err(), "byte {at}");
        assert!(one.open(place, ValueRef::Blob(&bytes[..at])).is_err(), "cut at {at}");
    }
}

#[test]
fn a_name_is_its_agents() {
    let one = field_cipher(1);
    let of = |agent| Place::agent_name(Day(20_000), AgentId(agent));
    let name = sealed(&one, of(5), "Keller_Rosa_5");
    assert!(one.open(of(5), ValueRef::Blob(&name)).is_ok());
    assert!(one.open(of(6), ValueRef::Blob(&name)).is_err());
    assert!(one.open_first_format(of(5), ValueRef::Blob(&name)).is_err());
}
