//! A real process: started, waited for, stopped in every way, with its output kept in files.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{program::Program, wait::poll};

/// How much of a log is shown when a test fails.
const LOG_LINES_SHOWN: usize = 60;

/// What is to be started.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    name: String,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Launch {
    /// Starts a program of this workspace.
    ///
    /// # Errors
    ///
    /// It was not built.
    pub fn of(program: Program) -> Result<Self> {
        Ok(Self::command(program.path()?, program.name()))
    }

    /// Starts any program; `name` names its logs.
    #[must_use]
    pub fn command(program: impl Into<PathBuf>, name: &str) -> Self {
        Self {
            program: program.into(),
            name: name.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Names the logs of this process, for instance `agent-cloud`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let pair = (key.as_ref().to_owned(), value.as_ref().to_owned());
        self.environment.push(pair);
        self
    }

    /// The same process run by another program, such as a tracer, with these arguments before it.
    #[must_use]
    pub fn under(
        &self,
        tracer: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let mut traced = Self::command(tracer, &format!("{}-{tracer}", self.name))
            .args(arguments)
            .arg(&self.program)
            .args(&self.arguments);
        traced.environment.clone_from(&self.environment);
        traced
    }

    /// Starts the process; its output goes to `{name}.{n}.out` and `.err` in `logs`, `n` counting the starts.
    ///
    /// # Errors
    ///
    /// The program or the log files cannot be opened.
    pub fn start(&self, logs: &Path) -> Result<Process> {
        let (output, errors) = self.log_paths(logs);
        // What is set around the tests, `TANDEM_SIM_SEEDS` for one, is no setting of the program.
        let ambient = env::vars_os().filter(|(name, _)| is_setting(name));
        let mut command = Command::new(&self.program);
        for (name, _) in ambient {
            command.env_remove(name);
        }
        let child = command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(&errors)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let pid = child.id().context("the process has no id")?;
        Ok(Process {
            name: self.name.clone(),
            pid,
            child,
            output,
            errors,
        })
    }

    fn log_paths(&self, logs: &Path) -> (PathBuf, PathBuf) {
        let mut start = 1;
        loop {
            let output = logs.join(format!("{}.{start}.out", self.name));
            if !output.exists() {
                let errors = output.with_extension("err");
                return (output, errors);
            }
            start += 1;
        }
    }
}

/// A running process; killed when dropped, its logs shown if the test is failing then.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    child: Child,
    output: PathBuf,
    errors: PathBuf,
}

