//! `tandem repository`: register and look after repositories.

use clap::Subcommand;
use tandem_proto::v1::{
    CreateRepositoryRequest, GetRepositoryRequest, ListRepositoriesRequest, PauseRepositoryRequest,
    RebindRepositoryRequest, ResumeRepositoryRequest, ScanRepositoryRequest, Side,
};

use super::{
    arguments::Limit,
    context::{Context, given},
    error::Error,
    ids::check_id,
    paging,
    values::SideValue,
    view::{Done, repository::RepositoryView},
};

/// What can be done with repositories.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Register a repository; its agent then needs a token
    Create {
        /// Id: 1 to 63 of a-z, 0-9 and `-`, beginning with a letter
        id: String,
        /// Side on which it stands; never changes
        #[arg(long, value_enum)]
        side: SideValue,
        /// Name that people see
        #[arg(long, default_value = "", hide_default_value = true)]
        display_name: String,
    },
    /// List the repositories of the network
    List {
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one repository
    Show {
        /// Repository: id or name
        repository: String,
    },
    /// Accept another installation as the repository; everything is scanned anew
    Rebind {
        /// Repository: id or name
        repository: String,
    },
    /// Deliver nothing of the sync sets of a repository for now; changes are noted, and none is lost
    Pause {
        /// Repository: id or name
        repository: String,
    },
    /// End the pause of a repository
    Resume {
        /// Repository: id or name
        repository: String,
    },
    /// Have the agent list every synced folder again
    Scan {
        /// Repository: id or name
        repository: String,
        /// Read content too, instead of trusting what the agent remembers
        #[arg(long)]
        read_content: bool,
    },
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::Create {
            id,
            side,
            display_name,
        } => create(context, id, side, display_name).await,
        Verb::List { limit } => list(context, limit).await,
        Verb::Show { repository } => show(context, &repository).await,
        Verb::Rebind { repository } => rebind(context, &repository).await,
        Verb::Pause { repository } => pause(context, &repository).await,
        Verb::Resume { repository } => resume(context, &repository).await,
        Verb::Scan {
            repository,
            read_content,
        } => scan(context, &repository, read_content).await,
    }
}

async fn create(
    context: &mut Context,
    repository_id: String,
    side: SideValue,
    display_name: String,
) -> Result<(), Error> {
    check_id("repository", &repository_id)?;
    let request = CreateRepositoryRequest {
        parent: context.names.network(),
        repository_id,
        side: Side::from(side).into(),
        display_name,
    };
    let answer = context
        .client
        .access()
        .create_repository(request)
        .await?
        .into_inner();
    let repository = given(answer.repository, "the repository")?;
    context.output.show(&RepositoryView::from(repository))
}

async fn list(context: &mut Context, limit: Limit) -> Result<(), Error> {
    let (mut client, parent) = (context.client.access(), context.names.network());
    let listed = paging::collect::<_, RepositoryView>(
        limit,
        String::new(),
        async |page_size, page_token| {
            let request = ListRepositoriesRequest {
                parent: parent.clone(),
                page_size,
                page_token,
            };
            let answer = client.list_repositories(request).await?.into_inner();
            Ok((answer.repositories, answer.next_page_token))
        },
    )
    .await?;
    context.output.show(&listed)
}

async fn show(context: &mut Context, repository: &str) -> Result<(), Error> {
    let name = context.names.repository(repository)?;
    let answer = context
        .client
        .access()
        .get_repository(GetRepositoryRequest { name })
        .await?;
    let repository = given(answer.into_inner().repository, "the repository")?;
    context.output.show(&RepositoryView::from(repository))
}

async fn rebind(context: &mut Context, repository: &str) -> Result<(), Error> {
    let name = context.names.repository(repository)?;
    let request = RebindRepositoryRequest { name };
    let answer = context
        .client
        .access()
        .rebind_repository(request)
        .await?
        .into_inner();
    let repository = given(answer.repository, "the repository")?;
    context.output.show(&RepositoryView::from(repository))
}

async fn pause(context: &mut Context, repository: &str) -> Result<(), Error> {
    let name = context.names.repository(repository)?;
    let request = PauseRepositoryRequest { name };
    let answer = context.client.access().pause_repository(request).await?;
    let repository = given(answer.into_inner().repository, "the repository")?;
    context.output.show(&RepositoryView::from(repository))
}

async fn resume(context: &mut Context, repository: &str) -> Result<(), Error> {
    let name = context.names.repository(repository)?;
    let request = ResumeRepositoryRequest { name };
    let answer = context.client.access().resume_repository(request).await?;
    let repository = given(answer.into_inner().repository, "the repository")?;
    context.output.show(&RepositoryView::from(repository))
}

async fn scan(context: &mut Context, repository: &str, read_content: bool) -> Result<(), Error> {
    let name = context.names.repository(repository)?;
    let request = ScanRepositoryRequest {
        name: name.clone(),
        read_content,
    };
    context.client.access().scan_repository(request).await?;
    context
        .output
        .show(&Done::new(name, "The scan is asked for."))
}
