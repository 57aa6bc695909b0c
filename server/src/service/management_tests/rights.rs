//! Rights of users on nodes, as the agent tells them (R-IDN-2).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::domain::access::{Role, Side};
use crate::domain::ids::{MemberId, NodeId};
use crate::domain::projection::NodeKind;
use crate::domain::sync_set::Options;
use crate::service::clock::SECOND;
use crate::service::command::{Access, Command, NewFolder, NodeInfo, Reply};
use crate::service::nodes::NodeChoice;
use crate::service::sync_sets::SetView;
use crate::service::testing::{Fixture, folder, new_set, one, repository_of};
use crate::service::{Error, UserScope};

use super::accounts::new_link;

const READ: Access = Access {
    read: true,
    write: false,
    delete: false,
};
const WRITE: Access = Access {
    read: true,
    write: true,
    delete: false,
};
const ALL: Access = Access {
    read: true,
    write: true,
    delete: true,
};
const NONE: Access = Access {
    read: false,
    write: false,
    delete: false,
};

/// What users may do, and how often an agent was asked.
#[derive(Default)]
struct Told {
    rights: BTreeMap<(String, String), Access>,
    questions: usize,
}

/// The rights of an agent's users.
#[derive(Clone, Default)]
struct People(Arc<Mutex<Told>>);

impl People {
    fn allow(&self, user: &str, node: &str, access: Access) {
        let place = (user.to_owned(), node.to_owned());
        self.0.lock().unwrap().rights.insert(place, access);
    }

    fn questions(&self) -> usize {
        self.0.lock().unwrap().questions
    }

    fn answer(&self, user: &str, nodes: Vec<NodeId>) -> Reply {
        let mut told = self.0.lock().unwrap();
        told.questions += 1;
        let access = |node: NodeId| {
            let place = (user.to_owned(), node.0.clone());
            let access = told.rights.get(&place).copied().unwrap_or(NONE);
            (node, access)
        };
        Reply::Access(nodes.into_iter().map(access).collect())
    }
}

/// A repository with users and these nodes.
async fn with_users(fixture: &Fixture, side: Side, nodes: &[NodeInfo]) -> People {
    fixture.declare_users(side).await;
    let (people, repository) = (People::default(), repository_of(nodes));
    let telling = people.clone();
    fixture.agent(side, move |command| match command {
        Command::CheckAccess { user, nodes } => Some(telling.answer(&user, nodes)),
        other => repository(other),
    });
    people
}

fn document(name: &str) -> NodeInfo {
    NodeInfo {
        kind: NodeKind::Document,
        ..folder(name)
    }
}

/// Alice's set of `docs`, in a repository that gets users afterwards.
async fn shared(fixture: &Fixture) -> (SetView, People) {
    let view = fixture.synced(Options::default(), &["a"]).await;
    let nodes = [folder("docs"), document("a")];
    (view, with_users(fixture, Side::OnPremise, &nodes).await)
}

async fn requests(scope: &UserScope, set: &SetView, named: &[MemberId]) -> Result<i64, Error> {
    scope.request_sync(set.set.id, named).await
}

