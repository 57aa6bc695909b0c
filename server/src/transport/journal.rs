//! JournalService: what happened, in order (R-JRN-1).

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tandem_proto::v1 as wire;
use tandem_proto::v1::journal_service_server::JournalService;
use tonic::{Request, Response, Status};

use super::auth::principal;
use super::tokens::page_size;
use super::{convert, cursor, names, scopes};
use crate::domain::access::{Role, Side};
use crate::domain::ids::{MemberId, SyncSetId};
use crate::service::journal::{Entries, JournalFilter, Row, Start};
use crate::service::{Coordinator, Error, UserScope};

/// Answers the calls of JournalService.
#[derive(Debug)]
pub struct Handler {
    coordinator: Coordinator,
}

impl Handler {
    /// Answers for this coordinator.
    #[must_use]
    pub const fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

#[tonic::async_trait]
impl JournalService for Handler {
    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, OUT_OF_RANGE.
    async fn list_journal(
        &self,
        request: Request<wire::ListJournalRequest>,
    ) -> Result<Response<wire::ListJournalResponse>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, network) =
            scopes::of_network(&self.coordinator, &caller, &request.parent, Role::Viewer).await?;
        let filter = filter(network, &request.sync_set, &request.member)?;
        let size = page_size(request.page_size)?;
        let start = cursor::start("page_token", &request.page_token)?;
        let read = scope.journal(start, filter, size).await?;
        let cursor = cursor::cursor(&read.place)?;
        Ok(Response::new(wire::ListJournalResponse {
            next_page_token: if read.more {
                cursor.clone()
            } else {
                String::new()
            },
            entries: wire_entries(&scope, read.entries),
            cursor,
        }))
    }

    type WatchJournalStream = BoxStream<'static, Result<wire::WatchJournalResponse, Status>>;

    /// Status: INVALID_ARGUMENT, PERMISSION_DENIED, OUT_OF_RANGE, UNAVAILABLE.
    async fn watch_journal(
        &self,
        request: Request<wire::WatchJournalRequest>,
    ) -> Result<Response<Self::WatchJournalStream>, Status> {
        let caller = principal(&request)?;
        let request = request.into_inner();
        let (scope, network) =
            scopes::of_network(&self.coordinator, &caller, &request.parent, Role::Viewer).await?;
        let filter = filter(network, &request.sync_set, &request.member)?;
        let start = match (request.from_end, request.cursor.as_str()) {
            (true, "") => Start::End,
            (true, _) => {
                let rule = "give a cursor or from_end, not both";
                return Err(Error::invalid("cursor", rule).into());
            }
            (false, text) => cursor::start("cursor", text)?,
        };
        let feed = scope.watch_journal(start, filter).await?;
        let messages = feed
            .and_then(move |read| std::future::ready(message(&scope, read)))
            .map_err(Status::from);
        Ok(Response::new(messages.boxed()))
    }
}

fn message(scope: &UserScope, read: Entries) -> Result<wire::WatchJournalResponse, Error> {
    Ok(wire::WatchJournalResponse {
        cursor: cursor::cursor(&read.place)?,
        entries: wire_entries(scope, read.entries),
    })
}

fn filter(network: &str, set: &str, member: &str) -> Result<JournalFilter, Error> {
    let own = |field: &str, of: &str| {
        if of == network {
            Ok(())
        } else {
            Err(Error::invalid(field, "must belong to `parent`"))
        }
    };
    let mut filter = JournalFilter::default();
    if !set.is_empty() {
        let (of, id) = names::uid_in_network("sync_set", set, "syncSets")?;
        own("sync_set", of)?;
        filter.set = Some(SyncSetId(id));
    }
    if !member.is_empty() {
        let (of, _, id) = names::uid_in_uid("member", member, "syncSets", "members")?;
        own("member", of)?;
        filter.member = Some(MemberId(id));
    }
    Ok(filter)
}

fn wire_entries(scope: &UserScope, rows: Vec<Row>) -> Vec<wire::JournalEntry> {
    rows.into_iter().map(|row| wire_entry(scope, row)).collect()
}

fn wire_entry(scope: &UserScope, row: Row) -> wire::JournalEntry {
    let side = row.side.as_deref().and_then(Side::from_name);
    let member = row.set.zip(row.member);
    wire::JournalEntry {
        position: row.at.position,
        kind: row.kind,
        time: Some(convert::timestamp(row.time)),
        sync_set: row.set.map_or_else(String::new, |set| scope.set_name(set)),
        member: member.map_or_else(String::new, |(set, id)| scope.member_name(set, id)),
        side: side
            .map_or(wire::Side::Unspecified, convert::wire_side)
            .into(),
        actor: row.actor,
        node_name: row.node_name,
        message: row.message,
    }
}
