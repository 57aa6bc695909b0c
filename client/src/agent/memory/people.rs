//! Who may do what in a repository in memory: users on-premise, accounts with credentials on the cloud (R-IDN-1, R-IDN-2).

use std::collections::BTreeMap;

use tandem_proto::v1::{
    AccessInfo, Delivery, Failed, FailureReason, Place, delivery::Action, place::Folder,
};

use super::{apply::failed, tree::MemoryTree};

/// What somebody may do with a node and, where nothing else is said of it, with all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// May read it.
    pub read: bool,
    /// May change it, or create inside it.
    pub write: bool,
    /// May delete it.
    pub delete: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        delete: true,
    };
    /// Looking only.
    pub const READ: Self = Self {
        read: true,
        write: false,
        delete: false,
    };
    /// Nothing.
    pub const NONE: Self = Self {
        read: false,
        write: false,
        delete: false,
    };
}

/// The users of a repository, or the accounts of one that asks for credentials.
#[derive(Debug, Clone, Default)]
pub struct People {
    /// Whom the repository knows, and the credential of accounts.
    known: BTreeMap<String, Option<String>>,
    /// The credentials that the agent keeps.
    kept: BTreeMap<String, String>,
    /// What is said of whom and which node.
    rights: BTreeMap<(String, String), Rights>,
}

// === impl People ===

impl People {
    /// Somebody without a credential of their own, who may do everything until [`Self::allow`] says otherwise.
    pub fn add_user(&mut self, user: &str) {
        self.known.insert(user.to_owned(), None);
    }

    /// Somebody for whom the agent must keep this credential; another one than before makes it worthless.
    pub fn add_account(&mut self, account: &str, credential: &str) {
        let credential = Some(credential.to_owned());
        self.known.insert(account.to_owned(), credential);
    }

    /// Somebody leaves.
    pub fn remove(&mut self, user: &str) {
        self.known.remove(user);
    }

    /// What somebody may do from now on with a node and with what is below it.
    pub fn allow(&mut self, user: &str, node_id: &str, rights: Rights) {
        let place = (user.to_owned(), node_id.to_owned());
        self.rights.insert(place, rights);
    }

    /// Keeps the credential of an account, if it is the right one.
    pub(super) fn verify(&mut self, account: &str, credential: &str) -> Result<(), String> {
        match self.known.get(account) {
            Some(Some(known)) if known == credential => {
                let kept = (account.to_owned(), credential.to_owned());
                self.kept.extend([kept]);
                Ok(())
            }
            Some(None) => Ok(()),
            Some(Some(_)) | None => {
                Err(format!("the account {account} or its credential is wrong"))
            }
        }
    }

    /// Why nothing can be done as this user, whatever it is.
    fn stranger(&self, user: &str) -> Option<FailureReason> {
        match self.known.get(user) {
            Some(None) => None,
            Some(Some(credential)) if self.kept.get(user) == Some(credential) => None,
            Some(Some(_)) => Some(FailureReason::AuthenticationError),
            None if self.has_accounts() => Some(FailureReason::AuthenticationError),
            None => Some(FailureReason::OwnerNotFound),
        }
    }

    /// Why somebody may not do what they are allowed, or not.
    fn check(&self, user: &str, allowed: bool) -> Result<(), Failed> {
        if let Some(reason) = self.stranger(user) {
            return Err(failed(reason, &format!("nothing can be done as {user}")));
        }
        match allowed {
            true => Ok(()),
            false => Err(failed(self.denied(), &format!("{user} may not do this"))),
        }
    }

    fn has_accounts(&self) -> bool {
        self.known.values().any(Option::is_some)
    }

    /// The reason of SPEC §9 for what somebody may not do.
    fn denied(&self) -> FailureReason {
        match self.has_accounts() {
            true => FailureReason::TargetNodeAccessDenied,
            false => FailureReason::SourceNodeAccessDenied,
        }
    }
}

// === impl MemoryTree ===

impl MemoryTree {
    /// What somebody may do with several nodes.
    pub(super) fn access(&self, user: &str, node_ids: &[String]) -> Vec<AccessInfo> {
        let access = |node_id: &String| {
            let rights = match self.nodes.contains_key(node_id) {
                true => self.rights(user, node_id),
                false => Rights::NONE,
            };
            AccessInfo {
                node_id: node_id.clone(),
                read: rights.read,
                write: rights.write,
                delete: rights.delete,
            }
        };
        node_ids.iter().map(access).collect()
    }

    /// The nearest folder of which something is said decides.
    fn rights(&self, user: &str, node_id: &str) -> Rights {
        let Some(people) = &self.people else {
            return Rights::ALL;
        };
        if !people.known.contains_key(user) {
            return Rights::NONE;
        }
        let parent = |below: &String| self.nodes.get(below).map(|node| node.parent.clone());
        let mut above = std::iter::successors(Some(node_id.to_owned()), parent);
        let said =
            above.find_map(|node_id| people.rights.get(&(user.to_owned(), node_id)).copied());
        said.unwrap_or(Rights::ALL)
    }

    /// Why a delivery may not be applied as the account that it names; ending a membership needs nobody's leave.
    pub(super) fn check_people(&self, delivery: &Delivery) -> Result<(), Failed> {
        let Some(people) = &self.people else {
            return Ok(());
        };
        let user = delivery.act_as.as_str();
        let allowed = match &delivery.action {
            Some(Action::Create(create)) => match self.place_of(create.parent.as_ref()) {
                Some(parent) => self.rights(user, &parent).write,
                None => true,
            },
            Some(Action::Update(update)) => self.rights(user, &update.node_id).write,
            Some(Action::Delete(delete)) => self.rights(user, &delete.node_id).delete,
            Some(Action::Release(_)) | None => return Ok(()),
        };
        people.check(user, allowed)
    }

