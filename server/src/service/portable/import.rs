//! Reading an export, line by line. Each set is imported whole or not at all; a file may be imported again.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::format::{EndSet, FORMAT, Header, Line, MemberLine, SetLine, VERSION};
use super::read::{self, Place, id_in};
use super::words;
use crate::domain::copy::Copy;
use crate::domain::ids::{MemberId, NodeId, RepositoryId, SyncSetId};
use crate::domain::limits::{DOCUMENTS_MAX, IMPORT_LINE_BYTES_MAX, IMPORT_ROWS};
use crate::domain::member::{Member, MemberState};
use crate::domain::planted::planted;
use crate::domain::projection::{Side, Sides};
use crate::domain::sync_set::{Counters, Guard, Options, Removal, SetKind, SyncSet};
use crate::service::access::check_user_of;
use crate::service::ingest::{ImportStep, Imported, ImportedMember};
use crate::service::nodes::check_node_id;
use crate::service::{AdminScope, Error};
use crate::storage::sync::imports::Importing;
use crate::storage::sync::load;

/// What was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportResult {
    /// Sets.
    pub sync_sets: i64,
    /// Their members.
    pub members: i64,
    /// Sets that had been there before, and stay as they are.
    pub already_there: i64,
}

/// An import that is under way; the only one of its network.
#[derive(Debug)]
pub struct Import {
    scope: AdminScope,
    /// What came behind the last whole line.
    rest: Vec<u8>,
    /// The line that is read, from 1.
    line: u64,
    begun: bool,
    ended: bool,
    set: Option<SetInWork>,
    done: ImportResult,
    _turn: Turn,
}

/// The set whose lines are read.
#[derive(Debug)]
struct SetInWork {
    uid: Uuid,
    /// Absent of one that is there already: its lines are read and left.
    new: Option<NewSet>,
    members: i64,
    /// Those of them that are not just leaving it.
    staying: i64,
}

/// What is gathered of a set that is imported.
#[derive(Debug)]
struct NewSet {
    place: Place,
    line: SetLine,
    options: Options,
    root: Option<MemberId>,
    /// Read and not written yet, each with its line.
    waiting: Vec<(u64, ImportedMember)>,
    left: Vec<(u64, Copy)>,
    counters: Counters,
}

/// Stands for the import of a network; dropping it lets the next one begin.
#[derive(Debug)]
struct Turn(AdminScope);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.imports().remove(&self.0.user.network);
    }
}

impl AdminScope {
    /// Begins an import (R-ADM-1); whatever is left of one that broke off is removed before.
    ///
    /// # Errors
    /// [`Error::RateLimited`] while another one of the network is under way; the database's.
    pub async fn begin_import(&self) -> Result<Import, Error> {
        if !self.imports().insert(self.user.network) {
            return Err(Error::RateLimited {
                limit: "one import of a network at a time",
            });
        }
        let turn = Turn(self.clone());
        let ingest = &self.user.coordinator.ingest;
        ingest.end_import(self.user.network).await?;
        Ok(Import {
            scope: self.clone(),
            rest: Vec::new(),
            line: 0,
            begun: false,
            ended: false,
            set: None,
            done: ImportResult::default(),
            _turn: turn,
        })
    }

