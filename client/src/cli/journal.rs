//! `tandem journal`: read what was seen, decided and done, in order.

use clap::{Args, Subcommand};
use tandem_proto::v1::{ListJournalRequest, WatchJournalRequest};

use super::{
    arguments::Limit,
    context::Context,
    error::Error,
    paging,
    view::{
        journal::{EntryView, Step},
        text,
    },
};

/// What can be done with the journal.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List entries, oldest first
    List {
        /// Begin behind this cursor [default: the first entry that is kept]
        #[arg(long, default_value = "", hide_default_value = true)]
        cursor: String,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        limit: Limit,
    },
    /// Follow the journal
    Watch {
        /// Begin behind this cursor [default: the first entry that is kept]
        #[arg(long, default_value = "", hide_default_value = true)]
        #[arg(conflicts_with = "from_end")]
        cursor: String,
        /// Show only what comes from now on
        #[arg(long)]
        from_end: bool,
        #[command(flatten)]
        filter: Filter,
    },
}

/// Which entries are wanted.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Only entries about this sync set: uid or name
    #[arg(long)]
    set: Option<String>,
    /// Only entries about this member: SET/MEMBER or name
    #[arg(long)]
    member: Option<String>,
}

impl Filter {
    /// The names of set and member; empty = any.
    fn names(&self, context: &Context) -> Result<(String, String), Error> {
        let set = self.set.as_deref().map(|set| context.names.set(set));
        let member = self
            .member
            .as_deref()
            .map(|member| context.names.member(member));
        Ok((
            set.transpose()?.unwrap_or_default(),
            member.transpose()?.unwrap_or_default(),
        ))
    }
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::List {
            cursor,
            filter,
            limit,
        } => list(context, cursor, &filter, limit).await,
        Verb::Watch {
            cursor,
            from_end,
            filter,
        } => watch(context, cursor, from_end, &filter).await,
    }
}

async fn list(
    context: &mut Context,
    cursor: String,
    filter: &Filter,
    limit: Limit,
) -> Result<(), Error> {
    let (mut client, parent) = (context.client.journal(), context.names.network());
    let (sync_set, member) = filter.names(context)?;
    let listed = paging::collect::<_, EntryView>(limit, cursor, async |page_size, page_token| {
        let request = ListJournalRequest {
            parent: parent.clone(),
            page_size,
            page_token,
            sync_set: sync_set.clone(),
            member: member.clone(),
        };
        let answer = client.list_journal(request).await?.into_inner();
        Ok((answer.entries, answer.next_page_token))
    })
    .await?;
    context.output.show(&listed)
}

async fn watch(
    context: &mut Context,
    mut cursor: String,
    from_end: bool,
    filter: &Filter,
) -> Result<(), Error> {
    let (sync_set, member) = filter.names(context)?;
    let request = WatchJournalRequest {
        parent: context.names.network(),
        cursor: cursor.clone(),
        from_end,
        sync_set,
        member,
    };
    let mut stream = context
        .client
        .journal()
        .watch_journal(request)
        .await?
        .into_inner();
    loop {
        let message = stream
            .message()
            .await
            .map_err(|status| interrupted(status.into(), &cursor))?;
        let Some(message) = message else {
            return Ok(());
        };
        if !message.cursor.is_empty() {
            cursor.clone_from(&message.cursor);
        }
        for step in Step::all(message) {
            context.output.step(&step)?;
        }
    }
}

/// Says how to go on where the stream ended.
fn interrupted(error: Error, cursor: &str) -> Error {
    if cursor.is_empty() {
        return error;
    }
    let before = error
        .remedy
        .clone()
        .map_or_else(String::new, |remedy| format!("{remedy} "));
    error.with_remedy(format!(
        "{before}Go on with --cursor {}.",
        text::clean(cursor)
    ))
}
