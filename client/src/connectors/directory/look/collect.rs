//! Collecting what lies on disk, before anything is concluded from it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    os::fd::OwnedFd,
};

use uuid::Uuid;

use super::{
    super::{
        names,
        os::{self, FileKind, Inode, Stat},
        pending::{LATE, Place},
        tree::Tree,
    },
    Eyes,
};

/// The folder of something found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    /// A folder that has a node already.
    Node(Uuid),
    /// A folder that was found, too, by its number.
    Found(usize),
}

/// Something found, or found missing.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) parent: Parent,
    pub(super) name: String,
    pub(super) stat: Option<Stat>,
}

/// A folder that was listed whole.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) folder: Parent,
    pub(super) watch: Option<i32>,
    pub(super) names: HashSet<String>,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) entries: Vec<Entry>,
    pub(super) listings: Vec<Listing>,
    pub(super) inodes: HashSet<Inode>,
    /// Folders that could not be listed; what is known of them stays.
    pub(super) unreadable: Vec<Parent>,
    /// Places in folders that have to be found first.
    pub(super) postponed: Vec<Place>,
}

struct Folder {
    parent: Parent,
    path: String,
}

impl Collected {
    /// Everything below a folder.
    pub(super) fn walk(eyes: Eyes<'_>, tree: &Tree, root: Uuid) -> Self {
        let mut collected = Self::default();
        let Some(path) = tree.path(&root) else {
            return collected;
        };
        let parent = Parent::Node(root);
        collected.descend(eyes, VecDeque::from([Folder { parent, path }]), |_| true);
        collected
    }

    /// One folder, and what is below folders that are new in it.
    pub(super) fn folder(eyes: Eyes<'_>, tree: &Tree, folder: Uuid) -> Self {
        let mut collected = Self::default();
        let Some(path) = tree.path(&folder) else {
            return collected;
        };
        let parent = Parent::Node(folder);
        let queue = VecDeque::from([Folder { parent, path }]);
        collected.descend(eyes, queue, |stat| is_new(tree, stat));
        collected
    }

    /// Some places, and what is below folders that are new there.
    pub(super) fn places(
        eyes: Eyes<'_>,
        tree: &Tree,
        settled: &[Place],
        waiting: &[Place],
    ) -> Self {
        let mut collected = Self::default();
        let mut looker = Looker::new(eyes, tree);
        let peeked: HashSet<Inode> = waiting
            .iter()
            .filter_map(|place| looker.look(place)?.map(|stat| stat.inode))
            .collect();
        // Places that are not quiet come again anyway.
        looker.postponed.clear();
        let mut queue = VecDeque::new();
        for place in settled.iter().filter(|place| place.folder != LATE) {
            let Some(stat) = looker.look(place) else {
                continue;
            };
            let occupant = tree.child(&place.folder, &place.name);
            let other = |inode: Inode| stat.as_ref().is_none_or(|stat| stat.inode != inode);
            if let Some(occupant) = occupant
                && other(occupant.print.inode)
                && peeked.contains(&occupant.print.inode)
            {
                eyes.pending.add(place);
                continue;
            }
            if let Some(stat) = stat.filter(|stat| stat.kind == FileKind::Folder)
                && is_new(tree, &stat)
                && let Some(folder) = tree.path(&place.folder)
            {
                let parent = Parent::Found(collected.entries.len());
                let path = join(&folder, &place.name);
                queue.push_back(Folder { parent, path });
            }
            collected.push(Parent::Node(place.folder), place.name.clone(), stat);
        }
        collected.postponed = looker.postponed;
        collected.descend(eyes, queue, |stat| is_new(tree, stat));
        collected
    }

    fn push(&mut self, parent: Parent, name: String, stat: Option<Stat>) {
        self.inodes.extend(stat.map(|stat| stat.inode));
        self.entries.push(Entry { parent, name, stat });
    }

