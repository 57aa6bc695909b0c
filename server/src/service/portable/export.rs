//! Writing an export: sets one after another, members page by page, so memory does not grow with either.

use std::collections::BTreeMap;

use super::format::{End, EndSet, FORMAT, Header, Line, VERSION};
use super::write::{gone_line, left_line, member_line, set_line};
use crate::domain::copy::{Copy, CopyState};
use crate::domain::ids::{MemberId, NodeId, SyncSetId};
use crate::domain::limits::{EXPORT_BYTES, EXPORT_ROWS};
use crate::domain::member::Member;
use crate::domain::planted::planted;
use crate::domain::projection::{Side, Sides};
use crate::domain::sync_set::SyncSet;
use crate::domain::view::CopyKey;
use crate::service::feed::{Feed, Feeder, feed};
use crate::service::sync_sets::SetView;
use crate::service::{AdminScope, Error};
use crate::storage::sync::members::Filter;

/// Whole lines of an export.
pub type Lines = Vec<u8>;

impl AdminScope {
    /// Writes these sets, or all that are not ending, as JSON lines (R-ADM-1).
    ///
    /// # Errors
    /// [`Error::SyncSetNotFound`], [`Error::WrongState`] of a named one that is ending; in the feed, the database's.
    pub async fn export_sets(&self, sets: &[SyncSetId]) -> Result<Feed<Lines>, Error> {
        for set in sets {
            if self.user.set_row(*set).await?.ending {
                return Err(Error::WrongState { state: "ENDING" });
            }
        }
        let (scope, sets) = (self.clone(), sets.to_vec());
        Ok(feed(&self.user, move |feeder| {
            let export = Export {
                scope,
                feeder,
                lines: Lines::new(),
                told: 0,
            };
            export.run(sets)
        }))
    }
}

struct Export {
    scope: AdminScope,
    feeder: Feeder<Lines>,
    lines: Lines,
    /// Sets that were told.
    told: i64,
}

impl Export {
    async fn run(mut self, sets: Vec<SyncSetId>) -> Result<(), Error> {
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            network: self.scope.user.network_name.clone(),
        };
        self.line(&Line::Export(header)).await?;
        if sets.is_empty() {
            self.all_sets().await?;
        }
        for set in sets {
            let view = self.scope.user.sync_set(set).await?;
            self.set(&view).await?;
        }
        let sync_sets = self.told;
        self.line(&Line::End(End { sync_sets })).await?;
        self.flush().await
    }

    async fn all_sets(&mut self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.scope.user.sync_sets(after, EXPORT_ROWS).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.set.id);
            for view in page.iter().filter(|view| !view.set.ending) {
                self.set(view).await?;
            }
        }
    }

    async fn set(&mut self, view: &SetView) -> Result<(), Error> {
        self.line(&Line::Set(set_line(view))).await?;
        let members = self.members(&view.set).await?;
        for side in Side::BOTH {
            self.left(&view.set, side).await?;
        }
        for side in Side::BOTH {
            self.gone(&view.set, side).await?;
        }
        let uid = view.set.id.0;
        self.told += 1;
        self.line(&Line::EndSet(EndSet { uid, members })).await
    }

    async fn members(&mut self, set: &SyncSet) -> Result<i64, Error> {
        let store = self.scope.user.coordinator.store.clone();
        let (mut told, mut after): (i64, Option<MemberId>) = (0, None);
        loop {
            let filter = Filter::default();
            let page = store.members(set.id, after, filter, EXPORT_ROWS).await?;
            let Some(last) = page.last() else {
                return Ok(told);
            };
            after = Some(last.id);
            let copies = store.copies_of(set, &page).await?;
            let copies = copies.into_iter();
            let copies: BTreeMap<CopyKey, Copy> = copies
                .map(|copy| ((copy.repository, copy.node.clone()), copy))
                .collect();
            for member in &page {
                if let Some(line) = member_line(member, of_member(set, member, &copies)) {
                    told += 1;
                    self.line(&Line::Member(Box::new(line))).await?;
                }
            }
        }
    }

    async fn left(&mut self, set: &SyncSet, side: Side) -> Result<(), Error> {
        let store = self.scope.user.coordinator.store.clone();
        let repository = *set.repositories.get(side);
        let mut after = NodeId::default();
        loop {
            let page = store
                .skipped(set.id, repository, &after, EXPORT_ROWS)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.node.clone();
            let is_left =
                |copy: &&Copy| copy.state == CopyState::Left && !planted("export-forgets-the-left");
            for copy in page.iter().filter(is_left) {
                self.line(&Line::Left(left_line(side, copy))).await?;
            }
        }
    }

    async fn gone(&mut self, set: &SyncSet, side: Side) -> Result<(), Error> {
        let store = self.scope.user.coordinator.store.clone();
        let repository = *set.repositories.get(side);
        let mut after = NodeId::default();
        loop {
            let page = store.gone(set.id, repository, &after, EXPORT_ROWS).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.node.clone();
            for copy in &page {
                self.line(&Line::Gone(gone_line(side, copy))).await?;
            }
        }
    }

    async fn line(&mut self, line: &Line) -> Result<(), Error> {
        serde_json::to_writer(&mut self.lines, line).map_err(|error| Error::Internal {
            detail: format!("a line of an export cannot be written: {error}"),
        })?;
        self.lines.push(b'\n');
        match self.lines.len() >= EXPORT_BYTES {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let lines = std::mem::take(&mut self.lines);
        self.feeder.send(lines).await
    }
}

/// The copies of a member that are still its own.
fn of_member<'a>(
    set: &SyncSet,
    member: &Member,
    copies: &'a BTreeMap<CopyKey, Copy>,
) -> Sides<Option<&'a Copy>> {
    let copy = |side: Side| {
        let node = member.nodes.get(side).clone()?;
        let copy = copies.get(&(*set.repositories.get(side), node))?;
        (copy.member == Some(member.id)).then_some(copy)
    };
    Sides {
        on_premise: copy(Side::OnPremise),
        cloud: copy(Side::Cloud),
    }
}
