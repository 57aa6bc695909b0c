//! `tandem set export` and `tandem set import`: definitions and pairings as JSON lines (R-ADM-1).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use tandem_proto::v1::{ExportSyncSetsRequest, ImportSyncSetsRequest};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::context::Context;
use super::error::Error;
use super::exit::Kind;
use super::view::portable::{ExportView, ImportView};

/// Bytes of a file that are read and sent at once.
const PIECE: usize = 64 * 1024;
/// Pieces that wait to be sent.
const PIECES_WAITING: usize = 4;

/// Writes the export to a file, or to the output.
pub(super) async fn export(
    context: &mut Context,
    sets: &[String],
    file: Option<PathBuf>,
) -> Result<(), Error> {
    let names: Result<Vec<String>, Error> = sets.iter().map(|set| context.names.set(set)).collect();
    let request = ExportSyncSetsRequest {
        parent: context.names.network(),
        names: names?,
    };
    let mut client = context.client.sync_sets();
    let mut pieces = client.export_sync_sets(request).await?.into_inner();
    let Some(path) = file else {
        while let Some(piece) = pieces.message().await? {
            context.output.write(&text(piece.lines.to_vec())?)?;
        }
        return Ok(());
    };
    let mut target = Target::beside(&path)?;
    while let Some(piece) = pieces.message().await? {
        target.write(&piece.lines)?;
    }
    let bytes = target.finish()?;
    let file = path.display().to_string();
    context.output.show(&ExportView { file, bytes })
}

fn text(lines: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(lines)
        .map_err(|_| Error::contract("the coordinator sent an export that is no text"))
}

/// A file that takes its name only when it is whole, so that no half of an export is taken for one.
struct Target {
    path: PathBuf,
    part: PathBuf,
    file: File,
    progress: ProgressBar,
    finished: bool,
}

impl Target {
    fn beside(path: &Path) -> Result<Self, Error> {
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(part);
        let file = File::create_new(&part).map_err(|error| cannot_write(&part, &error))?;
        Ok(Self {
            path: path.to_owned(),
            part,
            file,
            progress: progress(None),
            finished: false,
        })
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all(lines);
        written.map_err(|error| cannot_write(&self.part, &error))?;
        self.progress.inc(lines.len() as u64);
        Ok(())
    }

    /// Answers how many bytes it holds.
    fn finish(mut self) -> Result<u64, Error> {
        let synced = self.file.sync_all();
        synced
            .and_then(|()| std::fs::rename(&self.part, &self.path))
            .map_err(|error| cannot_write(&self.path, &error))?;
        self.finished = true;
        Ok(self.progress.position())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
        if !self.finished {
            // What cannot be removed is no export either: its name says so.
            let _kept = std::fs::remove_file(&self.part);
        }
    }
}

/// Sends a file; each line is checked as it arrives.
pub(super) async fn import(context: &mut Context, path: &Path) -> Result<(), Error> {
    let opened = tokio::fs::File::open(path).await;
    let file = opened.map_err(|error| cannot_read(path, &error))?;
    let length = file.metadata().await.ok().map(|known| known.len());
    let progress = progress(length);
    let (pieces, sent) = mpsc::channel(PIECES_WAITING);
    let parent = context.names.network();
    let reading = tokio::spawn(read(file, parent, pieces, progress.clone()));
    let mut client = context.client.sync_sets();
    let answer = client.import_sync_sets(ReceiverStream::new(sent)).await;
    progress.finish_and_clear();
    // A file that cannot be read on ends early for the coordinator, which then tells of that only.
    let read = reading.await.map_err(std::io::Error::other);
    read.and_then(|read| read)
        .map_err(|error| cannot_read(path, &error))?;
    context.output.show(&ImportView::from(answer?.into_inner()))
}

async fn read(
    mut file: tokio::fs::File,
    mut parent: String,
    pieces: mpsc::Sender<ImportSyncSetsRequest>,
    progress: ProgressBar,
) -> std::io::Result<()> {
    loop {
        let mut lines = vec![0; PIECE];
        let read = file.read(&mut lines).await?;
        lines.truncate(read);
        let parent = std::mem::take(&mut parent);
        let lines = lines.into();
        let sent = pieces.send(ImportSyncSetsRequest { parent, lines }).await;
        progress.inc(read as u64);
        // Nobody takes it when the coordinator has refused a line already; the call tells why.
        if sent.is_err() || read == 0 {
            return Ok(());
        }
    }
}

/// Bytes so far; shown on a terminal only.
fn progress(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {bytes}, {bytes_per_sec}",
        ),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("cannot write {}: {error}", path.display());
    Error::new(Kind::Usage, message).with_remedy("Choose another file, or make room.")
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("cannot read {}: {error}", path.display());
    Error::new(Kind::Usage, message)
        .with_remedy("Give the file that `tandem set export --file FILE` wrote.")
}
