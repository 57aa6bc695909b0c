//! Where the database is: a file, or a server.

use std::fmt;
use std::path::PathBuf;

use super::postgres;

/// Where the database is. Shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// SQLite, in this file.
    File(PathBuf),
    /// PostgreSQL, at this url.
    Postgres(String),
}

/// Why a text says nowhere where the database is. Never holds the text: a password may stand in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongUrl {
    /// Nothing was given.
    #[error("database.url is empty; leave it out for a file in the data directory, or {EXAMPLES}")]
    Empty,
    /// Another kind of database.
    #[error(
        "database.url begins with `{scheme}://`, which is no database that is supported; {EXAMPLES}"
    )]
    Scheme {
        /// What it begins with.
        scheme: String,
    },
    /// The file has parameters.
    #[error("database.url has parameters behind `?`, which a file has none of; {EXAMPLES}")]
    Parameters,
    /// No url of PostgreSQL.
    #[error("database.url is no url of PostgreSQL: {why}; {EXAMPLES}")]
    Unreadable {
        /// What is wrong.
        why: String,
    },
    /// A server is named, and no database on it.
    #[error("database.url names no database of the server; {EXAMPLES}")]
    NoDatabase,
}

/// The remedy.
const EXAMPLES: &str =
    "write a path, `sqlite://PATH`, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`";

impl Place {
    /// Reads a path or a url.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, WrongUrl> {
        if text.trim().is_empty() {
            return Err(WrongUrl::Empty);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::File(
                text.strip_prefix("sqlite:").unwrap_or(text).into(),
            ));
        };
        match scheme {
            "sqlite" if rest.is_empty() => Err(WrongUrl::Empty),
            "sqlite" if rest.contains('?') => Err(WrongUrl::Parameters),
            "sqlite" => Ok(Self::File(rest.into())),
            "postgres" | "postgresql" => {
                postgres::options(text)?;
                Ok(Self::Postgres(text.to_owned()))
            }
            other => Err(WrongUrl::Scheme {
                scheme: other.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A url with `***` for each password in it.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (address, parameters) = match rest.split_once('?') {
        Some((address, parameters)) => (address, Some(parameters)),
        None => (rest, None),
    };
    let address = match address.rsplit_once('@') {
        Some((who, host)) => match who.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => address.to_owned(),
        },
        None => address.to_owned(),
    };
    let shown = parameters.map(|parameters| {
        let shown: Vec<String> = parameters.split('&').map(shown_parameter).collect();
        format!("?{}", shown.join("&"))
    });
    format!("{scheme}://{address}{}", shown.unwrap_or_default())
}

fn shown_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=***"),
        _ => parameter.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_url_say_where_the_database_is() {
        for (text, expected) in [
            ("data/tandem.db", Place::File("data/tandem.db".into())),
            (
                "sqlite:///var/lib/t.db",
                Place::File("/var/lib/t.db".into()),
            ),
            ("sqlite:t.db", Place::File("t.db".into())),
        ] {
            assert_eq!(Place::parse(text).unwrap(), expected);
        }
        for url in [
            "postgres://tandem@localhost/tandem",
            "postgresql://tandem:secret@localhost:5433/tandem?sslmode=disable",
            "postgres:///tandem?host=/run/postgresql&user=tandem",
        ] {
            assert_eq!(Place::parse(url).unwrap(), Place::Postgres(url.to_owned()));
        }
    }

    #[test]
    fn a_wrong_url_is_told_by_its_field_its_rule_and_what_to_do_and_never_by_its_password() {
        for (text, rule) in [
            (" ", "is empty"),
            ("sqlite://", "is empty"),
            ("sqlite://t.db?mode=ro", "parameters"),
            ("mysql://root:hunter2@localhost/t", "`mysql://`"),
            ("postgres://tandem:hunter2@localhost", "names no database"),
            (
                "postgres://tandem:hunter2@localhost:99999/t",
                "no url of PostgreSQL",
            ),
            (
                "postgres://tandem:hunter2@local host/t",
                "no url of PostgreSQL",
            ),
        ] {
            let wrong = Place::parse(text).unwrap_err().to_string();
            assert!(wrong.starts_with("database.url "), "{wrong}");
            assert!(wrong.contains(rule), "{wrong}");
            assert!(wrong.contains("write a path"), "{wrong}");
            assert!(!wrong.contains("hunter2"), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_shown_without_passwords() {
        for (url, shown) in [
            (
                "postgres://tandem:hunter2@db:5432/t",
                "postgres://tandem:***@db:5432/t",
            ),
            (
                "postgres://tandem:h@unter2@db/t",
                "postgres://tandem:***@db/t",
            ),
            (
                "postgres:///t?user=tandem&password=hunter2&host=/run",
                "postgres:///t?user=tandem&password=***&host=/run",
            ),
            ("postgres://tandem@db/t", "postgres://tandem@db/t"),
        ] {
            let place = Place::parse(url).unwrap();
            assert_eq!(place.to_string(), shown);
            assert_eq!(format!("{place:?}"), shown);
        }
    }
}
