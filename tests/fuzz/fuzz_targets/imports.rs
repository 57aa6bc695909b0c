//! Whatever the bytes are, they are read or refused; see `tandem_tests::decoders`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tandem_tests::decoders::imports(bytes));
