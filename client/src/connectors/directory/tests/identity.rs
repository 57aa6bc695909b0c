//! Which node a file is (SPEC §1, `node_id`).

use std::{ffi::OsStr, fs, process::Command};

use super::{
    super::{os, reading::TAG},
    *,
};

fn tag_of(path: &Path) -> Option<String> {
    let file = fs::File::open(path).expect("it opens");
    let tag = os::attribute(&file, OsStr::new(TAG)).expect("it reads");
    tag.map(|tag| String::from_utf8(tag).expect("a text"))
}

#[tokio::test]
async fn a_file_that_vim_saves_stays_its_node() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let id = fixture.id("a").await;
    fixture.scan(100).await;
    fs::rename(fixture.path("a"), fixture.path("a~")).expect("vim keeps the old one");
    fixture.write("a", "two");
    fs::remove_file(fixture.path("a~")).expect("vim removes it");
    let seen = fixture.told().await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(text(&seen[&id]), "two");
    assert_eq!(tag_of(&fixture.path("a")), Some(id));
}

#[tokio::test]
async fn a_file_that_office_saves_stays_its_node() {
    let fixture = Fixture::with(|root| fs::write(root.join("a.docx"), "one").expect("a")).await;
    let id = fixture.id("a.docx").await;
    fixture.scan(100).await;
    fixture.write("~WRD0000.tmp", "two");
    fs::rename(fixture.path("a.docx"), fixture.path("~WRL0001.tmp")).expect("away");
    fs::rename(fixture.path("~WRD0000.tmp"), fixture.path("a.docx")).expect("in");
    fs::remove_file(fixture.path("~WRL0001.tmp")).expect("gone");
    let seen = fixture.told().await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(text(&seen[&id]), "two");
}

#[tokio::test]
async fn properties_survive_a_save_that_puts_a_new_file_in_place() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let id = fixture.id("a").await;
    let file = fs::File::open(fixture.path("a")).expect("a");
    os::set_attribute(&file, OsStr::new("user.tandem.p.cm:title"), b"text:T").expect("title");
    fixture.scan(100).await;
    fixture.write("b", "two");
    fs::rename(fixture.path("b"), fixture.path("a")).expect("a save");
    let seen = fixture.told().await;
    let saved = present(&seen[&id]);
    assert_eq!(saved.properties.len(), 1, "{saved:?}");
    assert_eq!(saved.properties[0].name, "cm:title");
}

#[tokio::test]
async fn renames_and_swaps_while_the_agent_is_down_are_seen_as_such() {
    let mut fixture = Fixture::with(|root| {
        fs::create_dir(root.join("x")).expect("x");
        fs::create_dir(root.join("y")).expect("y");
        for name in ["x/a", "x/b", "x/c"] {
            fs::write(root.join(name), name).expect("a file");
        }
    })
    .await;
    fixture.scan(100).await;
    let (a, b, c) = (
        fixture.id("x/a").await,
        fixture.id("x/b").await,
        fixture.id("x/c").await,
    );
    let (x, y) = (fixture.id("x").await, fixture.id("y").await);
    fixture.close();
    fs::rename(fixture.path("x/a"), fixture.path("x/t")).expect("swap");
    fs::rename(fixture.path("x/b"), fixture.path("x/a")).expect("swap");
    fs::rename(fixture.path("x/t"), fixture.path("x/b")).expect("swap");
    fs::rename(fixture.path("x/c"), fixture.path("y/d")).expect("move");
    fs::rename(fixture.path("x"), fixture.path("z")).expect("the folder too");
    fixture.open().await;
    let seen = fixture.told().await;
    assert_eq!(name(&seen[&a]), "b");
    assert_eq!(name(&seen[&b]), "a");
    assert_eq!((name(&seen[&c]), &seen[&c].parent_node_id), ("d", &y));
    assert_eq!(name(&seen[&x]), "z");
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[tokio::test]
async fn folders_turned_inside_out_are_moves() {
    let mut fixture = Fixture::with(|root| {
        fs::create_dir_all(root.join("a/b")).expect("a/b");
        fs::write(root.join("a/b/f"), "f").expect("f");
    })
    .await;
    fixture.scan(100).await;
    let (a, b, f) = (
        fixture.id("a").await,
        fixture.id("a/b").await,
        fixture.id("a/b/f").await,
    );
    for while_down in [true, false] {
        if while_down {
            fixture.close();
        }
        let (outer, inner) = if while_down { ("a", "b") } else { ("b", "a") };
        fs::rename(fixture.path(&format!("{outer}/{inner}")), fixture.path("t")).expect("out");
        fs::rename(fixture.path(outer), fixture.path(&format!("t/{outer}"))).expect("under");
        fs::rename(fixture.path("t"), fixture.path(inner)).expect("named");
        if while_down {
            fixture.open().await;
        }
        let seen = fixture.told().await;
        let (above, below) = if while_down { (&b, &a) } else { (&a, &b) };
        assert_eq!(seen[above].parent_node_id, fixture.root);
        assert_eq!(&seen[below].parent_node_id, above);
        assert!(!seen.contains_key(&f), "{seen:?}");
    }
}

#[tokio::test]
async fn a_copy_with_all_attributes_is_a_new_node() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let id = fixture.id("a").await;
    fixture.scan(100).await;
    let copied = Command::new("cp")
        .arg("-a")
        .args([fixture.path("a"), fixture.path("b")])
        .status();
    assert!(copied.expect("cp runs").success());
    let seen = fixture.told().await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    let copy = seen.values().next().expect("the copy");
    assert_eq!(name(copy), "b");
    assert_ne!(copy.node_id, id);
    assert_eq!(tag_of(&fixture.path("a")), Some(id));
    assert_eq!(tag_of(&fixture.path("b")), Some(copy.node_id.clone()));
}