    /// Why a folder may not be made as an account; the agent's own may everything.
    pub(super) fn check_creator(&self, user: &str, parent: &str) -> Result<(), Failed> {
        match &self.people {
            Some(people) if !user.is_empty() => people.check(user, self.rights(user, parent).write),
            _ => Ok(()),
        }
    }

    fn place_of(&self, place: Option<&Place>) -> Option<String> {
        match place?.folder.as_ref()? {
            Folder::NodeId(node_id) => Some(node_id.clone()),
            Folder::MemberId(member_id) => self.marked(member_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{CreateNode, NodeKind, Outcome, Projection, outcome::Answer};

    use super::*;
    use crate::agent::memory::{ROOT, Rules};

    fn tree() -> (MemoryTree, String) {
        let mut tree = MemoryTree::new("n", Rules::default());
        let folder = tree.create_folder(ROOT, "contracts").unwrap();
        tree.people = Some(People::default());
        (tree, folder)
    }

    fn people(tree: &mut MemoryTree) -> &mut People {
        tree.people.as_mut().unwrap()
    }

    /// What comes of making a folder in another one as somebody.
    fn made_by(tree: &mut MemoryTree, folder: &str, act_as: &str) -> Option<FailureReason> {
        let projection = Projection {
            kind: NodeKind::Folder.into(),
            name: format!("of {act_as}"),
            ..Projection::default()
        };
        let create = CreateNode {
            parent: Some(Place {
                folder: Some(Folder::NodeId(folder.to_owned())),
            }),
            projection: Some(projection),
            locked: false,
        };
        let delivery = Delivery {
            id: Some(tandem_proto::v1::DeliveryId {
                member_id: act_as.as_bytes().to_vec().into(),
                source_version: 1,
            }),
            action: Some(Action::Create(create)),
            act_as: act_as.to_owned(),
            ..Delivery::default()
        };
        match tree.apply_delivery(&delivery, None) {
            Outcome {
                answer: Some(Answer::Failed(failed)),
                ..
            } => Some(failed.reason()),
            _ => None,
        }
    }

    #[test]
    fn r_idn_1_an_account_works_while_its_credential_is_the_one_that_the_agent_keeps() {
        let (mut tree, folder) = tree();
        people(&mut tree).add_account("alice", "first");
        let wrong = Some(FailureReason::AuthenticationError);
        assert_eq!(made_by(&mut tree, &folder, "alice"), wrong);
        assert!(people(&mut tree).verify("alice", "other").is_err());
        assert!(people(&mut tree).verify("bob", "first").is_err());
        people(&mut tree).verify("alice", "first").unwrap();
        assert_eq!(made_by(&mut tree, &folder, "alice"), None);
        people(&mut tree).add_account("alice", "second");
        assert_eq!(made_by(&mut tree, &folder, "alice"), wrong);
        people(&mut tree).allow("alice", &folder, Rights::READ);
        people(&mut tree).verify("alice", "second").unwrap();
        let denied = Some(FailureReason::TargetNodeAccessDenied);
        assert_eq!(made_by(&mut tree, &folder, "alice"), denied);
    }

    #[test]
    fn r_idn_1_a_folder_is_made_as_the_account_that_is_named() {
        let (mut tree, folder) = tree();
        people(&mut tree).add_account("alice", "first");
        let reason = |tree: &MemoryTree, user: &str| {
            let checked = tree.check_creator(user, &folder);
            checked.err().map(|failed| failed.reason())
        };
        let unknown = Some(FailureReason::AuthenticationError);
        assert_eq!(reason(&tree, "alice"), unknown);
        people(&mut tree).verify("alice", "first").unwrap();
        assert_eq!(reason(&tree, "alice"), None);
        assert_eq!(reason(&tree, ""), None, "the agent's own");
        people(&mut tree).allow("alice", &folder, Rights::READ);
        let denied = Some(FailureReason::TargetNodeAccessDenied);
        assert_eq!(reason(&tree, "alice"), denied);
        let made = tree.create_folder_as("alice", &folder, "hers").unwrap();
        assert_eq!(tree.observation(&made).actor, "alice");
    }

    #[test]
    fn r_idn_2_rights_hold_for_what_is_below_and_users_who_left_have_none() {
        let (mut tree, folder) = tree();
        let inner = tree.create_folder(&folder, "inner").unwrap();
        people(&mut tree).add_user("bob");
        people(&mut tree).allow("bob", &folder, Rights::READ);
        let ids = [ROOT.to_owned(), inner.clone(), "nowhere".to_owned()];
        let may = |tree: &MemoryTree, user: &str| -> Vec<(bool, bool, bool)> {
            let infos = tree.access(user, &ids).into_iter();
            infos
                .map(|info| (info.read, info.write, info.delete))
                .collect()
        };
        let (all, none) = ((true, true, true), (false, false, false));
        assert_eq!(may(&tree, "bob"), [all, (true, false, false), none]);
        let denied = Some(FailureReason::SourceNodeAccessDenied);
        assert_eq!(made_by(&mut tree, &inner, "bob"), denied);
        people(&mut tree).allow("bob", &inner, Rights::ALL);
        assert_eq!(made_by(&mut tree, &inner, "bob"), None);
        people(&mut tree).remove("bob");
        assert_eq!(may(&tree, "bob"), [none; 3]);
        let gone = Some(FailureReason::OwnerNotFound);
        assert_eq!(made_by(&mut tree, &inner, "bob"), gone);
    }
}
