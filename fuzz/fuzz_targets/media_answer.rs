#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cxonefs::fuzz::media_answer(bytes));
