//! An agent beside a directory.

use std::path::Path;
use std::sync::Arc;

use super::{Directory, Options};
use crate::agent::outbox::{self, Outbox};
use crate::agent::repository;
use crate::agent::runtime::{self, Agent};
use crate::client::Client;

/// Why an agent cannot be put beside a directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] repository::Error),
    /// The outbox cannot be used.
    #[error("the outbox cannot be used: {0}")]
    Outbox(#[from] outbox::Error),
}

/// An agent beside the directory of `options`, with its outbox beside the index.
///
/// # Errors
/// When the directory or the state directory cannot be used, or another agent uses them.
pub async fn beside(
    options: Options,
    client: Client,
    who: runtime::Options,
) -> Result<Agent<Directory>, Error> {
    let outbox = outbox_of(&options.state);
    let directory = Directory::open(options).await?;
    let outbox = Outbox::open(&outbox)?;
    Ok(Agent::new(Arc::new(directory), client, outbox, who))
}

fn outbox_of(state: &Path) -> std::path::PathBuf {
    state.join("outbox.db")
}
