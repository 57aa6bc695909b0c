//! Which roots the coordinator named last, so that one it holds for known and the agent does not is noticed.

use std::collections::HashSet;

use tandem_proto::v1::WatchRoot;

use super::{Error, Identity, Outbox, rows::Rows};

/// What a list of roots says about the state of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Both remember the same. These documents were named since, and the coordinator heard nothing of them yet.
    Unheard(Vec<String>),
    /// A folder is to be watched and not listed, of which the agent does not know that it was watched: one of both is
    /// older than the other remembers. The next `hello` says so.
    RollbackSuspected,
}

impl Outbox {
    /// Remembers the roots to be watched, in place of those named before (R-AGT-4). A coordinator asks for the listing of
    /// each folder that is new to it; where it does not, and the folder is new to the agent, a set that was ended came
    /// back with a backup, or the agent's own state did. Then the next `hello` carries no generation.
    ///
    /// # Errors
    /// The outbox cannot be written.
    pub async fn name_roots(&self, roots: Vec<WatchRoot>) -> Result<Named, Error> {
        let doubted = Identity {
            generation: 0,
            ..self.identity()
        };
        let stored = doubted.clone();
        let work = move |rows: &Rows| {
            let named = name(rows, &roots)?;
            if named == Named::RollbackSuspected {
                rows.replace(&stored)?;
            }
            Ok(named)
        };
        self.run(work, move |memory, named| {
            if named == Named::RollbackSuspected {
                memory.restart(doubted);
            }
            named
        })
        .await
    }

    /// What was observed of these documents is noted: no session has to look at them by itself any more.
    ///
    /// # Errors
    /// The outbox cannot be written.
    pub async fn heard_roots(&self, node_ids: Vec<String>) -> Result<(), Error> {
        let work = move |rows: &Rows| {
            let known = rows.roots()?;
            let heard = node_ids.iter().filter(|id| known.contains_key(*id));
            heard
                .into_iter()
                .try_for_each(|id| rows.store_root(id, true))
        };
        self.run(work, |_, ()| ()).await
    }
}

/// Nothing is compared twice: should the coordinator not list a root even in the new generation, the session goes on.
fn name(rows: &Rows, roots: &[WatchRoot]) -> Result<Named, Error> {
    let known = rows.roots()?;
    let named: HashSet<&String> = roots.iter().map(|root| &root.node_id).collect();
    for node_id in known.keys().filter(|id| !named.contains(id)) {
        rows.forget_root(node_id)?;
    }
    let mut unheard = Vec::new();
    let mut suspected = false;
    for root in roots {
        let heard = known.get(&root.node_id);
        if heard.is_none() {
            rows.store_root(&root.node_id, !root.document)?;
            suspected |= !root.document && root.scan_id.is_empty();
        }
        if root.document && heard != Some(&true) {
            unheard.push(root.node_id.clone());
        }
    }
    Ok(match suspected {
        true => Named::RollbackSuspected,
        false => Named::Unheard(unheard),
    })
}
