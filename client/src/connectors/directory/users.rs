//! Users of a directory: people of Tandem, each of whom is a user of the operating system (R-IDN-2).
//!
//! Owner, group and mode bits decide, from the root of the repository down, groups included; access control lists and the
//! folders above the root are not looked at. Who is in which group is asked of the system each time (`id`), so whatever
//! it takes its users from counts, and a change there counts at once.

use std::{collections::BTreeMap, path::Path, process::Command};

use super::{
    apply::WRITE_BITS,
    core::Core,
    node::Node,
    os::{self, FileKind, Stat},
    tree::Tree,
};

const READ: u32 = 4;
const WRITE: u32 = 2;
/// Passing through a folder.
const PASS: u32 = 1;
/// In such a folder only owners delete.
const STICKY: u32 = 0o1000;

/// Which user of the system everybody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    people: BTreeMap<String, String>,
}

/// A user of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// What the system calls it.
    pub(super) name: String,
    /// Its number.
    pub(super) user: u32,
    /// The groups it is in, its own one first.
    pub(super) groups: Vec<u32>,
}

/// What somebody may do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rights {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) delete: bool,
}

impl Rights {
    /// Everything.
    pub(super) const ALL: Self = Self {
        read: true,
        write: true,
        delete: true,
    };
}

// === impl Users ===

impl Users {
    /// Reads a file with a line `person = user` for everybody; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// In words: the file cannot be read, a line is no such line, the system has no such user, or it is root.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let users = Self::parse(&text).map_err(|error| format!("{}, {error}", path.display()))?;
        for person in users.people.keys() {
            users
                .identity(person)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(users)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut people = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let complain = |what: &str| {
                format!(
                    "line {}: {what}; write `person = user of the system`",
                    at + 1
                )
            };
            let (person, user) = line
                .split_once('=')
                .ok_or_else(|| complain("there is no ="))?;
            let (person, user) = (person.trim(), user.trim());
            if person.is_empty() || user.is_empty() || user.starts_with('-') {
                return Err(complain("a name is missing"));
            }
            let twice = people.insert(person.to_owned(), user.to_owned());
            if twice.is_some() {
                return Err(complain("this person has a line already"));
            }
        }
        Ok(Self { people })
    }

    /// The user of the system that somebody is.
    pub(super) fn identity(&self, person: &str) -> Result<Identity, String> {
        let user = self.people.get(person).ok_or_else(|| {
            format!("{person:?} is no user of this directory; add a line to the file of --users and start the agent again")
        })?;
        let identity = Identity::of(user).ok_or_else(|| {
            format!("{person:?} is to be {user:?}, whom this system does not know")
        })?;
        match identity.user {
            0 => Err(format!(
                "{person:?} is to be {user:?}, who is root and may do everything; choose a user who is not"
            )),
            _ => Ok(identity),
        }
    }
}

// === impl Identity ===

impl Identity {
    fn of(user: &str) -> Option<Self> {
        let id = |what: &str| {
            let told = Command::new("id").args([what, "--", user]).output().ok()?;
            let text = String::from_utf8(told.stdout).ok()?;
            told.status.success().then_some(text)
        };
        let groups = id("-G")?;
        let groups = groups.split_whitespace().map(str::parse);
        Some(Self {
            name: user.to_owned(),
            user: id("-u")?.trim().parse().ok()?,
            groups: groups.collect::<Result<_, _>>().ok()?,
        })
    }

    /// The permission bits that hold for this user: those of the first class that it is in, whatever the others allow.
    fn bits(&self, stat: &Stat, owns: bool) -> u32 {
        if owns || stat.owner == self.user {
            stat.mode >> 6
        } else if self.groups.contains(&stat.group) {
            stat.mode >> 3
        } else {
            stat.mode
        }
    }
}

// === impl Core ===

impl Core {
    /// What a user of the system may do with a node. What the agent made for a member and could not give away counts as
    /// the property of `owner`, if that is asked.
    pub(super) fn rights_of(
        &self,
        tree: &Tree,
        node: &Node,
        who: &Identity,
        as_owner: bool,
    ) -> Rights {
        let reachable = tree.ancestors(&node.id).into_iter().all(|folder| {
            let folder = tree.live(&folder);
            folder.is_some_and(|folder| self.may_all(tree, folder, who, as_owner, PASS))
        });
        if !reachable {
            return Rights::default();
        }
        let may = |needed| self.may_all(tree, node, who, as_owner, needed);
        let (read, write) = match node.kind {
            FileKind::File => (may(READ), may(WRITE)),
            FileKind::Folder => (may(READ | PASS), may(WRITE | PASS)),
            FileKind::Link | FileKind::Special => return Rights::default(),
        };
        let parent = tree.live(&node.parent);
        let delete =
            parent.is_some_and(|parent| self.may_unlink(tree, (parent, node), who, as_owner));
        Rights {
            read,
            write,
            delete,
        }
    }