#[tokio::test]
async fn r_idn_2_only_who_may_write_a_node_makes_it_a_set() {
    let fixture = Fixture::new().await;
    let nodes = [folder("docs"), document("a"), document("b")];
    let people = with_users(&fixture, Side::OnPremise, &nodes).await;
    fixture.agent(Side::Cloud, repository_of(&[folder("inbox")]));
    let alice = fixture.alice().await;
    let mut new = new_set();
    let unseen = alice.create_set(&new).await;
    assert!(
        matches!(unseen, Err(Error::NodeNotFound { .. })),
        "may not even know of it"
    );
    fixture.coordinator.clock.advance(60 * SECOND);
    people.allow("alice", "docs", READ);
    let refused = alice.create_set(&new).await;
    assert!(
        matches!(refused, Err(Error::NodeNotWritable { .. })),
        "{refused:?}"
    );
    people.allow("alice", "a", WRITE);
    people.allow("alice", "b", READ);
    let choice = |node: &str| NodeChoice::Id(NodeId(node.to_owned()));
    new.definition.nodes = vec![choice("a"), choice("b")];
    let made = alice.create_set(&new).await.unwrap();
    assert_eq!(made.set.nodes, [NodeId("a".to_owned())]);
    let skipped: Vec<_> = made
        .skipped
        .iter()
        .map(|one| (&*one.node, &*one.reason))
        .collect();
    assert_eq!(skipped, [("b", "you may not write it")]);
    let admin = fixture.user("root", Role::Admin).await;
    people.allow("bob", "docs", WRITE);
    new.definition.nodes = vec![choice("docs")];
    new.owner = Some("bob".to_owned());
    let made = admin.create_set(&new).await.unwrap();
    assert_eq!(made.set.set.owner, "bob", "the owner's rights count");
}

#[tokio::test]
async fn r_idn_2_the_linked_account_must_be_able_to_write_the_target() {
    let fixture = Fixture::new().await;
    fixture.agent(Side::OnPremise, repository_of(&[folder("docs")]));
    let nodes = [folder("inbox"), folder("secret"), folder("shown")];
    let people = with_users(&fixture, Side::Cloud, &nodes).await;
    let alice = fixture.alice().await;
    alice.link_account(new_link("")).await.unwrap();
    people.allow("alice@cloud", "inbox", READ);
    people.allow("alice@cloud", "shown", READ);
    let refused = alice.create_set(&new_set()).await;
    assert!(
        matches!(refused, Err(Error::TargetNotUsable { .. })),
        "{refused:?}"
    );
    let inbox = NodeChoice::Path("inbox".to_owned());
    let making = NewFolder {
        name: "March".to_owned(),
        ..NewFolder::default()
    };
    let refused = alice.create_folder("cloud", &inbox, &making, None).await;
    assert!(
        matches!(refused, Err(Error::TargetNotUsable { .. })),
        "{refused:?}"
    );
    fixture.coordinator.clock.advance(60 * SECOND);
    people.allow("alice@cloud", "inbox", WRITE);
    alice.create_set(&new_set()).await.unwrap();
}

#[tokio::test]
async fn r_idn_1_a_target_folder_is_made_as_the_linked_account() {
    let fixture = Fixture::new().await;
    fixture.agent(Side::OnPremise, repository_of(&[folder("docs")]));
    fixture.declare_users(Side::Cloud).await;
    let (people, makers) = (People::default(), Arc::new(Mutex::new(Vec::new())));
    let (telling, making) = (people.clone(), makers.clone());
    let repository = repository_of(&[folder("inbox"), folder("March")]);
    fixture.agent(Side::Cloud, move |command| match command {
        Command::CheckAccess { user, nodes } => Some(telling.answer(&user, nodes)),
        Command::CreateFolder {
            folder: new,
            act_as,
            ..
        } => {
            making.lock().unwrap().push(act_as);
            one(folder(&new.name))
        }
        other => repository(other),
    });
    let alice = fixture.alice().await;
    alice.link_account(new_link("")).await.unwrap();
    people.allow("alice@cloud", "inbox", WRITE);
    people.allow("alice@cloud", "March", WRITE);
    let inbox = NodeChoice::Path("inbox".to_owned());
    let march = NewFolder {
        name: "March".to_owned(),
        ..NewFolder::default()
    };
    let made = alice.create_folder("cloud", &inbox, &march, None).await;
    made.unwrap();
    let mut new = new_set();
    new.definition.new_folder = Some(march);
    alice.create_set(&new).await.unwrap();
    assert_eq!(*makers.lock().unwrap(), ["alice@cloud"; 2]);
}

