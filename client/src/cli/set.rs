//! `tandem set`: make, show and end sync sets.

use std::path::PathBuf;

use clap::Subcommand;
use tandem_proto::v1::{
    ForceUnsyncRequest, GetSyncSetRequest, HoldDecision, ListSyncSetsRequest, PauseSyncSetRequest,
    ResolveHoldRequest, ResumeSyncSetRequest, SetAnswer, TransferOwnershipRequest,
    UnsyncSyncSetRequest,
};

use super::{
    arguments::Limit,
    context::{Context, given},
    create::{self, Create},
    error::Error,
    exit::Kind,
    paging::{self, Listed},
    portable,
    view::{Done, set::SetView, set_answer::SetAnswerView},
};

/// What can be done with sync sets.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Keep an on-premise folder, or documents, and the copies on the cloud the same from now on
    Create(Create),
    /// Tell what `create` with these flags would do, and change nothing
    Preview(Create),
    /// List the sync sets
    List {
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one sync set with its options
    Show {
        /// Sync set: uid or name
        set: String,
    },
    /// Deliver nothing of a sync set for now; changes are noted, and none is lost
    Pause {
        /// Sync set: uid or name
        set: String,
    },
    /// End the pause of a sync set
    Resume {
        /// Sync set: uid or name
        set: String,
    },
    /// End a sync set; both copies stay as they are, or the cloud copy is removed
    Unsync {
        /// Sync set: uid or name
        set: String,
        /// Pull the cloud's last changes, then remove the cloud copy and everything under it
        #[arg(long)]
        remove_cloud_copy: bool,
    },
    /// Give sync sets to another owner; for admins
    Transfer {
        /// Sync sets: uids or names
        #[arg(required = true)]
        sets: Vec<String>,
        /// On-premise user who owns them from now on
        #[arg(long)]
        owner: String,
    },
    /// End sync sets from the cloud's side; both copies stay as they are; for admins
    ForceUnsync {
        /// Sync sets: uids or names
        #[arg(required = true)]
        sets: Vec<String>,
    },
    /// Write definitions, options, owners and pairings as JSON lines, for another coordinator; for admins
    Export {
        /// File to write; left out, the lines go to the output
        #[arg(long)]
        file: Option<PathBuf>,
        /// Sync sets: uids or names; left out, all
        sets: Vec<String>,
    },
    /// Bring in the sync sets of an export; repositories are found by their names; for admins
    Import {
        /// File that `tandem set export` wrote
        file: PathBuf,
    },
    /// Decide about deletions that are held back because there were too many at once
    #[command(subcommand)]
    Hold(Hold),
}

/// What can be decided about held deletions.
#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    /// Delete as the options of the set say
    Confirm {
        /// Sync set: uid or name
        set: String,
    },
    /// Restore what was deleted
    Refuse {
        /// Sync set: uid or name
        set: String,
    },
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::Create(create) => create::run(context, create).await,
        Verb::Preview(create) => create::preview(context, create).await,
        Verb::List { limit } => list(context, limit).await,
        Verb::Show { set } => show(context, &set).await,
        Verb::Pause { set } => pause(context, &set).await,
        Verb::Resume { set } => resume(context, &set).await,
        Verb::Unsync {
            set,
            remove_cloud_copy,
        } => unsync(context, &set, remove_cloud_copy).await,
        Verb::Transfer { sets, owner } => transfer(context, &sets, owner).await,
        Verb::ForceUnsync { sets } => force_unsync(context, &sets).await,
        Verb::Export { file, sets } => portable::export(context, &sets, file).await,
        Verb::Import { file } => portable::import(context, &file).await,
        Verb::Hold(Hold::Confirm { set }) => resolve(context, &set, HoldDecision::Confirm).await,
        Verb::Hold(Hold::Refuse { set }) => resolve(context, &set, HoldDecision::Refuse).await,
    }
}

