//! The journal as people read it: every entry once and in order, or a clear refusal (R-JRN-1).

use std::time::Duration;

use tokio::time::Instant;

use super::feed::{Feed, Feeder, feed};
use super::{Error, UserScope};
use crate::domain::ids::{MemberId, SyncSetId};
use crate::domain::limits::{JOURNAL_CHUNK_MAX, JOURNAL_IDLE_SECONDS, JOURNAL_SCAN_MAX};
use crate::domain::planted::planted;

pub use crate::storage::sync::journal::{Mark, Row};

/// Which entries are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalFilter {
    /// Only of this set.
    pub set: Option<SyncSetId>,
    /// Only of this member.
    pub member: Option<MemberId>,
}

/// How far a reader is: all that its cursor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name of the network.
    pub network: String,
    /// The generation of the coordinator's state.
    pub generation: i64,
    /// The last entry that was read, or passed over.
    pub at: Mark,
}

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With the first entry that is kept.
    First,
    /// Behind the last entry.
    End,
    /// Behind this place.
    Behind(Place),
}

/// Some entries, and how far they reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    /// Those that the filter leaves.
    pub entries: Vec<Row>,
    /// Go on behind this.
    pub place: Place,
    /// More follow already.
    pub more: bool,
}

impl JournalFilter {
    fn leaves(&self, row: &Row) -> bool {
        self.set.is_none_or(|set| row.set == Some(set))
            && self.member.is_none_or(|member| row.member == Some(member))
    }
}

impl UserScope {
    /// Lists entries; fewer than `limit`, or none, when a filter leaves few of many.
    ///
    /// # Errors
    /// [`Error::CursorCompacted`], [`Error::CursorEpoch`].
    pub async fn journal(
        &self,
        start: Start,
        filter: JournalFilter,
        limit: usize,
    ) -> Result<Entries, Error> {
        let mut reader = self.journal_reader(start, filter).await?;
        let (mut entries, mut looked_at) = (Vec::new(), 0);
        loop {
            let room = limit - entries.len();
            let chunk = reader.read(JOURNAL_CHUNK_MAX, room).await?;
            looked_at += chunk.looked_at;
            entries.extend(chunk.entries);
            if !chunk.more || entries.len() >= limit || looked_at >= JOURNAL_SCAN_MAX {
                let (place, more) = (reader.place, chunk.more);
                return Ok(Entries {
                    entries,
                    place,
                    more,
                });
            }
        }
    }

    /// Streams entries as they are written.
    ///
    /// # Errors
    /// [`Error::CursorCompacted`], [`Error::CursorEpoch`]; later [`Error::Draining`] and the database's.
    pub async fn watch_journal(
        &self,
        start: Start,
        filter: JournalFilter,
    ) -> Result<Feed<Entries>, Error> {
        let idle = Duration::from_secs(JOURNAL_IDLE_SECONDS);
        self.watch_journal_with(start, filter, idle).await
    }

    /// As [`UserScope::watch_journal`]; an idle stream is sent its place after this time.
    pub(super) async fn watch_journal_with(
        &self,
        start: Start,
        filter: JournalFilter,
        idle: Duration,
    ) -> Result<Feed<Entries>, Error> {
        let reader = self.journal_reader(start, filter).await?;
        Ok(feed(self, move |feeder| follow(reader, feeder, idle)))
    }

    async fn journal_reader(&self, start: Start, filter: JournalFilter) -> Result<Reader, Error> {
        let store = &self.coordinator.store;
        let (head, generation) = store.journal_head(self.network).await?;
        let floor = store.journal_floor(self.network).await?;
        let at = match start {
            Start::End => head,
            Start::First if floor > head.position => head,
            // The mark is never shown: an entry is read before a place is told.
            Start::First => Mark {
                position: floor - 1,
                mark: 0,
            },
            Start::Behind(place) => {
                self.check_place(&place, (head, generation), floor).await?;
                place.at
            }
        };
        let place = Place {
            network: self.network_name.clone(),
            generation,
            at,
        };
        Ok(Reader {
            scope: self.clone(),
            filter,
            place,
        })
    }

    async fn check_place(
        &self,
        place: &Place,
        (head, generation): (Mark, i64),
        floor: i64,
    ) -> Result<(), Error> {
        let at = place.at;
        let other = place.network != self.network_name && !planted("cursor-of-any-network");
        if other || place.generation != generation || !(0..=head.position).contains(&at.position) {
            return Err(Error::CursorEpoch);
        }
        let found = if at.position == head.position {
            Some(head.mark)
        } else if at.position == 0 && floor == 1 {
            Some(at.mark)
        } else {
            let store = &self.coordinator.store;
            store.journal_mark(self.network, at.position).await?
        };
        match found {
            Some(mark) if mark == at.mark || planted("cursor-mark-unchecked") => Ok(()),
            Some(_) => Err(Error::CursorEpoch),
            None => Err(Error::CursorCompacted { floor }),
        }
    }
}

/// What one read came to.
struct Chunk {
    entries: Vec<Row>,
    looked_at: usize,
    more: bool,
}

/// Goes through the journal, entry by entry.
struct Reader {
    scope: UserScope,
    filter: JournalFilter,
    place: Place,
}

impl Reader {
    /// Looks at up to `max` entries, and stops behind the `room`th that the filter leaves.
    async fn read(&mut self, max: usize, room: usize) -> Result<Chunk, Error> {
        let (store, network) = (&self.scope.coordinator.store, self.scope.network);
        let after = self.place.at.position;
        let rows = store.journal_after(network, after, max + 1).await?;
        let mut chunk = Chunk {
            entries: Vec::new(),
            looked_at: 0,
            more: false,
        };
        for row in rows {
            if chunk.looked_at == max || chunk.entries.len() == room {
                chunk.more = true;
                break;
            }
            if row.at.position != self.place.at.position + 1 {
                let floor = store.journal_floor(network).await?;
                return Err(Error::CursorCompacted { floor });
            }
            self.place.at = row.at;
            chunk.looked_at += 1;
            if self.filter.leaves(&row) {
                chunk.entries.push(row);
            }
        }
        Ok(chunk)
    }
}

/// Reads, tells, and waits to be woken; the bell is heard before the read, so that nothing is missed.
async fn follow(mut reader: Reader, feeder: Feeder<Entries>, idle: Duration) -> Result<(), Error> {
    let (coordinator, network) = (reader.scope.coordinator.clone(), reader.scope.network);
    let mut bell = coordinator.wakeup.network(network);
    let mut told: Option<Instant> = None;
    loop {
        bell.mark_unchanged();
        let chunk = reader.read(JOURNAL_CHUNK_MAX, JOURNAL_CHUNK_MAX).await?;
        let due = match told {
            None => !chunk.more,
            Some(told) => told.elapsed() >= idle,
        };
        if due || !chunk.entries.is_empty() {
            told = Some(Instant::now());
            let message = Entries {
                entries: chunk.entries,
                place: reader.place.clone(),
                more: chunk.more,
            };
            feeder.send(message).await?;
        }
        if chunk.more {
            continue;
        }
        let until = told.unwrap_or_else(Instant::now) + idle;
        tokio::select! {
            rung = bell.changed() => if rung.is_err() {
                bell = coordinator.wakeup.network(network);
            },
            () = tokio::time::sleep_until(until) => {}
        }
    }
}
