//! Tokens.

use serde::Serialize;
use tandem_proto::v1::{Role, Token, token::Subject};

use super::{
    Row, Show,
    label::{self, Label},
    text, time,
};
use crate::cli::ids::short;

/// A credential, without its secret.
#[derive(Debug, Serialize)]
pub(crate) struct TokenView {
    name: String,
    repository: Option<String>,
    user: Option<String>,
    role: Label,
    create_time: Option<String>,
    expire_time: Option<String>,
    revoke_time: Option<String>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        let (repository, user, role) = match token.subject {
            Some(Subject::Repository(repository)) => (Some(repository), None, None),
            Some(Subject::User(user)) => {
                let role = Role::try_from(user.role).ok().and_then(label::role);
                (None, Some(user.user), role)
            }
            None => (None, None, None),
        };
        Self {
            name: token.name,
            repository,
            user,
            role,
            create_time: time::rfc3339(token.create_time.as_ref()),
            expire_time: time::rfc3339(token.expire_time.as_ref()),
            revoke_time: time::rfc3339(token.revoke_time.as_ref()),
        }
    }
}

impl TokenView {
    fn subject(&self) -> String {
        match (&self.repository, &self.user) {
            (Some(repository), _) => format!("agent of {}", short(repository)),
            (None, Some(user)) => format!("user {user}, {}", label::readable(self.role)),
            (None, None) => text::NOTHING.to_owned(),
        }
    }

    fn ends(&self) -> String {
        match (&self.revoke_time, &self.expire_time) {
            (Some(revoked), _) => format!("revoked {}", time::readable(Some(revoked))),
            (None, Some(expires)) => time::readable(Some(expires)),
            (None, None) => "never".to_owned(),
        }
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Token", short(&self.name)),
            ("Speaks for", self.subject()),
            ("Created", time::readable(self.create_time.as_deref())),
            ("Ends", self.ends()),
        ]
    }
}

impl Row for TokenView {
    const HEADINGS: &'static [&'static str] = &["TOKEN", "SPEAKS FOR", "CREATED", "ENDS"];
    const EMPTY: &'static str = "There are no tokens. `tandem token create` makes one.";

    fn cells(&self) -> Vec<String> {
        self.fields().into_iter().map(|(_, value)| value).collect()
    }
}

/// A token that was just made.
#[derive(Serialize)]
pub(crate) struct SecretView {
    pub(crate) token: TokenView,
    pub(crate) secret: String,
}

impl Show for SecretView {
    fn human(&self) -> String {
        let mut fields = self.token.fields();
        fields.push(("Secret", self.secret.clone()));
        text::fields(&fields) + "\nKeep the secret now; it is not shown again.\n"
    }
}

/// Whom the caller's token speaks for.
#[derive(Debug, Serialize)]
pub(crate) struct CallerView {
    pub(crate) network: String,
    pub(crate) token: TokenView,
}

impl Show for CallerView {
    fn human(&self) -> String {
        let network = match self.network.as_str() {
            "" => "every network".to_owned(),
            network => network.to_owned(),
        };
        let mut fields = vec![("Network", network)];
        fields.extend(self.token.fields());
        text::fields(&fields)
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::UserSubject;

    use super::*;

    #[test]
    fn a_new_secret_is_shown_with_whom_it_speaks_for() {
        let token = Token {
            name: "networks/default/tokens/t1".to_owned(),
            subject: Some(Subject::User(UserSubject {
                user: "anna".to_owned(),
                role: Role::Admin.into(),
            })),
            ..Token::default()
        };
        let view = SecretView {
            token: token.into(),
            secret: "s3cret".to_owned(),
        };
        assert_eq!(
            view.human(),
            "Token:       t1\nSpeaks for:  user anna, ADMIN\nCreated:     -\nEnds:        never\n\
             Secret:      s3cret\n\nKeep the secret now; it is not shown again.\n"
        );
    }
}
