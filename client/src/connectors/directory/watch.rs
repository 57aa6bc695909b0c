//! The watcher: inotify, one watch on each folder, so a folder that is renamed keeps its watch.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::{io::unix::AsyncFd, task::JoinHandle};

use super::{names, os, pending::Pending};

const EVENTS: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);

/// The watches and the task that hears them.
#[derive(Debug)]
pub(super) struct Watcher {
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

/// What the kernel tells, taken by one thread at a time: nobody may go on while another holds events that it has read
/// and not noted yet.
#[derive(Debug)]
struct Queue {
    events: AsyncFd<OwnedFd>,
    taking: Mutex<()>,
}

impl Watcher {
    /// Starts to listen; needs a tokio runtime.
    pub(super) fn start(pending: Arc<Pending>) -> io::Result<Self> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let queue = Arc::new(Queue {
            events: register(queue)?,
            taking: Mutex::new(()),
        });
        let task = tokio::spawn(listen(Arc::clone(&queue), pending));
        Ok(Self { queue, task })
    }

    /// Notes whatever the kernel has to tell by now, so that of a rename never one half is looked at alone.
    pub(super) fn hear(&self, pending: &Pending) {
        self.queue.hear(pending);
    }

    /// Watches an open folder for writes to what is in it, and nothing else.
    pub(super) fn watch_writes(&self, folder: impl AsFd) -> io::Result<i32> {
        let writes = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR;
        let path = os::path_of(folder);
        Ok(inotify::add_watch(
            self.queue.events.get_ref(),
            path,
            writes,
        )?)
    }

    /// Watches an open folder; the same folder has the same number however often it is watched.
    pub(super) fn watch(&self, folder: impl AsFd) -> io::Result<i32> {
        let path = os::path_of(folder);
        match inotify::add_watch(self.queue.events.get_ref(), path, EVENTS) {
            Ok(watch) => Ok(watch),
            Err(rustix::io::Errno::NOSPC) => Err(io::Error::other(
                "too many folders to watch; raise fs.inotify.max_user_watches",
            )),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; what makes it so, a descriptor closed early, an OwnedFd rules out"
)]
fn register(queue: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(queue)
}

async fn listen(queue: Arc<Queue>, pending: Arc<Pending>) {
    loop {
        let mut ready = match queue.events.readable().await {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(%error, "the watcher has stopped");
                return;
            }
        };
        queue.hear(&pending);
        ready.clear_ready();
        pending.wake.notify_one();
    }
}

impl Queue {
    fn hear(&self, pending: &Pending) {
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = drain(self.events.get_ref(), pending) {
            tracing::error!(%error, "events of the watcher could not be read");
            pending.walk();
        }
    }
}

fn drain(queue: &OwnedFd, pending: &Pending) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 64 * 1024];
    let mut reader = Reader::new(queue, &mut buffer);
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let kinds = event.events();
        if kinds.contains(ReadFlags::QUEUE_OVERFLOW) {
            tracing::info!("the watcher lost events; walking through all folders");
            pending.walk();
        } else if kinds.contains(ReadFlags::IGNORED) {
            pending.unregister(event.wd());
        } else if let Some(name) = event.file_name() {
            pending.happened(event.wd(), &names::kept(name.to_bytes()));
        }
    }
}
