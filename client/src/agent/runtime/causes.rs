//! Why deliveries failed, as far as a later observation can show that the cause is gone (R-ERR-1).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tandem_proto::v1::{
    CauseChanged, ChangeItem, Delivery, Failed, FailureReason, NameRule, Observation, Projection,
    change_item::Item, delivery::Action, observation::State, place::Folder,
};
use unicode_normalization::UnicodeNormalization;

/// Failures that are remembered; the others heal by the hourly retry.
const CAUSES_MAX: usize = 10_000;

/// Remembers failures by the node whose change would mend them.
#[derive(Debug, Default)]
pub(super) struct Causes(Mutex<HashMap<String, Vec<Cause>>>);

#[derive(Debug, Clone)]
struct Cause {
    member_id: Bytes,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// The node stands in the way under this name, in this folder where that is known.
    Blocked {
        name: String,
        parent: Option<String>,
    },
    /// The folder is missing.
    Missing,
}

// === impl Causes ===

impl Causes {
    /// Remembers why a delivery failed.
    pub(super) fn remember(&self, delivery: &Delivery, failed: &Failed) {
        let Some((node_id, cause)) = cause_of(delivery, failed) else {
            return;
        };
        let mut causes = self.lock();
        if causes.len() < CAUSES_MAX || causes.contains_key(&node_id) {
            let known = causes.entry(node_id).or_default();
            known.retain(|other| other.member_id != cause.member_id);
            if known.len() < CAUSES_MAX {
                known.push(cause);
            }
        }
    }

    /// The members whose cause this observation shows to be gone.
    pub(super) fn changed_by(&self, seen: &Observation, rule: NameRule) -> Vec<ChangeItem> {
        let mut causes = self.lock();
        let Some(known) = causes.get_mut(&seen.node_id) else {
            return Vec::new();
        };
        let gone: Vec<Cause> = known
            .extract_if(.., |cause| cause.kind.is_gone(seen, rule))
            .collect();
        if known.is_empty() {
            causes.remove(&seen.node_id);
        }
        gone.into_iter()
            .map(|cause| item(cause.member_id))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Cause>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    fn is_gone(&self, seen: &Observation, rule: NameRule) -> bool {
        match (self, &seen.state) {
            (Self::Missing, state) => matches!(state, Some(State::Present(_))),
            (Self::Blocked { name, parent }, Some(State::Present(present))) => {
                fold(&present.name, rule) != fold(name, rule)
                    || parent
                        .as_ref()
                        .is_some_and(|parent| *parent != seen.parent_node_id)
            }
            (Self::Blocked { .. }, Some(State::Absent(_)) | None) => true,
        }
    }
}

fn item(member_id: Bytes) -> ChangeItem {
    ChangeItem {
        item: Some(Item::CauseChanged(CauseChanged { member_id })),
    }
}

fn cause_of(delivery: &Delivery, failed: &Failed) -> Option<(String, Cause)> {
    let member_id = delivery.id.as_ref()?.member_id.clone();
    let (place, projection) = wanted(delivery)?;
    let (node_id, kind) = match failed.reason() {
        FailureReason::TargetFolderNameClash | FailureReason::TargetNodeAlreadySynced
            if !failed.blocking_node_id.is_empty() =>
        {
            let name = projection?.name.clone();
            (
                failed.blocking_node_id.clone(),
                Kind::Blocked {
                    name,
                    parent: place,
                },
            )
        }
        FailureReason::TargetFolderNotFound => (place?, Kind::Missing),
        _ => return None,
    };
    Some((node_id, Cause { member_id, kind }))
}

/// The folder, where it is known by id, and the projection that a delivery asks for.
fn wanted(delivery: &Delivery) -> Option<(Option<String>, Option<&Projection>)> {
    let (place, projection) = match delivery.action.as_ref()? {
        Action::Create(create) => (create.parent.as_ref(), create.projection.as_ref()),
        Action::Update(update) => (update.parent.as_ref(), update.projection.as_ref()),
        Action::Delete(_) | Action::Release(_) => return None,
    };
    let folder = place.and_then(|place| match place.folder.as_ref()? {
        Folder::NodeId(node_id) => Some(node_id.clone()),
        Folder::MemberId(_) => None,
    });
    Some((folder, projection))
}

/// The form of a name under which equal names are equal (R-REC-10).
fn fold(name: &str, rule: NameRule) -> String {
    let name = if rule.unicode_insensitive {
        name.nfc().collect()
    } else {
        name.to_owned()
    };
    if rule.case_insensitive {
        name.to_lowercase()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{CreateNode, DeliveryId, Place};

    use super::*;

    fn named(node_id: &str, name: &str) -> Observation {
        Observation {
            node_id: node_id.to_owned(),
            parent_node_id: "folder".to_owned(),
            state: Some(State::Present(Projection {
                name: name.to_owned(),
                ..Projection::default()
            })),
            ..Observation::default()
        }
    }

    fn clash() -> (Delivery, Failed) {
        let create = CreateNode {
            parent: Some(Place {
                folder: Some(Folder::NodeId("folder".to_owned())),
            }),
            projection: Some(Projection {
                name: "a".to_owned(),
                ..Projection::default()
            }),
            locked: false,
        };
        let delivery = Delivery {
            id: Some(DeliveryId {
                member_id: Bytes::from_static(b"m"),
                source_version: 1,
            }),
            action: Some(Action::Create(create)),
            ..Delivery::default()
        };
        let mut failed = Failed {
            blocking_node_id: "b".to_owned(),
            ..Failed::default()
        };
        failed.set_reason(FailureReason::TargetFolderNameClash);
        (delivery, failed)
    }

    #[test]
    fn r_err_1_renaming_the_blocking_node_mends_the_clash_once() {
        let causes = Causes::default();
        let (delivery, failed) = clash();
        causes.remember(&delivery, &failed);
        let rule = NameRule {
            case_insensitive: true,
            unicode_insensitive: true,
        };
        assert!(causes.changed_by(&named("other", "x"), rule).is_empty());
        assert!(
            causes.changed_by(&named("b", "A"), rule).is_empty(),
            "still in the way"
        );
        assert_eq!(
            causes.changed_by(&named("b", "c"), rule),
            [item(Bytes::from_static(b"m"))]
        );
        assert!(causes.changed_by(&named("b", "d"), rule).is_empty());
    }
}