    fn may_all(
        &self,
        tree: &Tree,
        node: &Node,
        who: &Identity,
        as_owner: bool,
        needed: u32,
    ) -> bool {
        let Some(stat) = self.look_at(tree, node) else {
            return false;
        };
        who.bits(&stat, as_owner && is_ours(node, &stat)) & needed == needed
    }

    fn may_unlink(
        &self,
        tree: &Tree,
        (parent, node): (&Node, &Node),
        who: &Identity,
        as_owner: bool,
    ) -> bool {
        let stats = (self.look_at(tree, parent), self.look_at(tree, node));
        let (Some(above), Some(stat)) = stats else {
            return false;
        };
        let owns =
            |node: &Node, stat: &Stat| stat.owner == who.user || (as_owner && is_ours(node, stat));
        let owner = owns(parent, &above) || owns(node, &stat);
        self.may_all(tree, parent, who, as_owner, WRITE | PASS)
            && (above.mode & STICKY == 0 || owner)
    }

    /// Owner, group and mode as they are now, without the lock that sync put on a copy (R-LCK-1).
    fn look_at(&self, tree: &Tree, node: &Node) -> Option<Stat> {
        let mut stat = match node.parent.is_nil() {
            true => os::stat(self.disk.root()).ok()?,
            false => {
                let folder = self.disk.folder(tree, &node.parent).ok()?;
                os::stat_at(folder, &node.name).ok()?
            }
        };
        stat.mode |= node.locked.unwrap_or_default() & WRITE_BITS;
        Some(stat)
    }
}

/// True for a copy that the agent made, and that is its own still.
fn is_ours(node: &Node, stat: &Stat) -> bool {
    node.member.is_some() && stat.owner == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(owner: u32, group: u32, mode: u32) -> Stat {
        let mut stat = os::stat_path(Path::new("/")).unwrap();
        (stat.owner, stat.group, stat.mode) = (owner, group, mode);
        stat
    }

    #[test]
    fn r_idn_2_the_first_class_that_a_user_is_in_decides() {
        let who = Identity {
            name: "alice".to_owned(),
            user: 1000,
            groups: vec![1000, 50],
        };
        for (owner, group, mode, bits) in [
            (1000, 50, 0o640, 6),
            (1000, 50, 0o077, 0),
            (1, 50, 0o640, 4),
            (1, 1000, 0o607, 0),
            (1, 1, 0o641, 1),
        ] {
            let seen = who.bits(&stat(owner, group, mode), false) & 7;
            assert_eq!(seen, bits, "{owner} {group} {mode:o}");
        }
        assert_eq!(who.bits(&stat(1, 1, 0o600), true) & 7, 6);
    }

    #[test]
    fn r_idn_2_a_line_names_a_person_and_a_user_of_the_system() {
        let users = Users::parse("# ours\n\n alice = nobody \nbob@acme.example=daemon\n").unwrap();
        assert_eq!(users.people.get("alice").unwrap(), "nobody");
        assert_eq!(users.people.get("bob@acme.example").unwrap(), "daemon");
        for (text, says) in [
            ("alice", "line 1: there is no ="),
            ("\nalice = ", "line 2: a name is missing"),
            ("alice = -u", "line 1: a name is missing"),
            ("a = nobody\na = daemon", "line 2: this person has a line"),
        ] {
            let refused = Users::parse(text).unwrap_err();
            assert!(refused.starts_with(says), "{refused}");
        }
    }

    #[test]
    fn r_idn_2_root_and_strangers_are_told_as_such() {
        let text = "alice = nobody\nroot = root\nbob = no-such-user-here";
        let users = Users::parse(text).unwrap();
        let nobody = users.identity("alice").unwrap();
        assert!(nobody.user != 0 && !nobody.groups.is_empty(), "{nobody:?}");
        for (person, says) in [
            ("root", "may do everything"),
            ("bob", "does not know"),
            ("carol", "add a line"),
        ] {
            let refused = users.identity(person).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
