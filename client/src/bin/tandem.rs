//! The command line `tandem`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    tandem_client::cli::main(std::env::args_os()).await
}