    fn descend(
        &mut self,
        eyes: Eyes<'_>,
        mut queue: VecDeque<Folder>,
        enter: impl Fn(&Stat) -> bool,
    ) {
        while let Some(folder) = queue.pop_front() {
            let Some((listing, found)) = list(eyes, &folder) else {
                self.unreadable.push(folder.parent);
                continue;
            };
            self.listings.push(listing);
            for (name, stat) in found {
                if stat.kind == FileKind::Folder && enter(&stat) {
                    let parent = Parent::Found(self.entries.len());
                    let path = join(&folder.path, &name);
                    queue.push_back(Folder { parent, path });
                }
                self.push(folder.parent, name, Some(stat));
            }
        }
    }
}

fn list(eyes: Eyes<'_>, folder: &Folder) -> Option<(Listing, Vec<(String, Stat)>)> {
    let complain = |error: std::io::Error| {
        tracing::warn!(path = folder.path, %error, "a folder cannot be listed");
    };
    let open = eyes.disk.folder_at(&folder.path).map_err(complain).ok()?;
    // The watch comes first, so nothing can happen unseen after the listing.
    let watch = eyes.watcher.watch(&open).map_err(complain).ok();
    let names = os::list(&open).map_err(complain).ok()?;
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        if folder.path.is_empty() && name == names::WORK {
            continue;
        }
        if let Ok(stat) = os::stat_at(&open, &name) {
            let stat = ordinary(eyes, &name, stat);
            found.push((name, stat));
        }
    }
    let listing = Listing {
        folder: folder.parent,
        watch,
        names: found.iter().map(|(name, _)| name.clone()).collect(),
    };
    Some((listing, found))
}

/// Another file system that is mounted below the root is not entered: its inodes are not ours. Nor is what has a name that
/// cannot be told.
fn ordinary(eyes: Eyes<'_>, name: &str, mut stat: Stat) -> Stat {
    if stat.device != eyes.disk.identity().device || !names::is_legal(name) {
        stat.kind = FileKind::Special;
    }
    stat
}

/// True for a folder that is not in the tree as such: it may be there as something that is not entered.
fn is_new(tree: &Tree, stat: &Stat) -> bool {
    let known = tree.by_inode(stat.inode);
    let mut kinds = known.iter().filter_map(|id| tree.get(id));
    !kinds.any(|node| node.kind == stat.kind)
}

fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

/// Looks at single places and keeps the folders open for the next ones.
struct Looker<'a> {
    eyes: Eyes<'a>,
    tree: &'a Tree,
    folders: HashMap<Uuid, OwnedFd>,
    postponed: Vec<Place>,
}

impl<'a> Looker<'a> {
    const FOLDERS_MAX: usize = 64;

    fn new(eyes: Eyes<'a>, tree: &'a Tree) -> Self {
        Self {
            eyes,
            tree,
            folders: HashMap::new(),
            postponed: Vec::new(),
        }
    }

    /// What lies there; the outer `None` when nothing can be said, because the folder itself is not where it was.
    fn look(&mut self, place: &Place) -> Option<Option<Stat>> {
        if place.folder == self.tree.root() && place.name == names::WORK {
            return None;
        }
        if self.folders.len() >= Self::FOLDERS_MAX && !self.folders.contains_key(&place.folder) {
            self.folders.clear();
        }
        if !self.folders.contains_key(&place.folder) {
            let folder = self.open(place)?;
            self.folders.insert(place.folder, folder);
        }
        match os::stat_at(self.folders.get(&place.folder)?, &place.name) {
            Ok(stat) => Some(Some(ordinary(self.eyes, &place.name, stat))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(None),
            Err(_) => None,
        }
    }

    /// Opens the folder of a place. A place in a folder that is not where it was is looked at when that one is found.
    fn open(&mut self, place: &Place) -> Option<OwnedFd> {
        match self.eyes.disk.folder(self.tree, &place.folder) {
            Ok(folder) => return Some(folder),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
        if self.tree.live(&place.folder).is_some() {
            self.postponed.push(place.clone());
        }
        None
    }
}
