//! How a picture was drawn, as its PNG says it: a record that is read can be written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pipeline::Record;

fuzz_target!(|text: &str| {
    if let Ok(record) = Record::parse(text) {
        let [_, (_, json)] = record.texts((256, 256));
        assert_eq!(Record::parse(&json).ok(), Some(record));
    }
});
