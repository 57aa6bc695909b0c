//! `tandem set`: make, show and end sync sets.

use clap::{Args, Subcommand};
use tandem_proto::v1alpha::{
    CreateSyncSetRequest, GetSyncSetRequest, HoldDecision, ListSyncSetsRequest, ResolveHoldRequest,
    SyncSetDefinition, SyncSetKind, SyncSetOptions, UnsyncSyncSetRequest,
};
use uuid::Uuid;

use super::{
    arguments::Limit,
    context::{Context, given},
    error::Error,
    names::Names,
    paging,
    view::{
        Done,
        set::{CreatedView, SetView},
    },
};

/// What can be done with sync sets.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Keep an on-premise folder and its copy on the cloud the same from now on
    Create(Create),
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
    /// End a sync set; both copies stay as they are
    Unsync {
        /// Sync set: uid or name
        set: String,
        /// Remove the cloud copies and what lies under them
        #[arg(long)]
        remove_cloud_copy: bool,
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

/// What is to be synced, where to, and how.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// On-premise folder; the path begins in the directory that the agent was given
    #[arg(long, value_name = "REPOSITORY[:PATH]")]
    source: String,
    /// Cloud folder that receives the copy, under the source's name
    #[arg(long, value_name = "REPOSITORY[:PATH]")]
    target: String,
    /// Do not sync what lies in subfolders
    #[arg(long)]
    no_subfolders: bool,
    /// Users may not change the on-premise copies
    #[arg(long)]
    lock_on_premise_copy: bool,
    /// A deletion on-premise leaves the cloud copy; deletions on the cloud are undone
    #[arg(long, conflicts_with = "delete_on_premise")]
    no_delete_on_cloud: bool,
    /// A deletion on the cloud removes the on-premise copy
    #[arg(long)]
    delete_on_premise: bool,
    /// Hold deletions back when they exceed this share of the members; 100 = never [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
    max_delete_percent: Option<i32>,
    /// On-premise user who owns the set; for admins [default: the caller]
    #[arg(
        long,
        value_name = "USER",
        default_value = "",
        hide_default_value = true
    )]
    owner: String,
    /// Repeating a request with the same UUID makes one set only [default: a new one]
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

impl Create {
    fn request(self, names: &Names) -> Result<CreateSyncSetRequest, Error> {
        let source = names.place(&self.source)?;
        let target = names.place(&self.target)?;
        let options = SyncSetOptions {
            include_subfolders: Some(!self.no_subfolders),
            lock_on_premise_copy: self.lock_on_premise_copy,
            allow_delete_on_cloud: Some(!self.no_delete_on_cloud),
            delete_on_premise: self.delete_on_premise,
            max_delete_percent: self.max_delete_percent,
            ..SyncSetOptions::default()
        };
        let definition = SyncSetDefinition {
            kind: SyncSetKind::Folder.into(),
            on_premise_repository: source.repository,
            paths: vec![source.path],
            cloud_repository: target.repository,
            target_path: target.path,
            options: Some(options),
            ..SyncSetDefinition::default()
        };
        Ok(CreateSyncSetRequest {
            parent: names.network(),
            definition: Some(definition),
            request_id: self.request_id.unwrap_or_else(Uuid::new_v4).to_string(),
            owner: self.owner,
        })
    }
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::Create(create) => self::create(context, create).await,
        Verb::List { limit } => list(context, limit).await,
        Verb::Show { set } => show(context, &set).await,
        Verb::Unsync {
            set,
            remove_cloud_copy,
        } => unsync(context, &set, remove_cloud_copy).await,
        Verb::Hold(Hold::Confirm { set }) => resolve(context, &set, HoldDecision::Confirm).await,
        Verb::Hold(Hold::Refuse { set }) => resolve(context, &set, HoldDecision::Refuse).await,
    }
}

async fn create(context: &mut Context, create: Create) -> Result<(), Error> {
    let request = create.request(&context.names)?;
    let answer = context.sets().create_sync_set(request).await?.into_inner();
    context.output.show(&CreatedView {
        sync_set: given(answer.sync_set, "the sync set")?.into(),
        accepted: answer.accepted,
        skipped: answer.skipped.into_iter().map(Into::into).collect(),
    })
}

async fn list(context: &mut Context, limit: Limit) -> Result<(), Error> {
    let (mut client, parent) = (context.sets(), context.names.network());
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
        .sets()
        .get_sync_set(GetSyncSetRequest { name })
        .await?;
    let set = given(answer.into_inner().sync_set, "the sync set")?;
    context.output.show(&SetView::from(set))
}

async fn unsync(context: &mut Context, set: &str, remove_cloud_copy: bool) -> Result<(), Error> {
    let name = context.names.set(set)?;
    let request = UnsyncSyncSetRequest {
        name: name.clone(),
        remove_cloud_copy,
    };
    context.sets().unsync_sync_set(request).await?;
    context
        .output
        .show(&Done::new(name, "The sync set is ended."))
}

async fn resolve(context: &mut Context, set: &str, decision: HoldDecision) -> Result<(), Error> {
    let name = context.names.set(set)?;
    let request = ResolveHoldRequest {
        name: name.clone(),
        decision: decision.into(),
    };
    let answer = context.sets().resolve_hold(request).await?.into_inner();
    let what = match decision {
        HoldDecision::Refuse => "Refused: what was deleted is restored.",
        _ => "Confirmed: the deletions go on.",
    };
    context
        .output
        .show(&Done::new(name, what).with_count(answer.resolved))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::{Cli, Noun};

    fn request(line: &str) -> CreateSyncSetRequest {
        let words = format!("tandem set create {line}");
        let cli = Cli::try_parse_from(words.split(' ')).expect("it parses");
        let Noun::Set(Verb::Create(create)) = cli.noun else {
            panic!("another command: {words}");
        };
        let names = Names::new("default").expect("an ordinary network");
        create.request(&names).expect("a request")
    }

    #[test]
    fn r_set_2_options_are_as_the_rule_says_when_no_flag_is_given() {
        let definition = request("--source hq:contracts --target cloud")
            .definition
            .expect("it is there");
        let options = definition.options.expect("they are there");
        assert_eq!(options.include_subfolders, Some(true));
        assert_eq!(options.allow_delete_on_cloud, Some(true));
        assert!(!options.lock_on_premise_copy && !options.delete_on_premise);
        assert_eq!(options.max_delete_percent, None);
        assert_eq!(definition.paths, ["contracts"]);
        assert_eq!(definition.target_path, "");
    }

    #[test]
    fn r_set_2_each_flag_sets_its_option() {
        let line = "--source hq --target cloud:a/b --no-subfolders --lock-on-premise-copy --no-delete-on-cloud \
                    --max-delete-percent 100 --owner anna";
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let request = request(&line);
        assert_eq!(request.owner, "anna");
        let definition = request.definition.expect("it is there");
        let options = definition.options.expect("they are there");
        assert_eq!(options.include_subfolders, Some(false));
        assert_eq!(options.allow_delete_on_cloud, Some(false));
        assert!(options.lock_on_premise_copy);
        assert_eq!(options.max_delete_percent, Some(100));
        assert_eq!(definition.target_path, "a/b");
    }
}
