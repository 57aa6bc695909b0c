//! `tandem version`: show and restore what is kept of a member.

use clap::Subcommand;
use tandem_proto::v1::{ListVersionsRequest, restore_version_request::Source};

use super::{
    arguments::Limit, conflict, context::Context, error::Error, paging, view::version::VersionView,
};

/// What can be done with kept versions.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the kept versions of a member, newest first
    List {
        /// Member: SET/MEMBER or name
        member: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Make a kept version the current content again, on both sides
    Restore {
        /// Version: SET/MEMBER/VERSION or name
        version: String,
    },
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::List { member, limit } => list(context, &member, limit).await,
        Verb::Restore { version } => {
            let source = Source::Version(context.names.version(&version)?);
            conflict::restore(context, source).await
        }
    }
}

async fn list(context: &mut Context, member: &str, limit: Limit) -> Result<(), Error> {
    let (mut client, parent) = (context.client.conflicts(), context.names.member(member)?);
    let listed =
        paging::collect::<_, VersionView>(limit, String::new(), async |page_size, page_token| {
            let request = ListVersionsRequest {
                parent: parent.clone(),
                page_size,
                page_token,
            };
            let answer = client.list_versions(request).await?.into_inner();
            Ok((answer.versions, answer.next_page_token))
        })
        .await?;
    context.output.show(&listed)
}
