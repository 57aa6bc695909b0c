//! The tools that Tandem is measured beside.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tandem_tests::{
    process::{Launch, Process},
    program::free_address,
    wait::eventually,
};

use crate::{
    lab::{DEADLINE, Lab},
    measure::{self, Cost},
};

const DAEMON_START_MAX: Duration = Duration::from_secs(10);

/// `cp -a` into a fresh directory.
pub(crate) async fn cp(lab: &Lab, source: &Path) -> Result<Cost> {
    let (target, logs) = (lab.fresh()?, lab.fresh()?);
    let launch = Launch::command("cp", "cp")
        .arg("-a")
        .arg(source.join("."))
        .arg(target);
    measure::run(&launch, &logs).await
}

/// `rsync -a` through its daemon into a fresh directory; the daemon's CPU is counted, its start is not timed.
pub(crate) async fn rsync(lab: &Lab, source: &Path) -> Result<Cost> {
    let cpu_before = measure::children_cpu_s()?;
    let mut daemon = Daemon::start(lab).await?;
    let cost = measure::run(&daemon.send(source), &lab.fresh()?).await?;
    daemon.process.terminate()?;
    daemon.process.wait(DEADLINE).await?;
    Ok(Cost {
        cpu_s: measure::children_cpu_s()? - cpu_before,
        ..cost
    })
}

/// An rsync daemon that keeps what it is sent in a fresh directory.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Process,
    address: SocketAddr,
}

impl Daemon {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(lab: &Lab) -> Result<Self> {
        let (target, logs, address) = (lab.fresh()?, lab.fresh()?, free_address()?);
        need("rsync", &logs).await?;
        let configuration = logs.join("rsyncd.conf");
        // Without root there is no user to change to, and the lines would be refused.
        let user = if is_root() {
            "uid = root\ngid = root\n"
        } else {
            ""
        };
        fs::write(
            &configuration,
            format!(
                "use chroot = no\n{user}[bench]\npath = {}\nread only = no\n",
                target.display()
            ),
        )?;
        let process = Launch::command("rsync", "rsync-daemon")
            .args(["--daemon", "--no-detach", "--address=127.0.0.1"])
            .arg(format!("--port={}", address.port()))
            .arg(format!("--config={}", configuration.display()))
            .start(&logs)?;
        eventually(DAEMON_START_MAX, "the rsync daemon listens", || {
            std::net::TcpStream::connect(address).is_ok()
        })
        .await?;
        Ok(Self { process, address })
    }

    /// `rsync -a` of what a directory holds to the daemon.
    pub(crate) fn send(&self, source: &Path) -> Launch {
        Launch::command("rsync", "rsync")
            .arg("-a")
            .arg(source.join(""))
            .arg(format!("rsync://{}/bench/", self.address))
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes sure that a program is there: installs it from Debian's package of the same name when this is root.
pub(crate) async fn need(name: &str, logs: &Path) -> Result<()> {
    if found(name).is_some() {
        return Ok(());
    }
    if !is_root() || found("apt-get").is_none() {
        bail!("`{name}` is missing and cannot be installed from here; install it and run again");
    }
    eprintln!("installing {name}");
    for arguments in [
        &["update", "-qq"][..],
        &["install", "-y", "-qq", "--no-install-recommends", name],
    ] {
        let mut process = Launch::command("apt-get", "apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .start(logs)?;
        let status = process.wait(DEADLINE).await?;
        ensure!(status.success(), "apt-get: {status}\n{}", process.log());
    }
    found(name)
        .map(drop)
        .with_context(|| format!("`{name}` is missing although installed"))
}

fn found(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
