//! The settings of `tandemd`: a TOML file, then the environment (`TANDEM_…`), then flags; the later wins.
//!
//! A key that is not known is refused wherever it comes from, with the keys that are. No setting is a secret but the
//! password in `database.url`, which is never shown: where else one is made or needed, the setting is the path of its file.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};
use serde::{Deserialize, Serialize};

use crate::storage::Place;
use crate::storage::place::WrongUrl;

/// What every variable of the environment begins with; `TANDEM_LOG__FORMAT` is `log.format`.
const PREFIX: &str = "TANDEM";

/// Variables with our prefix that are meant for others: the program `tandem`, and the path of the file itself.
const NOT_SETTINGS: [&str; 5] = [
    "TANDEM_CONFIG",
    "TANDEM_SERVER",
    "TANDEM_NETWORK",
    "TANDEM_TOKEN",
    "TANDEM_TOKEN_FILE",
];

/// Every setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Where the content is kept, and the database unless `database.url` says otherwise.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// Which database.
    #[serde(default)]
    pub database: Database,
    /// Apply missing migrations before serving, instead of refusing to serve.
    #[serde(default = "default_migrate")]
    pub migrate: bool,
    /// A file for the first operator's token, made with mode 0600, beside printing it once.
    #[serde(default = "default_admin_token_file")]
    pub admin_token_file: Option<PathBuf>,
    /// Offer gRPC reflection, so that tools can list the services.
    #[serde(default = "default_reflection")]
    pub reflection: bool,
    /// Seconds that open streams get to end before they are cut.
    #[serde(default = "default_drain_seconds")]
    pub drain_seconds: u64,
    /// What is logged, and how.
    #[serde(default)]
    pub log: Log,
    /// The journals.
    #[serde(default)]
    pub journal: Journal,
}

/// Which database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// A file of SQLite, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`; a file in the data directory when left out.
    #[serde(default)]
    pub url: Option<DatabaseUrl>,
}

/// Where the database is; shown without its password, wherever it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DatabaseUrl(Place);

impl TryFrom<String> for DatabaseUrl {
    type Error = WrongUrl;

    fn try_from(text: String) -> Result<Self, WrongUrl> {
        Place::parse(&text).map(Self)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The journals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Days for which entries are kept; 0 = for ever.
    #[serde(default)]
    pub retention_days: u32,
}

/// What is logged, and how; always to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// For people or for machines.
    #[serde(default = "default_log_format")]
    pub format: LogFormat,
    /// Which events, such as `info` or `tandem_server=debug,warn`.
    #[serde(default = "default_log_filter")]
    pub filter: String,
}

/// The form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 7420).into()
}

fn default_data_dir() -> PathBuf {
    directories::ProjectDirs::from("", "", "tandem").map_or_else(
        || PathBuf::from("tandem-data"),
        |project| project.data_dir().to_owned(),
    )
}

const fn default_migrate() -> bool {
    false
}

const fn default_admin_token_file() -> Option<PathBuf> {
    None
}

const fn default_reflection() -> bool {
    true
}

const fn default_drain_seconds() -> u64 {
    10
}

const fn default_log_format() -> LogFormat {
    LogFormat::Human
}

fn default_log_filter() -> String {
    "info".to_owned()
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: default_listen(),
            data_dir: default_data_dir(),
            database: Database::default(),
            migrate: default_migrate(),
            admin_token_file: default_admin_token_file(),
            reflection: default_reflection(),
            drain_seconds: default_drain_seconds(),
            log: Log::default(),
            journal: Journal::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: default_log_format(),
            filter: default_log_filter(),
        }
    }
}

/// Where settings come from.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file; it must exist when it is named.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: HashMap<String, String>,
    /// Keys and values given as flags.
    pub flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// A file, this process's environment, and flags.
    #[must_use]
    pub fn new(file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            file,
            environment,
            flags,
        }
    }
}

/// A setting that cannot be used, or a file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] config::ConfigError);

impl Config {
    /// Puts the settings together.
    ///
    /// # Errors
    /// Names the key, where it comes from, and what is expected.
    pub fn load(sources: Sources) -> Result<Self, Error> {
        let environment = sources
            .environment
            .into_iter()
            .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
            .collect();
        let mut builder = config::Config::builder();
        if let Some(file) = &sources.file {
            builder = builder.add_source(File::from(file.as_path()).format(FileFormat::Toml));
        }
        builder = builder.add_source(
            Environment::with_prefix(PREFIX)
                .prefix_separator("_")
                .separator("__")
                .ignore_empty(true)
                .source(Some(environment)),
        );
        for (key, value) in sources.flags {
            builder = builder.set_override(key, value)?;
        }
        Ok(builder.build()?.try_deserialize()?)
    }

