//! What every verb is given: the way to the coordinator, how names are read, and where to write.

use tandem_proto::v1alpha::{
    access_service_client::AccessServiceClient, conflict_service_client::ConflictServiceClient,
    journal_service_client::JournalServiceClient, member_service_client::MemberServiceClient,
    sync_set_service_client::SyncSetServiceClient,
};

use super::{
    arguments::GlobalOptions,
    connection::{self, Connection},
    error::Error,
    names::Names,
    output::Output,
};

/// The largest answer that is read: a full page of members with long paths stays far below it.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What every verb is given.
pub(crate) struct Context {
    /// Reads names that people give.
    pub(crate) names: Names,
    /// Where results go.
    pub(crate) output: Output,
    connection: Connection,
}

impl Context {
    /// Connects to the coordinator.
    pub(crate) async fn open(global: &GlobalOptions, output: Output) -> Result<Self, Error> {
        let names = Names::new(&global.network)?;
        let connection = connection::open(global).await?;
        Ok(Self {
            names,
            output,
            connection,
        })
    }

    /// Calls about sync sets.
    pub(crate) fn sets(&self) -> SyncSetServiceClient<Connection> {
        SyncSetServiceClient::new(self.connection.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Calls about members.
    pub(crate) fn members(&self) -> MemberServiceClient<Connection> {
        MemberServiceClient::new(self.connection.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Calls about conflicts and versions.
    pub(crate) fn conflicts(&self) -> ConflictServiceClient<Connection> {
        ConflictServiceClient::new(self.connection.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Calls about the journal.
    pub(crate) fn journal(&self) -> JournalServiceClient<Connection> {
        JournalServiceClient::new(self.connection.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Calls about networks, repositories and tokens.
    pub(crate) fn access(&self) -> AccessServiceClient<Connection> {
        AccessServiceClient::new(self.connection.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// What an answer must hold; its absence is a fault of the coordinator.
pub(crate) fn given<T>(part: Option<T>, what: &str) -> Result<T, Error> {
    part.ok_or_else(|| Error::contract(format!("the coordinator answered without {what}")))
}
