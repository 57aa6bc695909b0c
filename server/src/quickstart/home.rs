//! Where a pair of directories has its state: the coordinator's data, two agents' state, and their tokens.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::Arguments;
use crate::domain::projection::Side;

/// The state of one pair.
#[derive(Debug)]
pub(super) struct Home {
    root: PathBuf,
    on_premise: PathBuf,
    cloud: PathBuf,
}

impl Home {
    /// Makes what is missing, and refuses pairs that cannot work.
    pub(super) fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let on_premise = directory(&arguments.on_premise)?;
        let cloud = directory(&arguments.cloud)?;
        if on_premise.starts_with(&cloud) || cloud.starts_with(&on_premise) {
            bail!("neither directory may lie in the other; choose two that stand apart");
        }
        let root = arguments
            .data_dir
            .clone()
            .map_or_else(|| default_root(&on_premise, &cloud), Ok)?;
        let home = Self {
            root: private(&root)?,
            on_premise,
            cloud,
        };
        if home.root.starts_with(&home.on_premise) || home.root.starts_with(&home.cloud) {
            bail!("the data directory may not lie in a synced directory; choose another");
        }
        Ok(home)
    }

    pub(super) fn coordinator(&self) -> &Path {
        &self.root
    }

    pub(super) fn directory(&self, side: Side) -> &Path {
        match side {
            Side::OnPremise => &self.on_premise,
            Side::Cloud => &self.cloud,
        }
    }

    pub(super) fn state(&self, side: Side) -> PathBuf {
        self.root.join(repository(side))
    }

    pub(super) fn admin_token_file(&self) -> PathBuf {
        self.root.join("admin.token")
    }

    pub(super) fn admin_token(&self) -> anyhow::Result<String> {
        let file = self.admin_token_file();
        let token = fs::read_to_string(&file).with_context(|| {
            format!(
                "cannot read {}; start with another --data-dir",
                file.display()
            )
        })?;
        Ok(token.trim().to_owned())
    }

    /// An agent's token, if an earlier start kept it.
    pub(super) fn token(&self, side: Side) -> Option<String> {
        let token = fs::read_to_string(self.token_file(side)).ok()?;
        Some(token.trim().to_owned()).filter(|token| !token.is_empty())
    }

    pub(super) fn keep_token(&self, side: Side, token: &str) -> anyhow::Result<()> {
        let file = self.token_file(side);
        let mut open = fs::OpenOptions::new();
        let mut kept = open
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)?;
        writeln!(kept, "{token}")?;
        kept.sync_all()
            .with_context(|| format!("cannot write {}", file.display()))
    }

    fn token_file(&self, side: Side) -> PathBuf {
        self.root.join(format!("{}.token", repository(side)))
    }
}

/// The name of a side's repository.
pub(super) fn repository(side: Side) -> &'static str {
    match side {
        Side::OnPremise => "on-premise",
        Side::Cloud => "cloud",
    }
}

fn directory(path: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    path.canonicalize()
        .with_context(|| format!("cannot use {}", path.display()))
}

fn private(path: &Path) -> anyhow::Result<PathBuf> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the data directory {}", path.display()))?;
    Ok(path.canonicalize()?)
}

/// One home for each pair, so that running it again goes on where it stopped.
fn default_root(on_premise: &Path, cloud: &Path) -> anyhow::Result<PathBuf> {
    let mut pair = Sha256::new();
    pair.update(on_premise.as_os_str().as_encoded_bytes());
    pair.update([0]);
    pair.update(cloud.as_os_str().as_encoded_bytes());
    let name = hex::encode(&pair.finalize()[..8]);
    let project = directories::ProjectDirs::from("", "", "tandem")
        .context("there is no home directory; give --data-dir")?;
    Ok(project.data_dir().join("quickstart").join(name))
}
