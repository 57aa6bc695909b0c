//! R-SET-2 to R-SET-5.

use uuid::Uuid;

use crate::domain::access::{Role, Side};
use crate::domain::ids::NodeId;
use crate::domain::member::MemberState;
use crate::domain::policy::NameClashPolicy;
use crate::domain::projection::NodeKind;
use crate::domain::report::NodeTrait;
use crate::domain::sync_set::{Options, SetKind};
use crate::service::Error;
use crate::service::command::{Command, NodeInfo, Reply};
use crate::service::create_set::NewSet;
use crate::service::error::{TargetFault, trait_name};
use crate::service::nodes::NodeChoice;
use crate::service::sync_sets::SetState;
use crate::service::testing::{ALICE, Fixture, NOW, folder, new_set, one};
use crate::storage::sql;

#[tokio::test]
async fn r_set_3_a_set_is_made_of_what_both_agents_know() {
    let fixture = Fixture::new().await;
    let asked_for = |node: &'static str| {
        move |command: Command| {
            let asked = Command::ResolveNodes {
                nodes: vec![NodeId("docs".to_owned())],
                paths: Vec::new(),
            };
            let by_path = Command::ResolveNodes {
                nodes: Vec::new(),
                paths: vec!["inbox".to_owned()],
            };
            assert!(command == asked || command == by_path);
            one(folder(node))
        }
    };
    fixture.agent(Side::OnPremise, asked_for("docs"));
    fixture.agent(Side::Cloud, asked_for("inbox"));
    let made = fixture.alice().await.create_set(&new_set()).await.unwrap();
    assert!(made.skipped.is_empty());
    let made = made.set;
    assert_eq!(made.nodes, [NodeId("docs".to_owned())]);
    assert_eq!(made.set.kind, SetKind::Folder);
    assert_eq!(made.set.target, NodeId("inbox".to_owned()));
    assert_eq!(made.set.owner, ALICE);
    assert_eq!(made.set.counters.members, 1);
    assert_eq!(made.repositories.cloud, "cloud");
    assert!(made.scanning);
    assert_eq!(made.state(), SetState::Pending);
    assert_eq!(
        fixture.alice().await.sync_set(made.set.id).await.unwrap(),
        made
    );
}

