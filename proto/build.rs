//! Compiles the proto files without protoc, and keeps the descriptor set for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const DIRECTORY: &str = "tandem/v1";
/// Messages that carry credentials; `src/hidden.rs` shows them without.
const CREDENTIALS: [&str; 2] = ["tandem.v1.LinkAccountRequest", "tandem.v1.VerifyAccount"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={DIRECTORY}");
    let mut files: Vec<PathBuf> = fs::read_dir(DIRECTORY)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("tandem.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .skip_debug(CREDENTIALS)
        .compile_fds(descriptors)?;
    Ok(())
}
