//! `tandem target`: cloud folders that can receive sync sets.

use clap::Subcommand;
use tandem_proto::v1::{BrowseTargetFoldersRequest, CreateTargetFolderRequest};
use uuid::Uuid;

use super::{
    arguments::Limit,
    context::{Context, given},
    error::Error,
    paging,
    view::target::FolderView,
};

/// What can be done with target folders.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the folders in a folder of a cloud repository
    Browse {
        /// Cloud repository: id or name
        repository: String,
        /// Folder; the path begins in the directory that the agent was given [default: that directory]
        #[arg(default_value = "", hide_default_value = true)]
        path: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Make a folder in a cloud repository
    Create {
        /// The new folder; the folders above it must be there
        #[arg(value_name = "REPOSITORY:PATH")]
        folder: String,
        /// Title
        #[arg(
            long,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        title: String,
        /// Description
        #[arg(
            long,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        description: String,
        /// Repeating a request with the same UUID makes one folder only [default: a new one]
        #[arg(long, value_name = "UUID")]
        request_id: Option<Uuid>,
    },
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::Browse {
            repository,
            path,
            limit,
        } => browse(context, &repository, &path, limit).await,
        Verb::Create {
            folder,
            title,
            description,
            request_id,
        } => {
            let mut request = new_folder(context, &folder)?;
            request.title = title;
            request.description = description;
            request.request_id = request_id.unwrap_or_else(Uuid::new_v4).to_string();
            let mut client = context.client.members();
            let answer = client.create_target_folder(request).await?;
            let folder = given(answer.into_inner().folder, "the folder")?;
            context.output.show(&FolderView::from(folder))
        }
    }
}

async fn browse(
    context: &mut Context,
    repository: &str,
    path: &str,
    limit: Limit,
) -> Result<(), Error> {
    let place = context.names.place(&format!("{repository}:{path}"))?;
    let mut client = context.client.members();
    let listed =
        paging::collect::<_, FolderView>(limit, String::new(), async |page_size, page_token| {
            let request = BrowseTargetFoldersRequest {
                repository: place.repository.clone(),
                path: place.path.clone(),
                page_size,
                page_token,
                ..BrowseTargetFoldersRequest::default()
            };
            let answer = client.browse_target_folders(request).await?.into_inner();
            Ok((answer.folders, answer.next_page_token))
        })
        .await?;
    context.output.show(&listed)
}

/// The folder above and the name of a new folder.
fn new_folder(context: &Context, folder: &str) -> Result<CreateTargetFolderRequest, Error> {
    let place = context.names.place(folder)?;
    let (above, name) = place.path.rsplit_once('/').unwrap_or(("", &place.path));
    if name.is_empty() {
        return Err(Error::usage(
            format!("`{folder}` names no folder to be made"),
            "Give it as REPOSITORY:PATH, such as cloud:inbox/march.",
        ));
    }
    Ok(CreateTargetFolderRequest {
        repository: place.repository,
        parent_path: above.to_owned(),
        folder_name: name.to_owned(),
        ..CreateTargetFolderRequest::default()
    })
}
