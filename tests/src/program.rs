//! Finds the programs that the tests run, and what they need from outside.

use std::{
    env,
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// A program of this workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The coordinator.
    Tandemd,
    /// The command line, which also runs agents.
    Tandem,
}

impl Program {
    /// The file name of the program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tandemd => "tandemd",
            Self::Tandem => "tandem",
        }
    }

    /// Where the program lies: in `TANDEM_BIN_DIR`, or beside the running test or benchmark.
    ///
    /// # Errors
    ///
    /// The program was not built; the message says how to build it.
    pub fn path(self) -> Result<PathBuf> {
        let folder = match env::var_os("TANDEM_BIN_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => profile_folder(&env::current_exe()?).to_path_buf(),
        };
        let path = folder.join(self.name());
        ensure!(
            path.is_file(),
            "there is no {}; run `cargo build --workspace` first, or set TANDEM_BIN_DIR",
            path.display()
        );
        Ok(path)
    }
}

/// `target/debug` for `target/debug/bench` and `target/debug/deps/it-0123`.
fn profile_folder(executable: &Path) -> &Path {
    let folder = executable.parent().unwrap_or(executable);
    match folder.file_name() == Some(OsStr::new("deps")) {
        true => folder.parent().unwrap_or(folder),
        false => folder,
    }
}

/// An address on loopback that nobody listened on a moment ago.
///
/// # Errors
///
/// The system has no free port.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_programs_find_the_same_folder() {
        for executable in ["/t/debug/bench", "/t/debug/deps/it-0123"] {
            assert_eq!(profile_folder(Path::new(executable)), Path::new("/t/debug"));
        }
    }

    #[test]
    fn a_free_address_can_be_bound() {
        let address = free_address().unwrap();
        assert!(address.ip().is_loopback());
        TcpListener::bind(address).unwrap();
    }
}
