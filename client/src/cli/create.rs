//! `tandem set create`.

use clap::Args;
use tandem_proto::v1alpha::{CreateSyncSetRequest, SyncSetDefinition, SyncSetKind, SyncSetOptions};
use uuid::Uuid;

use super::{
    context::{Context, given},
    error::Error,
    names::Names,
    view::created::CreatedView,
};
use crate::policies::Policies;

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
    #[command(flatten)]
    policies: Policies,
    /// Hold deletions back when they exceed this share of the members; 100 = no share is too large [default: 50]
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
        let options = self.policies.set(SyncSetOptions {
            include_subfolders: Some(!self.no_subfolders),
            lock_on_premise_copy: self.lock_on_premise_copy,
            allow_delete_on_cloud: Some(!self.no_delete_on_cloud),
            delete_on_premise: self.delete_on_premise,
            max_delete_percent: self.max_delete_percent,
            ..SyncSetOptions::default()
        });
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

/// Makes the set.
pub(crate) async fn run(context: &mut Context, create: Create) -> Result<(), Error> {
    let request = create.request(&context.names)?;
    let answer = context
        .client
        .sync_sets()
        .create_sync_set(request)
        .await?
        .into_inner();
    context.output.show(&CreatedView {
        sync_set: given(answer.sync_set, "the sync set")?.into(),
        accepted: answer.accepted,
        skipped: answer.skipped.into_iter().map(Into::into).collect(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tandem_proto::v1alpha::{ConflictGrain, ConflictPolicy, NameClashPolicy};

    use super::*;
    use crate::cli::{
        arguments::{Cli, Noun},
        set::Verb,
    };

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
        assert_eq!(options.conflict_policy(), ConflictPolicy::CloudWins);
        assert_eq!(options.conflict_grain(), ConflictGrain::WholeNode);
        assert_eq!(options.name_clash_policy(), NameClashPolicy::Fail);
        assert_eq!(definition.paths, ["contracts"]);
        assert_eq!(definition.target_path, "");
    }

    #[test]
    fn r_set_2_each_flag_sets_its_option() {
        let line = "--source hq --target cloud:a/b --no-subfolders --lock-on-premise-copy --no-delete-on-cloud \
                    --conflict-policy on-premise-wins --conflict-grain per-field \
                    --name-clash-policy rename --max-delete-percent 100 --owner anna";
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let request = request(&line);
        assert_eq!(request.owner, "anna");
        let definition = request.definition.expect("it is there");
        let options = definition.options.expect("they are there");
        assert_eq!(options.include_subfolders, Some(false));
        assert_eq!(options.allow_delete_on_cloud, Some(false));
        assert!(options.lock_on_premise_copy);
        assert_eq!(options.max_delete_percent, Some(100));
        assert_eq!(options.conflict_policy(), ConflictPolicy::OnPremiseWins);
        assert_eq!(options.conflict_grain(), ConflictGrain::PerField);
        assert_eq!(options.name_clash_policy(), NameClashPolicy::Rename);
        assert_eq!(definition.target_path, "a/b");
    }
}
