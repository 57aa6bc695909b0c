//! Places where something happened and that have not been looked at yet.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use uuid::Uuid;

/// More places than this are looked at by one walk.
const PLACES_MAX: usize = 200_000;

/// At most so many places that are not quiet yet are searched for what left a quiet one.
const PEEKED_MAX: usize = 1000;

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) folder: Uuid,
    pub(super) name: String,
}

/// Stands for the folder of replaced files among the watched folders.
pub(super) const LATE: Uuid = Uuid::max();

#[derive(Debug, Clone, Copy)]
struct Since {
    first: Instant,
    last: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    places: HashMap<Place, Since>,
    watches: HashMap<i32, Uuid>,
    /// Events of watches that have no node yet.
    early: HashMap<i32, Vec<String>>,
    walk: bool,
}

/// What there is to look at.
#[derive(Debug)]
pub(super) enum Todo {
    /// Everything.
    Walk,
    /// These places are quiet; those of the second list are not yet.
    Places(Vec<Place>, Vec<Place>),
    /// Nothing before this time, if anything waits at all.
    Wait(Option<Instant>),
}

/// The places, shared with the watcher.
#[derive(Debug, Default)]
pub(super) struct Pending {
    inner: Mutex<Inner>,
    pub(super) wake: Notify,
}

impl Pending {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened at a name in a watched folder.
    pub(super) fn happened(&self, watch: i32, name: &str) {
        let mut inner = self.inner();
        match inner.watches.get(&watch).copied() {
            Some(folder) => inner.add(folder, name),
            None => inner.early.entry(watch).or_default().push(name.to_owned()),
        }
    }

    /// Look at a place, after the settling time.
    pub(super) fn add(&self, place: &Place) {
        self.inner().add(place.folder, &place.name);
    }

    /// Events were lost, or the root is another: look at everything.
    pub(super) fn walk(&self) {
        self.inner().walk = true;
        self.wake.notify_one();
    }

    /// Tells which folder a watch is on.
    pub(super) fn register(&self, watch: i32, folder: Uuid) {
        let mut inner = self.inner();
        inner.watches.insert(watch, folder);
        for name in inner.early.remove(&watch).unwrap_or_default() {
            inner.add(folder, &name);
        }
    }

    /// The folder of a watch is gone.
    pub(super) fn unregister(&self, watch: i32) {
        let mut inner = self.inner();
        inner.watches.remove(&watch);
        inner.early.remove(&watch);
    }

    /// Takes what may be looked at now; with `all` also what is not quiet yet.
    pub(super) fn take(&self, settle: Duration, all: bool) -> Todo {
        let mut inner = self.inner();
        if inner.walk {
            inner.walk = false;
            inner.places.retain(|place, _| place.folder == LATE);
            return Todo::Walk;
        }
        let now = Instant::now();
        let quiet = |since: &Since| all || now.duration_since(since.last) >= settle;
        let (settled, waiting): (Vec<_>, Vec<_>) =
            inner.places.iter().partition(|(_, since)| quiet(since));
        if settled.is_empty() {
            let next = waiting.iter().map(|(_, since)| since.last + settle).min();
            return Todo::Wait(next);
        }
        let mut settled: Vec<(Instant, Place)> = settled
            .into_iter()
            .map(|(place, since)| (since.first, place.clone()))
            .collect();
        let waiting = waiting.into_iter().take(PEEKED_MAX);
        let waiting = waiting.map(|(place, _)| place.clone()).collect();
        settled.sort_by_key(|(first, _)| *first);
        let settled: Vec<Place> = settled.into_iter().map(|(_, place)| place).collect();
        for place in &settled {
            inner.places.remove(place);
        }
        Todo::Places(settled, waiting)
    }
}

impl Inner {
    fn add(&mut self, folder: Uuid, name: &str) {
        let now = Instant::now();
        let place = Place {
            folder,
            name: name.to_owned(),
        };
        let since = self.places.entry(place).or_insert(Since {
            first: now,
            last: now,
        });
        since.last = now;
        if self.places.len() > PLACES_MAX {
            self.places.clear();
            self.walk = true;
        }
    }
}
