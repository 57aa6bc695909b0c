//! Sets that leave as JSON lines, and come in (R-ADM-1).

use futures::{Stream, TryStreamExt};
use tandem_proto::v1 as wire;
use tonic::Status;

use super::messages::Messages;
use super::names;
use crate::domain::ids::SyncSetId;
use crate::domain::limits::{IMPORT_IDLE_MILLISECONDS, SYNC_NAMES_MAX};
use crate::service::portable::{Import, ImportResult};
use crate::service::{AdminScope, Coordinator, Error, Principal};

/// The lines of an export, as they are read.
pub(super) async fn export(
    scope: &AdminScope,
    sets: &[SyncSetId],
) -> Result<
    impl Stream<Item = Result<wire::ExportSyncSetsResponse, Status>> + Send + 'static + use<>,
    Error,
> {
    let feed = scope.export_sets(sets).await?;
    Ok(feed
        .map_ok(|lines| wire::ExportSyncSetsResponse {
            lines: lines.into(),
        })
        .map_err(Status::from))
}

/// The sets of an export that are named; none = all.
pub(super) fn named(network: &str, names: &[String]) -> Result<Vec<SyncSetId>, Error> {
    if names.len() > SYNC_NAMES_MAX {
        let rule = format!("at most {SYNC_NAMES_MAX} sets; ask in several calls, or for all");
        return Err(Error::invalid("names", rule));
    }
    names::sets_of("names", network, names)
}

/// Reads a whole import; what is not read to its end is given up.
pub(super) async fn import<S>(
    coordinator: &Coordinator,
    caller: &Principal,
    stream: S,
) -> Result<ImportResult, Error>
where
    S: Stream<Item = Result<wire::ImportSyncSetsRequest, Status>> + Unpin,
{
    let mut messages = Messages::new(
        stream,
        coordinator.draining.clone(),
        IMPORT_IDLE_MILLISECONDS,
        "import the file again",
    );
    let first = messages.next().await?;
    let first = first.ok_or_else(|| Error::protocol("parent: send it in a first message"))?;
    let network = names::network("parent", &first.parent)?;
    let scope = coordinator.for_admin(caller, network).await?;
    let mut import = scope.begin_import().await?;
    let read = read(&mut import, first, &mut messages).await;
    if read.is_err() {
        import.give_up().await?;
    }
    read
}

async fn read<S>(
    import: &mut Import,
    first: wire::ImportSyncSetsRequest,
    messages: &mut Messages<S>,
) -> Result<ImportResult, Error>
where
    S: Stream<Item = Result<wire::ImportSyncSetsRequest, Status>> + Unpin,
{
    import.take(&first.lines).await?;
    while let Some(message) = messages.next().await? {
        if !message.parent.is_empty() {
            return Err(Error::protocol("parent: only in the first message"));
        }
        import.take(&message.lines).await?;
    }
    import.finish().await
}