impl Process {
    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The whole lines written to standard output so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        whole_lines(&read_lossy(&self.output))
    }

    /// Everything written to standard error so far.
    #[must_use]
    pub fn error_output(&self) -> String {
        read_lossy(&self.errors)
    }

    /// Waits for the first line of standard output, from line `from` on (0 = the first), that `find` takes.
    ///
    /// # Errors
    ///
    /// The process ended, or the deadline passed, before such a line came.
    pub async fn line<T>(
        &mut self,
        from: usize,
        deadline: Duration,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let what = format!("{} prints the line", self.name);
        let found = poll(deadline, &what, async || {
            // Asked before the lines are read: what it wrote before its end counts.
            let ended = self.child.try_wait().ok().flatten();
            let lines = self.lines();
            match lines.iter().skip(from).find_map(|line| find(line)) {
                Some(found) => Some(Ok(found)),
                None => ended.map(Err),
            }
        });
        match found.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(status)) => bail!("{} ended with {status}:\n{}", self.name, self.log()),
            Err(late) => bail!("{late}:\n{}", self.log()),
        }
    }

    /// Waits until the health service at `http://{address}` says that `service` is served (empty = the whole).
    ///
    /// # Errors
    ///
    /// The process ended, or the deadline passed, before that.
    pub async fn serving(
        &mut self,
        address: &str,
        service: &str,
        deadline: Duration,
    ) -> Result<()> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let what = format!("{} serves", self.name);
        let answer = poll(deadline, &what, async || match self.child.try_wait() {
            Ok(Some(status)) => Some(Err(status)),
            _ => is_serving(&endpoint, service).await.then_some(Ok(())),
        });
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("{} ended with {status}:\n{}", self.name, self.log()),
            Err(late) => bail!("{late}:\n{}", self.log()),
        }
    }

    /// How the process ended; nothing while it runs.
    ///
    /// # Errors
    ///
    /// The system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// True when the process has died at its crash point (SIGABRT).
    ///
    /// # Errors
    ///
    /// It ended in another way.
    pub fn has_crashed(&mut self) -> Result<bool> {
        let Some(status) = self.ended()? else {
            return Ok(false);
        };
        if status.signal() != Some(Signal::ABORT.as_raw()) {
            bail!("{} ended with {status}:\n{}", self.name, self.log());
        }
        Ok(true)
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    ///
    /// It did not end in time.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        match timeout(deadline, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!(
                "{} still runs after {deadline:?}:\n{}",
                self.name,
                self.log()
            ),
        }
    }

    /// Ends the process at once, as a power cut would (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    ///
    /// The signal cannot be sent.
    pub async fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks the process to end (SIGTERM).
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Freezes the process (SIGSTOP).
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen process go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        // No id any more: it was waited for, and the number may be somebody else's by now.
        let pid = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| anyhow!("{} has ended", self.name))?;
        Ok(kill_process(pid, signal)?)
    }

    /// The last lines of both outputs.
    #[must_use]
    pub fn log(&self) -> String {
        let tail = |path: &Path| {
            let text = read_lossy(path);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
        };
        let name = &self.name;
        format!(
            "--- {name}, standard output\n{}\n--- {name}, standard error\n{}\n---",
            tail(&self.output),
            tail(&self.errors)
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn whole_lines(text: &str) -> Vec<String> {
    let end = text.rfind('\n').map_or(0, |last| last + 1);
    text[..end].lines().map(str::to_owned).collect()
}

async fn is_serving(endpoint: &Endpoint, service: &str) -> bool {
    let Ok(channel) = endpoint.connect().await else {
        return false;
    };
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    HealthClient::new(channel)
        .check(request)
        .await
        .is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
}

fn is_setting(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with("TANDEM_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Launch {
        Launch::command("/bin/sh", "shell").args(["-c", script])
    }

    #[test]
    fn only_variables_of_the_product_are_settings_of_it() {
        assert!(is_setting(OsStr::new("TANDEM_SIM_SEEDS")));
        assert!(!is_setting(OsStr::new("PATH")) && !is_setting(OsStr::new("MY_TANDEM_X")));
    }

    #[tokio::test]
    async fn lines_are_found_and_both_outputs_kept() {
        let logs = tempfile::tempdir().unwrap();
        let mut process = shell("echo ready $ANSWER; echo oops >&2; read x").env("ANSWER", "42");
        process = process.named("named");
        let mut process = process.start(logs.path()).unwrap();
        let answer = process.line(0, SOON, |line| {
            line.strip_prefix("ready ").map(str::to_owned)
        });
        assert_eq!(answer.await.unwrap(), "42");
        process.wait(SOON).await.unwrap();
        assert!(process.log().contains("named, standard error\noops"));
        assert!(logs.path().join("named.1.out").exists());
    }

    #[tokio::test]
    async fn a_process_that_ends_too_early_is_told_with_its_log() {
        let logs = tempfile::tempdir().unwrap();
        let mut process = shell("echo broken; exit 3").start(logs.path()).unwrap();
        let error = process
            .line(0, SOON, |line| (line == "ready").then_some(()))
            .await;
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains("exit status: 3") && message.contains("broken"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_frozen_process_goes_on_when_thawed_and_a_killed_one_is_gone() {
        let logs = tempfile::tempdir().unwrap();
        let mut process = shell("while :; do :; done").start(logs.path()).unwrap();
        process.freeze().unwrap();
        process.thaw().unwrap();
        process.kill().await.unwrap();
        assert!(process.terminate().is_err());
    }

    #[test]
    fn half_a_line_is_no_line() {
        assert_eq!(whole_lines("one\ntwo\nthr"), ["one", "two"]);
        assert!(whole_lines("on").is_empty());
    }
}
