//! The coordinator, `tandemd`.

fn main() {}