#[tokio::test]
async fn a_reused_inode_is_another_node() {
    let mut fixture = Fixture::new().await;
    fixture.write("a", "one");
    let first = fixture.changes().await.remove(0);
    fixture.close();
    let before = os::stat_path(&fixture.path("a")).expect("a").inode;
    fs::remove_file(fixture.path("a")).expect("removed");
    // Other names, so that neither place nor attribute speaks for the old node; one of them gets its inode.
    for number in 0..64 {
        fixture.write(&format!("new-{number}"), "two");
    }
    let reused = (0..64).any(|number| {
        let stat = os::stat_path(&fixture.path(&format!("new-{number}"))).expect("new");
        stat.inode.number == before.number && stat.inode.born != before.born
    });
    fixture.open().await;
    let seen = fixture.until(|seen| seen.len() >= 65).await;
    assert_eq!(absent(&seen[&first.node_id]), Some(AbsenceKind::Deleted));
    assert_eq!(seen.len(), 65, "an inode was used again: {reused}");
}

#[tokio::test]
async fn r_agt_10_ids_come_back_from_the_files_when_the_index_is_gone() {
    let mut fixture = Fixture::with(|root| {
        fs::create_dir(root.join("x")).expect("x");
        fs::write(root.join("x/a"), "a").expect("a");
    })
    .await;
    let before = fixture.scan(100).await;
    let described = fixture.directory().description();
    fixture.close();
    let moved = fixture.home.path().join("restored");
    let copied = Command::new("cp")
        .arg("-a")
        .args([fixture.path(""), moved.clone()])
        .status();
    assert!(copied.expect("cp runs").success());
    fs::remove_dir_all(fixture.path("")).expect("the old tree goes");
    fs::rename(moved, fixture.path("")).expect("the copy takes its place");
    fs::remove_dir_all(fixture.home.path().join("state")).expect("the index goes");
    fixture.open().await;
    let after = fixture.scan(100).await;
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    for (id, node) in &before {
        assert_eq!(node.revision, after[id].revision);
    }
    let now = fixture.directory().description();
    assert_eq!(described.installation_id, now.installation_id);
    assert_ne!(described.index_id, now.index_id);
}

#[tokio::test]
async fn hard_links_are_nodes_of_their_own() {
    let fixture = Fixture::with(|root| fs::write(root.join("a"), "one").expect("a")).await;
    let id = fixture.id("a").await;
    fixture.scan(100).await;
    fs::hard_link(fixture.path("a"), fixture.path("b")).expect("linked");
    let seen = fixture.told().await;
    let link = seen.values().find(|change| name(change) == "b").expect("b");
    assert_ne!(link.node_id, id);
    assert!(seen.get(&id).is_none_or(|a| name(a) == "a"), "{seen:?}");
}