    /// Where the database is.
    #[must_use]
    pub fn database(&self) -> Place {
        match &self.database.url {
            Some(DatabaseUrl(place)) => place.clone(),
            None => Place::File(self.data_dir.join("tandem.db")),
        }
    }

    /// Where large content is kept.
    #[must_use]
    pub fn content_dir(&self) -> PathBuf {
        self.data_dir.join("content")
    }

    /// Settings for a coordinator inside another process: a free loopback port, migrated as needed.
    #[must_use]
    pub fn embedded(data_dir: &Path) -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            data_dir: data_dir.to_owned(),
            migrate: true,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(file: &str, environment: &[(&str, &str)]) -> (Sources, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tandem.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let sources = Sources {
            file: Some(path),
            environment,
            flags: Vec::new(),
        };
        (sources, directory)
    }

    #[test]
    fn nothing_given_is_the_defaults() {
        assert_eq!(Config::load(Sources::default()).unwrap(), Config::default());
    }

    #[test]
    fn the_file_then_the_environment_then_flags() {
        let file = "listen = '127.0.0.1:1'\ndrain_seconds = 1\nreflection = false\n[log]\nformat = 'json'\nfilter = 'warn'";
        let variables = [
            ("TANDEM_LISTEN", "127.0.0.1:2"),
            ("TANDEM_LOG__FILTER", "debug"),
        ];
        let (mut sources, _directory) = sources(file, &variables);
        sources.flags.push(("listen", "127.0.0.1:3".to_owned()));
        let config = Config::load(sources).unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.log.filter, "debug");
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!((config.drain_seconds, config.reflection), (1, false));
    }

    #[test]
    fn keys_that_are_not_known_are_refused_by_name() {
        for (file, variables, key) in [
            ("lisen = '127.0.0.1:1'", &[][..], "lisen"),
            ("[log]\nformt = 'json'", &[], "formt"),
            ("[journal]\nretention = 1", &[], "retention"),
            ("", &[("TANDEM_LISEN", "127.0.0.1:1")], "lisen"),
            ("", &[("TANDEM_LOG__FORMT", "json")], "formt"),
        ] {
            let (sources, _directory) = sources(file, variables);
            let text = Config::load(sources).unwrap_err().to_string();
            assert!(text.contains(key), "{text}");
        }
    }

    #[test]
    fn values_of_the_wrong_kind_are_refused() {
        for file in [
            "listen = 'here'",
            "drain_seconds = 'long'",
            "[log]\nformat = 'xml'",
            "[journal]\nretention_days = -1",
        ] {
            let (sources, _directory) = sources(file, &[]);
            assert!(Config::load(sources).is_err(), "{file}");
        }
    }

    #[test]
    fn a_database_is_a_file_or_on_a_server_and_its_password_is_never_shown() {
        let (given, _directory) = sources("data_dir = '/d'", &[]);
        let config = Config::load(given).unwrap();
        assert_eq!(config.database(), Place::File("/d/tandem.db".into()));
        let (given, _directory) = sources("[database]\nurl = 'sqlite:///e/t.db'", &[]);
        let config = Config::load(given).unwrap();
        assert_eq!(config.database(), Place::File("/e/t.db".into()));
        let url = "postgres://tandem:hunter2@db/tandem";
        let (given, _directory) = sources("", &[("TANDEM_DATABASE__URL", url)]);
        let config = Config::load(given).unwrap();
        assert_eq!(config.database(), Place::Postgres(url.to_owned()));
        let shown = serde_json::to_string(&config).unwrap();
        assert!(shown.contains("postgres://tandem:***@db/tandem"), "{shown}");
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    }

    #[test]
    fn a_wrong_database_is_refused_with_its_rule_and_never_with_its_password() {
        let url = "mysql://tandem:hunter2@db/tandem";
        let (given, _directory) = sources("", &[("TANDEM_DATABASE__URL", url)]);
        let text = format!(
            "{:#}",
            anyhow::Error::from(Config::load(given).unwrap_err())
        );
        assert!(
            text.contains("database.url begins with `mysql://`"),
            "{text}"
        );
        assert!(text.contains("write a path"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn variables_of_other_programs_are_left_alone() {
        let (sources, _directory) = sources("", &[("TANDEM_TOKEN", "tdm_1"), ("TANDEMX", "1")]);
        Config::load(sources).unwrap();
    }

    #[test]
    fn a_named_file_must_exist() {
        let sources = Sources {
            file: Some("/nowhere/tandem.toml".into()),
            ..Sources::default()
        };
        assert!(
            Config::load(sources)
                .unwrap_err()
                .to_string()
                .contains("tandem.toml")
        );
    }
}
