//! `tandem token`: make and revoke tokens; `tandem whoami`.

use clap::{ArgGroup, Args, Subcommand};
use prost_types::Timestamp;
use tandem_proto::v1::{
    CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Role, UserSubject, WhoAmIRequest,
    create_token_request::Subject,
};

use super::{
    arguments::Limit,
    context::{Context, given},
    error::Error,
    names::Names,
    paging,
    values::{RoleValue, timestamp},
    view::{
        Done,
        token::{CallerView, SecretView, TokenView},
    },
};

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a token for an agent or a user; its secret is shown only once
    Create(Create),
    /// List tokens, without their secrets
    List {
        #[command(flatten)]
        limit: Limit,
    },
    /// Revoke a token; what runs with it ends within a minute
    Revoke {
        /// Token: uid or name
        #[arg(value_name = "TOKEN")]
        revoked: String,
    },
}

/// Whom the token speaks for.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("subject").required(true).args(["repository", "user"]))]
pub(crate) struct Create {
    /// For the agent of this repository: id or name
    #[arg(long)]
    repository: Option<String>,
    /// For this user of the on-premise repository
    #[arg(long, requires = "role")]
    user: Option<String>,
    /// What the user may do
    #[arg(long, value_enum, conflicts_with = "repository")]
    role: Option<RoleValue>,
    /// When the token ends, such as 2030-12-31T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    expire_time: Option<Timestamp>,
}

impl Create {
    fn request(self, names: &Names) -> Result<CreateTokenRequest, Error> {
        let subject = match (self.repository, self.user, self.role) {
            (Some(repository), ..) => Subject::Repository(names.repository(&repository)?),
            (None, Some(user), Some(role)) => Subject::User(UserSubject {
                user,
                role: Role::from(role).into(),
            }),
            _ => {
                return Err(Error::usage(
                    "nobody is named",
                    "Give --repository, or --user with --role.",
                ));
            }
        };
        Ok(CreateTokenRequest {
            parent: names.network(),
            subject: Some(subject),
            expire_time: self.expire_time,
        })
    }
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::Create(create) => self::create(context, create).await,
        Verb::List { limit } => list(context, limit).await,
        Verb::Revoke { revoked } => revoke(context, &revoked).await,
    }
}

async fn create(context: &mut Context, create: Create) -> Result<(), Error> {
    let request = create.request(&context.names)?;
    let answer = context
        .client
        .access()
        .create_token(request)
        .await?
        .into_inner();
    context.output.show(&SecretView {
        token: given(answer.token, "the token")?.into(),
        secret: answer.secret,
    })
}

async fn list(context: &mut Context, limit: Limit) -> Result<(), Error> {
    let (mut client, parent) = (context.client.access(), context.names.network());
    let listed =
        paging::collect::<_, TokenView>(limit, String::new(), async |page_size, page_token| {
            let request = ListTokensRequest {
                parent: parent.clone(),
                page_size,
                page_token,
            };
            let answer = client.list_tokens(request).await?.into_inner();
            Ok((answer.tokens, answer.next_page_token))
        })
        .await?;
    context.output.show(&listed)
}

async fn revoke(context: &mut Context, token: &str) -> Result<(), Error> {
    let name = context.names.token(token)?;
    let request = RevokeTokenRequest { name: name.clone() };
    context.client.access().revoke_token(request).await?;
    context
        .output
        .show(&Done::new(name, "The token is revoked."))
}

/// Shows whom the token speaks for.
pub(crate) async fn whoami(context: &mut Context) -> Result<(), Error> {
    let answer = context
        .client
        .access()
        .who_am_i(WhoAmIRequest {})
        .await?
        .into_inner();
    context.output.show(&CallerView {
        network: answer.network,
        token: given(answer.token, "the token")?.into(),
    })
}
