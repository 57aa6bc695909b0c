//! The command line `tandem`.

fn main() {}
