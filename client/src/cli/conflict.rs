//! `tandem conflict`: show conflicts, decide them, and bring their losers back.

use clap::{Subcommand, ValueEnum};
use tandem_proto::v1::{
    GetConflictRequest, ListConflictsRequest, ResolveConflictRequest, RestoreVersionRequest, Side,
    restore_version_request::Source,
};

use super::{
    arguments::Limit,
    context::{Context, given},
    error::Error,
    paging,
    view::{Done, conflict::ConflictView},
};

/// What can be done with conflicts.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List conflicts, newest first
    List {
        /// Only conflicts of this member: SET/MEMBER or name
        #[arg(long)]
        member: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one conflict with what both sides had
    Show {
        /// Conflict: uid or name
        conflict: String,
    },
    /// Decide a conflict that is open: the state of one side holds on both
    Resolve {
        /// Conflict: uid or name
        conflict: String,
        /// The side whose state holds
        #[arg(long, value_name = "SIDE", value_enum)]
        keep: Keep,
    },
    /// Make the loser the current content again, on both sides
    Restore {
        /// Conflict: uid or name
        conflict: String,
    },
}

/// The side whose state holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keep {
    /// The on-premise copy is kept, the cloud's becomes like it
    OnPremise,
    /// The cloud copy is kept, the on-premise one becomes like it
    Cloud,
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::List { member, limit } => list(context, member.as_deref(), limit).await,
        Verb::Show { conflict } => show(context, &conflict).await,
        Verb::Resolve { conflict, keep } => resolve(context, &conflict, keep).await,
        Verb::Restore { conflict } => {
            let source = Source::Conflict(context.names.conflict(&conflict)?);
            restore(context, source).await
        }
    }
}

async fn list(context: &mut Context, member: Option<&str>, limit: Limit) -> Result<(), Error> {
    let (mut client, parent) = (context.client.conflicts(), context.names.network());
    let member = member.map_or(Ok(String::new()), |member| context.names.member(member))?;
    let listed =
        paging::collect::<_, ConflictView>(limit, String::new(), async |page_size, page_token| {
            let request = ListConflictsRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                member: member.clone(),
            };
            let answer = client.list_conflicts(request).await?.into_inner();
            Ok((answer.conflicts, answer.next_page_token))
        })
        .await?;
    context.output.show(&listed)
}

async fn show(context: &mut Context, conflict: &str) -> Result<(), Error> {
    let name = context.names.conflict(conflict)?;
    let answer = context
        .client
        .conflicts()
        .get_conflict(GetConflictRequest { name })
        .await?;
    let conflict = given(answer.into_inner().conflict, "the conflict")?;
    context.output.show(&ConflictView::from(conflict))
}

async fn resolve(context: &mut Context, conflict: &str, keep: Keep) -> Result<(), Error> {
    let winner = match keep {
        Keep::OnPremise => Side::OnPremise,
        Keep::Cloud => Side::Cloud,
    };
    let request = ResolveConflictRequest {
        name: context.names.conflict(conflict)?,
        winner: winner.into(),
    };
    let answer = context.client.conflicts().resolve_conflict(request).await?;
    let conflict = given(answer.into_inner().conflict, "the conflict")?;
    context.output.show(&ConflictView::from(conflict))
}

/// Brings kept content back.
pub(crate) async fn restore(context: &mut Context, source: Source) -> Result<(), Error> {
    let request = RestoreVersionRequest {
        source: Some(source),
    };
    let answer = context
        .client
        .conflicts()
        .restore_version(request)
        .await?
        .into_inner();
    let what = "The kept content becomes the current one on both sides.";
    context.output.show(&Done::new(answer.member, what))
}
