#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cxonefs::hostile::reporting_page(bytes));
