//! `tandem member`: show, sync and delete single members.

use clap::{Args, Subcommand};
use tandem_proto::v1::{
    DeleteMemberRequest, FailureReason, GetMemberRequest, ListMembersRequest,
    ListSkippedNodesRequest, MemberState, PeerChoice, RequestSyncRequest, Side,
    UnsyncMemberRequest, WatchMembersRequest,
};

use super::{
    arguments::Limit,
    context::{Context, given},
    error::Error,
    paging,
    values::{PeerValue, SideValue, StateValue, failure_reason},
    view::{
        Done,
        member::MemberView,
        member_step::{Requested, Step},
        skipped::SkippedView,
    },
};

/// What can be done with members.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List members with their states
    List(List),
    /// Show one member with both copies
    Show {
        /// Member: SET/MEMBER or name
        member: String,
    },
    /// Look at members afresh and sync them at once, whichever way is due
    RequestSync {
        /// Sync set, then uids of its members (none = all); or members as SET/MEMBER
        #[arg(required = true, value_name = "SET|MEMBER")]
        targets: Vec<String>,
    },
    /// Follow the members of a sync set as they change
    Watch {
        /// Sync set: uid or name
        set: String,
    },
    /// List what lies in the folders of a sync set and is no member, and why
    Skipped {
        /// Sync set: uid or name
        set: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// End the membership of a chosen node; of a synced folder, that of all in it
    Unsync {
        /// Member: SET/MEMBER or name
        member: String,
        /// Pull the cloud's last changes, then remove the cloud copy and everything under it
        #[arg(long)]
        remove_cloud_copy: bool,
    },
    /// Delete a member's copy on one side, and say what becomes of the other
    Delete {
        /// Member: SET/MEMBER or name
        member: String,
        /// Side on which the copy is deleted
        #[arg(long, value_enum)]
        side: SideValue,
        /// What becomes of the copy on the other side
        #[arg(long, value_enum)]
        peer: PeerValue,
    },
}

/// Which members are listed.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only members of this sync set
    #[arg(long)]
    set: Option<String>,
    /// Only members in this state
    #[arg(long, value_enum)]
    state: Option<StateValue>,
    /// Only members that failed for this reason
    #[arg(long, value_parser = failure_reason(), ignore_case = true, hide_possible_values = true)]
    reason: Option<FailureReason>,
    #[command(flatten)]
    limit: Limit,
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::List(list) => self::list(context, list).await,
        Verb::Show { member } => show(context, &member).await,
        Verb::RequestSync { targets } => request_sync(context, &targets).await,
        Verb::Watch { set } => watch(context, &set).await,
        Verb::Skipped { set, limit } => skipped(context, &set, limit).await,
        Verb::Unsync {
            member,
            remove_cloud_copy,
        } => unsync(context, &member, remove_cloud_copy).await,
        Verb::Delete { member, side, peer } => delete(context, &member, side, peer).await,
    }
}

async fn list(context: &mut Context, list: List) -> Result<(), Error> {
    let parent = match &list.set {
        Some(set) => context.names.set(set)?,
        None => format!("{}/syncSets/-", context.names.network()),
    };
    let state = list
        .state
        .map_or(MemberState::Unspecified, MemberState::from);
    let reason = list.reason.unwrap_or(FailureReason::Unspecified);
    let mut client = context.client.members();
    let listed = paging::collect::<_, MemberView>(
        list.limit,
        String::new(),
        async |page_size, page_token| {
            let request = ListMembersRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                state: state.into(),
                reason: reason.into(),
            };
            let answer = client.list_members(request).await?.into_inner();
            Ok((answer.members, answer.next_page_token))
        },
    )
    .await?;
    context.output.show(&listed)
}

async fn show(context: &mut Context, member: &str) -> Result<(), Error> {
    let name = context.names.member(member)?;
    let answer = context
        .client
        .members()
        .get_member(GetMemberRequest { name })
        .await?;
    let member = given(answer.into_inner().member, "the member")?;
    context.output.show(&MemberView::from(member))
}

async fn request_sync(context: &mut Context, targets: &[String]) -> Result<(), Error> {
    let mut requested = 0;
    for (parent, names) in context.names.targets(targets)? {
        let request = RequestSyncRequest { parent, names };
        requested += context
            .client
            .members()
            .request_sync(request)
            .await?
            .into_inner()
            .requested;
    }
    context.output.show(&Requested { requested })
}

async fn watch(context: &mut Context, set: &str) -> Result<(), Error> {
    let parent = context.names.set(set)?;
    let request = WatchMembersRequest { parent };
    let mut stream = context
        .client
        .members()
        .watch_members(request)
        .await?
        .into_inner();
    while let Some(message) = stream.message().await? {
        for step in Step::all(message) {
            context.output.step(&step)?;
        }
    }
    Ok(())
}

async fn skipped(context: &mut Context, set: &str, limit: Limit) -> Result<(), Error> {
    let parent = context.names.set(set)?;
    let mut client = context.client.members();
    let listed =
        paging::collect::<_, SkippedView>(limit, String::new(), async |page_size, page_token| {
            let request = ListSkippedNodesRequest {
                parent: parent.clone(),
                page_size,
                page_token,
            };
            let answer = client.list_skipped_nodes(request).await?.into_inner();
            Ok((answer.nodes, answer.next_page_token))
        })
        .await?;
    context.output.show(&listed)
}

async fn unsync(context: &mut Context, member: &str, remove_cloud_copy: bool) -> Result<(), Error> {
    let name = context.names.member(member)?;
    let request = UnsyncMemberRequest {
        name: name.clone(),
        remove_cloud_copy,
    };
    context.client.members().unsync_member(request).await?;
    context
        .output
        .show(&Done::new(name, "The membership is ended."))
}

async fn delete(
    context: &mut Context,
    member: &str,
    side: SideValue,
    peer: PeerValue,
) -> Result<(), Error> {
    let name = context.names.member(member)?;
    let request = DeleteMemberRequest {
        name: name.clone(),
        side: Side::from(side).into(),
        peer: PeerChoice::from(peer).into(),
    };
    context.client.members().delete_member(request).await?;
    context
        .output
        .show(&Done::new(name, "The deletion is due."))
}