#[tokio::test]
async fn r_set_3_a_repeated_request_returns_the_same_set_even_without_agents() {
    let fixture = Fixture::new().await;
    fixture.agents();
    let alice = fixture.alice().await;
    let new = NewSet {
        request_id: Some(Uuid::now_v7()),
        ..new_set()
    };
    let made = alice.create_set(&new).await.unwrap();
    fixture.coordinator.sessions.leave(fixture.hq.id, 1);
    fixture.coordinator.sessions.leave(fixture.cloud.id, 1);
    let again = alice.create_set(&new).await.unwrap();
    assert_eq!(made.set, again.set);
    assert_eq!(alice.sync_sets(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn r_set_4_each_node_that_cannot_be_synced_is_refused_for_its_own_reason() {
    let fixture = Fixture::new().await;
    fixture.agents();
    let refused = async |change: fn(&mut NodeInfo)| {
        fixture.agent(Side::OnPremise, move |_| {
            let mut info = folder("docs");
            change(&mut info);
            one(info)
        });
        fixture
            .alice()
            .await
            .create_set(&new_set())
            .await
            .unwrap_err()
    };
    let missing = refused(|info| info.missing = true).await;
    assert!(matches!(missing, Error::NodeNotFound { node } if node == "docs"));
    let root = refused(|info| info.library_root = true).await;
    assert!(matches!(root, Error::LibraryRoot { .. }));
    let outside = refused(|info| info.in_library = false).await;
    assert!(matches!(outside, Error::OutsideLibrary { .. }));
    let traits = [
        refused(|info| info.node_trait = NodeTrait::WorkingCopy).await,
        refused(|info| info.node_trait = NodeTrait::Record).await,
        refused(|info| info.node_trait = NodeTrait::SmartFolder).await,
        refused(|info| info.node_trait = NodeTrait::Link).await,
        refused(|info| info.node_trait = NodeTrait::Special).await,
    ];
    let told = traits.each_ref().map(|error| match error {
        Error::NodeNotEligible { node_trait, .. } => trait_name(*node_trait),
        other => panic!("{other:?}"),
    });
    let names = ["WORKING_COPY", "RECORD", "SMART_FOLDER", "LINK", "SPECIAL"];
    assert_eq!(told, names);
    let locked = refused(|info| info.writable = false).await;
    assert!(matches!(locked, Error::NodeNotWritable { .. }));
    let another = refused(|info| info.node = NodeId("other".to_owned())).await;
    assert!(matches!(another, Error::Internal { .. }));
    let traversal = refused(|info| info.name = "..".to_owned()).await;
    assert!(matches!(traversal, Error::Internal { .. }));
    assert!(
        fixture
            .alice()
            .await
            .sync_sets(None, 1)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn r_set_4_a_target_that_is_not_usable_is_refused() {
    let fixture = Fixture::new().await;
    fixture.agents();
    let refused = async |change: fn(&mut NodeInfo)| {
        fixture.agent(Side::Cloud, move |_| {
            let mut info = folder("inbox");
            change(&mut info);
            one(info)
        });
        let refused = fixture.alice().await.create_set(&new_set()).await;
        match refused {
            Err(Error::TargetNotUsable { node, fault }) if node == "inbox" => fault,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        [
            refused(|info| info.missing = true).await,
            refused(|info| info.kind = NodeKind::Document).await,
            refused(|info| info.writable = false).await,
            refused(|info| info.node_trait = NodeTrait::SmartFolder).await,
        ],
        [
            TargetFault::Missing,
            TargetFault::NotAFolder,
            TargetFault::NotWritable,
            TargetFault::Special(NodeTrait::SmartFolder),
        ]
    );
    fixture.synced(Options::default(), &[]).await;
    fixture.agent(Side::OnPremise, |_| one(folder("docs")));
    let docs = fixture.alice().await.create_set(&new_set()).await;
    assert!(matches!(docs, Err(Error::AlreadySynced { .. })));
    fixture.agent(Side::OnPremise, |_| one(folder("plans")));
    fixture.agent(Side::Cloud, |_| one(folder("c:docs")));
    let mut into_a_member = new_set();
    into_a_member.definition.nodes = vec![NodeChoice::Path("plans".to_owned())];
    let refused = fixture.alice().await.create_set(&into_a_member).await;
    let fault = TargetFault::AlreadySynced;
    assert!(matches!(refused, Err(Error::TargetNotUsable { fault: found, .. }) if found == fault));
}

#[tokio::test]
async fn r_set_4_the_library_itself_may_be_the_target() {
    let fixture = Fixture::new().await;
    fixture.agents();
    fixture.agent(Side::Cloud, |_| {
        let mut info = folder("inbox");
        info.library_root = true;
        one(info)
    });
    fixture.alice().await.create_set(&new_set()).await.unwrap();
}

#[tokio::test]
async fn r_set_4_agents_must_be_there_and_answer() {
    let fixture = Fixture::new().await;
    let alice = fixture.alice().await;
    let offline = alice.create_set(&new_set()).await.unwrap_err();
    assert!(
        matches!(offline, Error::AgentOffline { repository } if repository == "networks/acme/repositories/hq")
    );
    fixture.agents();
    fixture.agent(Side::OnPremise, |_| {
        Some(Reply::Refused("the disk is away".to_owned()))
    });
    let refused = alice.create_set(&new_set()).await.unwrap_err();
    assert!(
        matches!(refused, Error::InvalidField { rule, .. } if rule.contains("the disk is away"))
    );
    fixture.agent(Side::OnPremise, |_| Some(Reply::Nodes(Vec::new(), false)));
    let nothing = alice.create_set(&new_set()).await.unwrap_err();
    assert!(matches!(nothing, Error::Internal { .. }));
}

#[tokio::test]
async fn r_set_5_of_two_concurrent_creations_exactly_one_wins() {
    let fixture = Fixture::new().await;
    fixture.agents();
    let alice = fixture.alice().await;
    let new = new_set();
    let (one, other) = tokio::join!(alice.create_set(&new), alice.create_set(&new));
    assert!(one.is_ok() != other.is_ok());
    assert_eq!(alice.sync_sets(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn r_set_2_options_that_contradict_each_other_are_refused() {
    let fixture = Fixture::new().await;
    fixture.agents();
    let alice = fixture.alice().await;
    let bad = [
        (
            Options {
                delete_on_premise: true,
                allow_delete_on_cloud: false,
                ..Options::default()
            },
            "definition.options.delete_on_premise",
        ),
        (
            Options {
                max_delete_percent: 0,
                ..Options::default()
            },
            "definition.options.max_delete_percent",
        ),
        (
            Options {
                max_delete_percent: 101,
                ..Options::default()
            },
            "definition.options.max_delete_percent",
        ),
        (
            Options {
                lock_on_premise_copy: true,
                ..Options::default()
            },
            "definition.options.lock_on_premise_copy",
        ),
    ];
    for (options, expected) in bad {
        let mut new = new_set();
        new.definition.options = options;
        let refused = alice.create_set(&new).await.unwrap_err();
        assert!(
            matches!(&refused, Error::InvalidField { field, .. } if field == expected),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn paths_and_ids_are_checked_before_an_agent_sees_them() {
    let fixture = Fixture::new().await;
    let alice = fixture.alice().await;
    let long = "x/".repeat(3_000);
    let bad = ["..", "a/../b", "/a", "a/", "a//b", "a\0", long.as_str()];
    let paths = bad.map(|path| NodeChoice::Path(path.to_owned()));
    let ids = ["".to_owned(), "x".repeat(256)].map(|id| NodeChoice::Id(NodeId(id)));
    for node in paths.into_iter().chain(ids) {
        let mut new = new_set();
        new.definition.nodes = vec![node];
        let refused = alice.create_set(&new).await.unwrap_err();
        assert!(matches!(refused, Error::InvalidField { .. }), "{new:?}");
    }
}

#[tokio::test]
async fn only_admins_make_sets_for_others_and_viewers_make_none() {
    let fixture = Fixture::new().await;
    fixture.agents();
    let for_bob = NewSet {
        owner: Some("bob".to_owned()),
        ..new_set()
    };
    let refused = fixture.alice().await.create_set(&for_bob).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    let viewer = fixture.user("eve", Role::Viewer).await;
    let refused = viewer.create_set(&new_set()).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    let admin = fixture.user("root", Role::Admin).await;
    let long = NewSet {
        owner: Some("x".repeat(256)),
        ..new_set()
    };
    let refused = admin.create_set(&long).await;
    assert!(matches!(refused, Err(Error::InvalidField { .. })));
    let made = admin.create_set(&for_bob).await.unwrap();
    assert_eq!(made.set.set.owner, "bob");
}

#[tokio::test]
async fn r_set_4_a_network_that_may_not_sync_and_a_repository_of_the_wrong_side_are_refused() {
    let fixture = Fixture::new().await;
    fixture.agents();
    let alice = fixture.alice().await;
    let mut swapped = new_set();
    swapped.definition.repositories.cloud = "hq".to_owned();
    let refused = alice.create_set(&swapped).await;
    assert!(matches!(refused, Err(Error::InvalidField { .. })));
    swapped.definition.repositories.cloud = "none".to_owned();
    let refused = alice.create_set(&swapped).await;
    assert!(matches!(refused, Err(Error::RepositoryNotFound { .. })));
    let store = &fixture.test.store;
    let text = "UPDATE network SET enabled = 0";
    let off = store.write(|tx| async move { sql::execute(&*tx, text, []).await });
    off.await.unwrap();
    let refused = alice.create_set(&new_set()).await;
    assert!(matches!(refused, Err(Error::NetworkNotEnabled { .. })));
}

#[test]
fn a_set_tells_when_it_was_made() {
    let made = crate::service::sync_sets::created_at(Uuid::now_v7()).unwrap();
    assert!(made > 1_700_000_000_000_000 && NOW > 0);
}

#[tokio::test]
async fn r_rec_9_an_unsynced_folder_of_that_name_in_the_target_is_adopted_where_the_set_says_so() {
    let adopts = Options {
        name_clash_policy: NameClashPolicy::AdoptIdentical,
        ..Options::default()
    };
    for (options, peer) in [(Options::default(), None), (adopts, Some("there"))] {
        let fixture = Fixture::new().await;
        fixture.agent(Side::OnPremise, |_| one(folder("docs")));
        fixture.agent(Side::Cloud, |command| match command {
            Command::ResolveNodes { paths, .. } if paths == ["inbox/docs"] => one(NodeInfo {
                node: NodeId("there".to_owned()),
                ..folder("docs")
            }),
            _ => one(folder("inbox")),
        });
        let mut new = new_set();
        new.definition.options = options;
        let alice = fixture.alice().await;
        let made = alice.create_set(&new).await.unwrap().set;
        let root = alice.member(made.set.id, made.set.root).await.unwrap();
        let cloud = root.copies.cloud.map(|copy| copy.copy.node.0);
        assert_eq!(cloud.as_deref(), peer);
        let synced = root.member.state == MemberState::Synced;
        assert_eq!(synced, peer.is_some(), "both copies are there");
    }
}
