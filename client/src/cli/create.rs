//! `tandem set create`, and what it would do: `tandem set preview`.

use clap::Args;
use tandem_proto::v1::{
    CreateSyncSetRequest, NewFolder, PreviewSyncSetRequest, SyncSetDefinition, SyncSetKind,
    SyncSetOptions,
};
use uuid::Uuid;

use super::{
    context::{Context, given},
    error::Error,
    names::Names,
    view::{created::CreatedView, preview::PreviewView},
};
use crate::policies::Policies;

/// What is to be synced, where to, and how.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// On-premise folder, or document; several documents make one set. The path begins in the directory that the agent
    /// was given
    #[arg(long, value_name = "REPOSITORY[:PATH]", required = true)]
    source: Vec<String>,
    /// Cloud folder that receives the copies, under the names of the sources
    #[arg(long, value_name = "REPOSITORY[:PATH]")]
    target: String,
    /// Make a folder of this name in the target, which receives the copies in its place
    #[arg(long, value_name = "NAME")]
    new_folder: Option<String>,
    /// Title of the new folder
    #[arg(long, value_name = "TEXT", requires = "new_folder")]
    new_folder_title: Option<String>,
    /// Description of the new folder
    #[arg(long, value_name = "TEXT", requires = "new_folder")]
    new_folder_description: Option<String>,
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
        let (source_repository, paths) = sources(names, &self.source)?;
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
            // What the sources are: documents, or a folder.
            kind: SyncSetKind::Unspecified.into(),
            on_premise_repository: source_repository,
            paths,
            cloud_repository: target.repository,
            target_path: target.path,
            options: Some(options),
            new_target_folder: self.new_folder.map(|name| NewFolder {
                name,
                title: self.new_folder_title.unwrap_or_default(),
                description: self.new_folder_description.unwrap_or_default(),
            }),
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

/// The repository of all sources, and their paths.
fn sources(names: &Names, texts: &[String]) -> Result<(String, Vec<String>), Error> {
    let mut repository = String::new();
    let mut paths = Vec::with_capacity(texts.len());
    for text in texts {
        let place = names.place(text)?;
        if !repository.is_empty() && repository != place.repository {
            return Err(Error::usage(
                format!("the source `{text}` is in another repository than the first one"),
                "A set has one on-premise repository; make a set for each.",
            ));
        }
        repository = place.repository;
        paths.push(place.path);
    }
    Ok((repository, paths))
}

/// Tells what making the set would do.
pub(crate) async fn preview(context: &mut Context, create: Create) -> Result<(), Error> {
    let CreateSyncSetRequest {
        parent, definition, ..
    } = create.request(&context.names)?;
    let request = PreviewSyncSetRequest { parent, definition };
    let answer = context.client.sync_sets().preview_sync_set(request).await?;
    context.output.show(&PreviewView::from(answer.into_inner()))
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
    use tandem_proto::v1::{ConflictGrain, ConflictPolicy, NameClashPolicy};

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
    fn r_set_1_several_sources_are_documents_of_one_repository() {
        let line = "--source hq:a.txt --source hq:b.txt --target cloud:inbox --new-folder March";
        let definition = request(line).definition.expect("it is there");
        assert_eq!(definition.paths, ["a.txt", "b.txt"]);
        assert_eq!(definition.kind(), SyncSetKind::Unspecified);
        let folder = definition.new_target_folder.expect("it is there");
        assert_eq!((folder.name.as_str(), folder.title.as_str()), ("March", ""));
        let names = Names::new("default").expect("an ordinary network");
        let texts = ["hq:a", "branch:b"].map(ToOwned::to_owned);
        assert!(sources(&names, &texts).is_err());
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