async fn list(context: &mut Context, limit: Limit) -> Result<(), Error> {
    let (mut client, parent) = (context.client.sync_sets(), context.names.network());
    let listed =
        paging::collect::<_, SetView>(limit, String::new(), async |page_size, page_token| {
            let parent = parent.clone();
            let request = ListSyncSetsRequest {
                parent,
                page_size,
                page_token,
            };
            let answer = client.list_sync_sets(request).await?.into_inner();
            Ok((answer.sync_sets, answer.next_page_token))
        })
        .await?;
    context.output.show(&listed)
}

async fn show(context: &mut Context, set: &str) -> Result<(), Error> {
    let name = context.names.set(set)?;
    let answer = context
        .client
        .sync_sets()
        .get_sync_set(GetSyncSetRequest { name })
        .await?;
    let set = given(answer.into_inner().sync_set, "the sync set")?;
    context.output.show(&SetView::from(set))
}

async fn pause(context: &mut Context, set: &str) -> Result<(), Error> {
    let name = context.names.set(set)?;
    let request = PauseSyncSetRequest { name };
    let answer = context.client.sync_sets().pause_sync_set(request).await?;
    let set = given(answer.into_inner().sync_set, "the sync set")?;
    context.output.show(&SetView::from(set))
}

async fn resume(context: &mut Context, set: &str) -> Result<(), Error> {
    let name = context.names.set(set)?;
    let request = ResumeSyncSetRequest { name };
    let answer = context.client.sync_sets().resume_sync_set(request).await?;
    let set = given(answer.into_inner().sync_set, "the sync set")?;
    context.output.show(&SetView::from(set))
}

async fn unsync(context: &mut Context, set: &str, remove_cloud_copy: bool) -> Result<(), Error> {
    let name = context.names.set(set)?;
    let request = UnsyncSyncSetRequest {
        name: name.clone(),
        remove_cloud_copy,
    };
    context.client.sync_sets().unsync_sync_set(request).await?;
    let what = match remove_cloud_copy {
        true => {
            "The sync set is ended; its cloud copy goes. What stays of it: `tandem member skipped SET`."
        }
        false => "The sync set is ended.",
    };
    context.output.show(&Done::new(name, what))
}

fn named(context: &Context, sets: &[String]) -> Result<Vec<String>, Error> {
    sets.iter().map(|set| context.names.set(set)).collect()
}

async fn transfer(context: &mut Context, sets: &[String], owner: String) -> Result<(), Error> {
    let request = TransferOwnershipRequest {
        parent: context.names.network(),
        names: named(context, sets)?,
        owner,
    };
    let mut client = context.client.sync_sets();
    let answer = client.transfer_ownership(request).await?.into_inner();
    answered(context, answer.answers)
}

async fn force_unsync(context: &mut Context, sets: &[String]) -> Result<(), Error> {
    let request = ForceUnsyncRequest {
        parent: context.names.network(),
        names: named(context, sets)?,
    };
    let mut client = context.client.sync_sets();
    let answer = client.force_unsync(request).await?.into_inner();
    answered(context, answer.answers)
}

/// Shows what became of each; when any was refused, the command did not end well.
fn answered(context: &mut Context, answers: Vec<SetAnswer>) -> Result<(), Error> {
    let items: Vec<SetAnswerView> = answers.into_iter().map(Into::into).collect();
    let refused = items.iter().filter(|answer| !answer.done).count();
    context.output.show(&Listed { items, more: false })?;
    match refused {
        0 => Ok(()),
        _ => {
            let message = format!("{refused} of the sync sets were refused");
            Err(Error::new(Kind::Precondition, message)
                .with_remedy("The answer of each sync set says why."))
        }
    }
}

async fn resolve(context: &mut Context, set: &str, decision: HoldDecision) -> Result<(), Error> {
    let name = context.names.set(set)?;
    let request = ResolveHoldRequest {
        name: name.clone(),
        decision: decision.into(),
    };
    let answer = context
        .client
        .sync_sets()
        .resolve_hold(request)
        .await?
        .into_inner();
    let what = match decision {
        HoldDecision::Refuse => "Refused: what was deleted is restored.",
        _ => "Confirmed: the deletions go on.",
    };
    context
        .output
        .show(&Done::new(name, what).with_count(answer.resolved))
}