#[tokio::test]
async fn r_idn_2_request_sync_needs_read_on_the_node() {
    let fixture = Fixture::new().await;
    let (set, people) = shared(&fixture).await;
    let member = fixture.member_named(&set, "a").await;
    let bob = fixture.user("bob", Role::User).await;
    assert!(matches!(
        requests(&bob, &set, &[]).await,
        Err(Error::NotAllowed)
    ));
    assert!(matches!(
        requests(&bob, &set, &[member]).await,
        Err(Error::NotAllowed)
    ));
    let asked = people.questions();
    requests(&bob, &set, &[]).await.unwrap_err();
    assert_eq!(people.questions(), asked, "kept for a minute");
    people.allow("bob", "a", READ);
    fixture.coordinator.clock.advance(60 * SECOND);
    requests(&bob, &set, &[member]).await.unwrap();
    assert!(
        matches!(requests(&bob, &set, &[]).await, Err(Error::NotAllowed)),
        "not the folder"
    );
    let owner = fixture.alice().await;
    assert!(
        matches!(requests(&owner, &set, &[]).await, Err(Error::NotAllowed)),
        "nor its owner"
    );
    let admin = fixture.user("root", Role::Admin).await;
    requests(&admin, &set, &[]).await.unwrap();
}

#[tokio::test]
async fn r_idn_2_unsync_needs_delete_on_the_node_whoever_owns_the_set() {
    let fixture = Fixture::new().await;
    let (set, people) = shared(&fixture).await;
    let id = set.set.id;
    let (alice, bob) = (fixture.alice().await, fixture.user("bob", Role::User).await);
    people.allow("alice", "docs", WRITE);
    people.allow("bob", "docs", WRITE);
    for scope in [&alice, &bob] {
        let refused = scope.unsync_set(id, false).await;
        assert!(matches!(refused, Err(Error::NotAllowed)), "{refused:?}");
    }
    people.allow("bob", "docs", ALL);
    fixture.coordinator.clock.advance(60 * SECOND);
    let viewer = fixture.user("bob", Role::Viewer).await;
    let refused = viewer.unsync_set(id, false).await;
    assert!(matches!(refused, Err(Error::NotAllowed)), "{refused:?}");
    bob.unsync_set(id, false).await.unwrap();
}

#[tokio::test]
async fn r_idn_2_while_the_agent_is_away_only_the_owner_and_admins_pass() {
    let fixture = Fixture::new().await;
    let (set, people) = shared(&fixture).await;
    let (alice, bob) = (fixture.alice().await, fixture.user("bob", Role::User).await);
    people.allow("bob", "docs", ALL);
    requests(&bob, &set, &[]).await.unwrap();
    fixture.coordinator.sessions.leave(fixture.hq.id, 1);
    let asked = people.questions();
    let refused = requests(&bob, &set, &[]).await;
    assert!(
        matches!(refused, Err(Error::NotAllowed)),
        "what was told before does not count"
    );
    let refused = bob.unsync_set(set.set.id, false).await;
    assert!(matches!(refused, Err(Error::NotAllowed)), "{refused:?}");
    requests(&alice, &set, &[]).await.unwrap();
    let admin = fixture.user("root", Role::Admin).await;
    requests(&admin, &set, &[]).await.unwrap();
    alice.unsync_set(set.set.id, false).await.unwrap();
    assert_eq!(people.questions(), asked);
}

#[tokio::test]
async fn r_idn_2_whom_the_agent_does_not_know_is_told_so_and_admins_pass() {
    let fixture = Fixture::new().await;
    let (set, _) = shared(&fixture).await;
    fixture.agent(Side::OnPremise, |command| match command {
        Command::CheckAccess { user, .. } => Some(Reply::Refused(format!("{user} is nobody"))),
        _ => None,
    });
    let alice = fixture.alice().await;
    let refused = requests(&alice, &set, &[]).await;
    let told = matches!(&refused, Err(Error::InvalidField { rule, .. })
        if rule.ends_with("alice is nobody"));
    assert!(told, "{refused:?}");
    let admin = fixture.user("root", Role::Admin).await;
    requests(&admin, &set, &[]).await.unwrap();
    admin.unsync_set(set.set.id, false).await.unwrap();
}
