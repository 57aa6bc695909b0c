//! What every verb is given: the services of the coordinator, how names are read, and where to write.

use super::{arguments::GlobalOptions, connection, error::Error, names::Names, output::Output};
use crate::client::Client;

/// What every verb is given.
pub(crate) struct Context {
    /// The services of the coordinator.
    pub(crate) client: Client,
    /// Reads names that people give.
    pub(crate) names: Names,
    /// Where results go.
    pub(crate) output: Output,
}

impl Context {
    /// Connects to the coordinator.
    pub(crate) async fn open(global: &GlobalOptions, output: Output) -> Result<Self, Error> {
        Ok(Self {
            names: Names::new(&global.network)?,
            client: connection::open(global).await?,
            output,
        })
    }
}

/// What an answer must hold; its absence is a fault of the coordinator.
pub(crate) fn given<T>(part: Option<T>, what: &str) -> Result<T, Error> {
    part.ok_or_else(|| Error::contract(format!("the coordinator answered without {what}")))
}