    fn imports(&self) -> std::sync::MutexGuard<'_, BTreeSet<crate::domain::ids::NetworkId>> {
        let imports = &self.user.coordinator.imports;
        imports
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Import {
    /// Takes in some bytes of the file; they may end anywhere in a line.
    ///
    /// # Errors
    /// [`Error::InvalidField`], which names the line, the field and the rule; [`Error::AlreadySynced`] and
    /// [`Error::RepositoryNotFound`] in the words of that line. Call [`Import::give_up`] then.
    pub async fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.len() > IMPORT_LINE_BYTES_MAX {
                self.line += 1;
                let rule = format!("a line has at most {IMPORT_LINE_BYTES_MAX} bytes");
                return Err(self.wrong("", &rule));
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                self.read(&line).await?;
            }
        }
        Ok(())
    }

    /// The file is at its end.
    ///
    /// # Errors
    /// As [`Import::take`]; a file that was cut.
    pub async fn finish(&mut self) -> Result<ImportResult, Error> {
        let line = std::mem::take(&mut self.rest);
        if !line.is_empty() {
            self.read(&line).await?;
        }
        if !self.ended && !planted("cut-import-accepted") {
            self.line += 1;
            let rule = "is missing: the file was cut before its line `end`; export again";
            return Err(self.wrong("", rule));
        }
        Ok(self.done)
    }

    /// Removes what was written of a set that cannot be imported to its end; those before it stay.
    ///
    /// # Errors
    /// The database's; then it is removed when the coordinator starts, or with the next import.
    pub async fn give_up(&mut self) -> Result<(), Error> {
        let ingest = &self.scope.user.coordinator.ingest;
        ingest.end_import(self.scope.user.network).await
    }

    async fn read(&mut self, line: &[u8]) -> Result<(), Error> {
        self.line += 1;
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        if self.ended {
            return Err(self.wrong("type", "nothing comes behind the line `end`"));
        }
        if !self.begun {
            self.begun = true;
            return self.header(line);
        }
        let line: Line = serde_json::from_slice(line).map_err(|error| self.unreadable(&error))?;
        let read = match line {
            Line::Export(_) => Err(Error::invalid("type", "`export` is the first line only")),
            Line::Set(set) => self.begin_set(set).await,
            Line::Member(member) => self.member(&member).await,
            Line::Left(line) => self.left(|place| read::left(place, &line)).await,
            Line::Gone(line) => self.left(|place| read::gone(place, &line)).await,
            Line::EndSet(end) => self.end_set(&end).await,
            Line::End(end) => self.end(end.sync_sets),
        };
        read.map_err(|error| self.in_line(error))
    }

    fn header(&self, line: &[u8]) -> Result<(), Error> {
        let rule = "the first line must be that of an export; give the file that `export` wrote";
        let found: serde_json::Value =
            serde_json::from_slice(line).map_err(|_| self.wrong("type", rule))?;
        if found["type"] != "export" || found["format"] != FORMAT {
            return Err(self.wrong("format", rule));
        }
        if found["version"] != VERSION {
            let rule = format!(
                "is {}, and this coordinator reads version {VERSION}; export with a coordinator \
                 of this release",
                found["version"]
            );
            return Err(self.wrong("version", &rule));
        }
        let read: Result<Header, _> = serde_json::from_value(found);
        read.map(|_| ()).map_err(|error| self.unreadable(&error))
    }

    async fn begin_set(&mut self, line: SetLine) -> Result<(), Error> {
        if self.set.is_some() {
            let rule = "a set begins before the one before it ended; export again";
            return Err(Error::invalid("type", rule));
        }
        let uid = line.uid;
        let user = &self.scope.user;
        let store = &user.coordinator.store;
        let id = SyncSetId(id_in(user.network, uid));
        let there = store.sync_set(user.network, id).await?.is_some()
            || store
                .sync_set(user.network, SyncSetId(uid))
                .await?
                .is_some();
        let new = match there {
            true if !planted("import-made-again") => None,
            _ => Some(self.new_set(id, line).await?),
        };
        self.set = Some(SetInWork {
            uid,
            new,
            members: 0,
            staying: 0,
        });
        Ok(())
    }

    async fn new_set(&self, id: SyncSetId, line: SetLine) -> Result<NewSet, Error> {
        let user = &self.scope.user;
        let kind = read::of_words("kind", words::SET_KINDS, &line.kind)?;
        let options = read::options(&line, kind)?;
        check_user_of("owner", &line.owner)?;
        check_node_id("target_folder_node_id", &line.target_folder_node_id)?;
        let repositories = Sides {
            on_premise: self.repository(&line, Side::OnPremise).await?,
            cloud: self.repository(&line, Side::Cloud).await?,
        };
        let store = &user.coordinator.store;
        let declared = load::repositories(store.reader(), user.network).await?;
        let rule = |repository: &RepositoryId| {
            let found = declared.repositories.get(repository);
            found.map(|found| found.name_rule).unwrap_or_default()
        };
        let place = Place {
            network: user.network,
            set: id,
            kind,
            rules: Sides {
                on_premise: rule(&repositories.on_premise),
                cloud: rule(&repositories.cloud),
            },
            repositories,
            locks: options.lock_on_premise_copy,
            version: user.coordinator.clock.now(),
        };
        let begin = ImportStep::Begin(Importing {
            set: id,
            repositories,
        });
        self.step(begin).await?;
        Ok(NewSet {
            place,
            line,
            options,
            root: None,
            waiting: Vec::new(),
            left: Vec::new(),
            counters: Counters::default(),
        })
    }

    /// Repositories are found by their names, which stay when they are registered anew.
    async fn repository(&self, line: &SetLine, side: Side) -> Result<RepositoryId, Error> {
        let (field, name) = match side {
            Side::OnPremise => ("on_premise_repository", &line.on_premise_repository),
            Side::Cloud => ("cloud_repository", &line.cloud_repository),
        };
        let found = match self.scope.user.repository(name).await {
            Ok(found) => found,
            Err(Error::RepositoryNotFound { repository }) => {
                let rule = format!("there is no repository {repository}; register it first");
                return Err(Error::invalid(field, rule));
            }
            Err(error) => return Err(error),
        };
        if found.side != side {
            let rule = format!("{name} must be a repository of side {}", side.name());
            return Err(Error::invalid(field, rule));
        }
        Ok(found.id)
    }

    async fn member(&mut self, line: &MemberLine) -> Result<(), Error> {
        let number = self.line;
        let set = self.set.as_mut().ok_or_else(outside_set)?;
        set.members += 1;
        if line.leaving.is_none() {
            set.staying += 1;
        }
        let Some(new) = &mut set.new else {
            return Ok(());
        };
        let read = read::member(&new.place, line)?;
        if new.place.kind == SetKind::Documents && set.staying > DOCUMENTS_MAX as i64 {
            let rule = format!("a set has at most {DOCUMENTS_MAX} documents");
            return Err(Error::invalid("type", rule));
        }
        let is_root = line.direct && new.place.kind == SetKind::Folder;
        if is_root && new.root.replace(read.member.id).is_some() {
            let rule = "a set of a folder has one direct member";
            return Err(Error::invalid("direct", rule));
        }
        count(&mut new.counters, &read.member);
        new.waiting.push((number, read));
        match new.waiting.len() >= IMPORT_ROWS {
            true => self.write_members().await,
            false => Ok(()),
        }
    }

    /// A node that is no member.
    async fn left(
        &mut self,
        read: impl FnOnce(&Place) -> Result<Copy, Error>,
    ) -> Result<(), Error> {
        let number = self.line;
        let set = self.set.as_mut().ok_or_else(outside_set)?;
        let Some(new) = &mut set.new else {
            return Ok(());
        };
        new.left.push((number, read(&new.place)?));
        match new.left.len() >= IMPORT_ROWS {
            true => self.write_left().await,
            false => Ok(()),
        }
    }

    async fn end_set(&mut self, line: &EndSet) -> Result<(), Error> {
        let set = self.set.as_ref().ok_or_else(outside_set)?;
        if set.uid != line.uid {
            let rule = "must be that of the set which began last; export again";
            return Err(Error::invalid("uid", rule));
        }
        let told = set.members;
        self.write_members().await?;
        self.write_left().await?;
        if told != line.members {
            let rule = format!(
                "is {}, and {told} members were told; export again",
                line.members
            );
            return Err(Error::invalid("members", rule));
        }
        // Taken only now: what was not written yet belongs to it.
        let Some(new) = self.set.take().and_then(|set| set.new) else {
            self.done.already_there += 1;
            return Ok(());
        };
        let members = new.counters.members;
        let actor = self.scope.user.user.clone();
        let finish = ImportStep::Finish(Box::new(self.row(new)?), actor);
        if self.step(finish).await? == Imported::More {
            let user = &self.scope.user;
            user.coordinator.ingest.end_import(user.network).await?;
        }
        self.done.sync_sets += 1;
        self.done.members += members;
        Ok(())
    }

    fn row(&self, new: NewSet) -> Result<SyncSet, Error> {
        let root = match (new.place.kind, new.root) {
            (SetKind::Documents, _) if new.counters.members > 0 => MemberId::default(),
            (SetKind::Folder, Some(root)) => root,
            _ => return Err(Error::invalid("members", "a set has a direct member")),
        };
        Ok(SyncSet {
            id: new.place.set,
            network: new.place.network,
            repositories: new.place.repositories,
            kind: new.place.kind,
            root,
            target: NodeId(new.line.target_folder_node_id),
            source_folder: NodeId(new.line.source_folder_node_id),
            options: new.options,
            owner: new.line.owner,
            // Read from the owner's link, which is made anew in this coordinator.
            account: String::new(),
            ending: false,
            outside: Sides::default(),
            removal: Removal::default(),
            paused: new.line.paused,
            repository_paused: false,
            counters: new.counters,
            guard: Guard::default(),
        })
    }

    fn end(&mut self, sync_sets: i64) -> Result<(), Error> {
        if self.set.is_some() {
            let rule = "the file ends within a set; export again";
            return Err(Error::invalid("type", rule));
        }
        let told = self.done.sync_sets + self.done.already_there;
        if told != sync_sets {
            let rule = format!("is {sync_sets}, and {told} sets were told; export again");
            return Err(Error::invalid("sync_sets", rule));
        }
        self.ended = true;
        Ok(())
    }

    async fn write_members(&mut self) -> Result<(), Error> {
        let new = self.set.as_mut().and_then(|set| set.new.as_mut());
        let waiting = new.map(|new| std::mem::take(&mut new.waiting));
        let waiting = waiting.unwrap_or_default();
        let (mut ids, mut nodes) = (BTreeSet::new(), BTreeSet::new());
        for (number, one) in &waiting {
            if !ids.insert(one.member.id) && !planted("member-imported-twice") {
                return Err(self.twice(*number, "uid"));
            }
            for side in Side::BOTH {
                if let Some(copy) = one.copies.get(side)
                    && !nodes.insert((side, &copy.node))
                {
                    return Err(self.twice(*number, node_field(side)));
                }
            }
        }
        let members = waiting.iter().map(|(_, one)| one.clone()).collect();
        match self.answered(ImportStep::Members(members)).await? {
            Imported::Taken(repository, node) => {
                let mut at = waiting.iter().flat_map(|(number, one)| {
                    Side::BOTH.map(|side| (*number, side, one.copies.get(side)))
                });
                let found = at.find(|(_, _, copy)| is_node(copy.as_ref(), repository, &node));
                let (number, side, _) = found.unwrap_or((self.line, Side::OnPremise, &None));
                self.line = number;
                Err(Error::invalid(node_field(side), taken(&node)))
            }
            Imported::Known(id) => {
                let found = waiting.iter().find(|(_, one)| one.member.id == id);
                let number = found.map_or(self.line, |(number, _)| *number);
                Err(self.twice(number, "uid"))
            }
            _ => Ok(()),
        }
    }

    async fn write_left(&mut self) -> Result<(), Error> {
        let new = self.set.as_mut().and_then(|set| set.new.as_mut());
        let left = new.map(|new| std::mem::take(&mut new.left));
        let left = left.unwrap_or_default();
        let copies = left.iter().map(|(_, copy)| copy.clone()).collect();
        if let Imported::Taken(repository, node) = self.answered(ImportStep::Left(copies)).await? {
            let found = left
                .iter()
                .find(|(_, copy)| is_node(Some(copy), repository, &node));
            self.line = found.map_or(self.line, |(number, _)| *number);
            return Err(Error::invalid("node_id", taken(&node)));
        }
        Ok(())
    }

    async fn answered(&self, step: ImportStep) -> Result<Imported, Error> {
        let user = &self.scope.user;
        user.coordinator.ingest.import(user.network, step).await
    }

    async fn step(&self, step: ImportStep) -> Result<Imported, Error> {
        match self.answered(step).await? {
            Imported::Unplaced(node) => Err(Error::invalid(
                "members",
                format!(
                    "node {node} lies in no folder of the set; wait until nothing is under way in \
                     it, and export again"
                ),
            )),
            done => Ok(done),
        }
    }

    fn twice(&mut self, number: u64, field: &str) -> Error {
        self.line = number;
        Error::invalid(
            field,
            "was told before; each member and each node comes once",
        )
    }

    /// The line is no JSON, or not of the form that its type has; serde tells which field.
    fn unreadable(&self, error: &serde_json::Error) -> Error {
        let rule = match error.classify() {
            serde_json::error::Category::Eof => "the line was cut; export again".to_owned(),
            _ => format!("{error}; lines must be as `export` writes them"),
        };
        self.wrong("", &rule)
    }

    fn wrong(&self, field: &str, rule: &str) -> Error {
        self.in_line(Error::invalid(field, rule))
    }

    /// Names the line, and says what became of the sets before it.
    fn in_line(&self, error: Error) -> Error {
        let Error::InvalidField { field, rule } = error else {
            return error;
        };
        let line = format!("lines[{}]", self.line);
        let field = match field.as_str() {
            "" => line,
            field => format!("{line}.{field}"),
        };
        let rule = match self.done.sync_sets {
            0 => rule,
            sets => format!("{rule} ({sets} sets before it are imported, and stay)"),
        };
        Error::invalid(field, rule)
    }
}

fn outside_set() -> Error {
    Error::invalid("type", "comes only between `set` and `end_set`")
}

fn taken(node: &NodeId) -> String {
    format!("{node} is in a sync set already; end that set, or leave this one out of the export")
}

fn node_field(side: Side) -> &'static str {
    match side {
        Side::OnPremise => "on_premise.node_id",
        Side::Cloud => "cloud.node_id",
    }
}

fn is_node(copy: Option<&Copy>, repository: RepositoryId, node: &NodeId) -> bool {
    copy.is_some_and(|copy| copy.repository == repository && copy.node == *node)
}

/// As the engine counts (R-STA-1); all wait until both sides are listed.
fn count(counters: &mut Counters, member: &Member) {
    counters.members += 1;
    counters.pending += i64::from(member.state == MemberState::Pending);
    let base = member.base.as_ref();
    let content = base.and_then(|base| base.projection.content);
    counters.bytes += content.map_or(0, |content| content.size);
}
