//! Opening a directory: who it is, what was half done, and what changed meanwhile.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use uuid::Uuid;

use super::{
    apply::intent,
    core::{Core, State, unavailable},
    disk::{Disk, identity_bytes, is_root, root_gone},
    faults::Faults,
    index::{self, Index},
    look, names,
    node::Node,
    options::Options,
    os,
    pending::{LATE, Pending},
    reading::{TAG, parse_tag},
    tree::Tree,
    versions::Versions,
    watch::Watcher,
};
use crate::agent::{manifests::Manifests, repository::Error};

const INSTALLATION: &str = "user.tandem.installation";

impl Core {
    /// Opens the directory; blocks, and needs a tokio runtime around it.
    pub(super) fn open(options: Options) -> Result<Self, Error> {
        fs::create_dir_all(&options.state).map_err(|error| at(&options.state, &error))?;
        separate(&options)?;
        let disk = Disk::open(&options.root)?;
        let index = Index::open(&options.state.join("index.sqlite")).map_err(|error| {
            Error::Unavailable(format!(
                "the index in {} cannot be opened; does another agent use it? {error}",
                options.state.display()
            ))
        })?;
        remember_root(&index, &disk)?;
        let installation_id = installation(&options.state, &disk)?;
        let index_id = index_id(&index).map_err(unavailable)?;
        let name_rule = disk.work().and_then(names::probe).map_err(unavailable)?;
        let versions =
            Versions::open(&options.state, disk.identity().device).map_err(unavailable)?;
        let pending = Arc::new(Pending::default());
        let watcher = Watcher::start(Arc::clone(&pending)).map_err(unavailable)?;
        let tree = load(&index, &disk).map_err(unavailable)?;
        let core = Self {
            options,
            installation_id,
            index_id,
            name_rule,
            disk,
            pending,
            watcher,
            versions,
            faults: Faults::default(),
            manifests: Manifests::default(),
            lost: AtomicBool::new(false),
            at_rest: AtomicBool::new(false),
            state: Mutex::new(State {
                tree,
                resting: HashMap::new(),
                emptied: HashSet::new(),
            }),
            index,
        };
        core.begin().map_err(unavailable)?;
        Ok(core)
    }

    fn begin(&self) -> io::Result<()> {
        let late = self.watcher.watch_writes(self.versions.late())?;
        self.pending.register(late, LATE);
        let mut state = self.state();
        intent::recover(self)?;
        look::walk(self.eyes(), &mut state.tree);
        state.note_emptied();
        drop_unreachable(&mut state.tree);
        self.save(&mut state)?;
        drop(state);
        self.disk.tidy();
        self.versions.sweep(self);
        Ok(())
    }
}

fn at(path: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("{}: {error}", path.display()))
}

/// The connector's own files must not be synced themselves.
fn separate(options: &Options) -> Result<(), Error> {
    let root = fs::canonicalize(&options.root).map_err(|_| root_gone(&options.root))?;
    let state = fs::canonicalize(&options.state).map_err(|error| at(&options.state, &error))?;
    if state.starts_with(&root) {
        return Err(Error::Refused(format!(
            "the state directory {} lies inside the root {}; choose one outside",
            state.display(),
            root.display()
        )));
    }
    Ok(())
}

/// Another root under the same path proves nothing about the one that is remembered.
fn remember_root(index: &Index, disk: &Disk) -> Result<(), Error> {
    let present = identity_bytes(disk.identity());
    let remembered = index.run(move |transaction| {
        let remembered = index::fact(transaction, "root")?;
        if remembered.is_none() {
            index::set_fact(transaction, "root", &present)?;
        }
        Ok(remembered)
    });
    match remembered.map_err(unavailable)? {
        Some(remembered) if !is_root(&remembered, disk.identity()) => Err(root_gone(disk.path())),
        _ => Ok(()),
    }
}

/// The installation stands on the root itself, so that it goes where the content goes.
fn installation(state: &Path, disk: &Disk) -> Result<String, Error> {
    let name = OsStr::new(INSTALLATION);
    let file = state.join("installation");
    let present = match disk.attributes {
        true => os::attribute(disk.root(), name).map_err(unavailable)?,
        false => fs::read(&file).ok(),
    };
    let present = present.and_then(|bytes| Uuid::try_parse_ascii(&bytes).ok());
    if let Some(id) = present {
        return Ok(id.to_string());
    }
    let id = Uuid::new_v4().to_string();
    if disk.attributes {
        os::set_attribute(disk.root(), name, id.as_bytes()).map_err(unavailable)?;
    } else {
        fs::write(&file, &id).map_err(|error| at(&file, &error))?;
    }
    Ok(id)
}

fn index_id(index: &Index) -> io::Result<String> {
    let fresh = Uuid::new_v4();
    let id = index.run(move |transaction| {
        if let Some(id) = index::fact(transaction, "index")? {
            return Ok(id);
        }
        index::set_fact(transaction, "index", fresh.as_bytes())?;
        Ok(fresh.as_bytes().to_vec())
    })?;
    let id = Uuid::from_slice(&id).map_err(io::Error::other)?;
    Ok(id.to_string())
}

fn load(index: &Index, disk: &Disk) -> io::Result<Tree> {
    let (mut nodes, watched) =
        index.run(|transaction| Ok((index::nodes(transaction)?, index::watched(transaction)?)))?;
    let known = nodes.iter_mut().find(|node| node.parent.is_nil());
    if let Some(root) = known {
        let id = root.id;
        root.name = root_name(disk).into();
        root.print = disk.identity().into();
        root.read = false;
        return Ok(Tree::load(nodes, id, watched));
    }
    let carried = match disk.attributes {
        true => os::attribute(disk.root(), OsStr::new(TAG))?,
        false => None,
    };
    let id = carried
        .and_then(|tag| parse_tag(&tag))
        .unwrap_or_else(Uuid::new_v4);
    let mut tree = Tree::load(nodes, id, watched);
    let mut root = Node::new(id, Uuid::nil(), &root_name(disk), disk.identity());
    if disk.attributes {
        os::set_attribute(disk.root(), OsStr::new(TAG), id.to_string().as_bytes())?;
        root.tagged = true;
    }
    tree.insert(root);
    Ok(tree)
}

fn root_name(disk: &Disk) -> String {
    let path = fs::canonicalize(disk.path()).unwrap_or_else(|_| disk.path().to_owned());
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.map_or_else(|| "root".to_owned(), std::borrow::Cow::into_owned)
}

/// Nodes that were about to be made in a folder that never came to be.
fn drop_unreachable(tree: &mut Tree) {
    let root = tree.root();
    for id in tree.ids() {
        let lost = |node: &Node| !node.gone && node.reported.is_none();
        if tree.get(&id).is_some_and(lost)
            && id != root
            && tree.ancestors(&id).last() != Some(&root)
        {
            tree.remove(&id);
        }
    }
}
