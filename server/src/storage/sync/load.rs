//! Loads the rows that the engine asks for: one statement for each kind of need, however many there are.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sea_orm::ConnectionTrait;

use super::super::{Error, sql};
use super::rows::json;
use super::{late, read};
use crate::domain::copy::Copy;
use crate::domain::ids::{MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use crate::domain::limits::TRANSACTION_ROWS_MAX;
use crate::domain::member::Obstacle;
use crate::domain::names::NameRule;
use crate::domain::projection::Side;
use crate::domain::repository::{KeptProperties, Repository};
use crate::domain::view::{CopyKey, Loaded, NameKey, Need, ObstacleKey};

type Text = LazyLock<String>;

// `INDEXED BY`: without statistics SQLite takes the primary key for places, and reads the whole repository.
static COPIES: Text = LazyLock::new(|| {
    format!(
        "SELECT {} FROM json_each(?) j CROSS JOIN copy c \
         ON c.repository = CAST(j.value->>0 AS BIGINT) AND c.node = j.value->>1",
        read::COPY
    )
});
static MEMBERS: Text = LazyLock::new(|| {
    format!(
        "SELECT {} FROM json_each(?) j CROSS JOIN member m ON m.id = unhex(j.value)",
        read::MEMBER
    )
});
static SETS: Text = LazyLock::new(|| {
    format!(
        "SELECT {} FROM json_each(?) j CROSS JOIN sync_set s ON s.id = unhex(j.value)",
        read::SET
    )
});
static HOLDERS: Text = LazyLock::new(|| {
    format!(
        "SELECT {} FROM json_each(?) j CROSS JOIN copy c INDEXED BY copy_place \
         ON c.repository = CAST(j.value->>0 AS BIGINT) AND c.parent = j.value->>1 \
         AND c.name_key = j.value->>2 AND c.state NOT IN (1, 2)",
        read::COPY
    )
});
static CHILDREN: Text = LazyLock::new(|| {
    format!(
        "SELECT {} FROM json_each(?) j CROSS JOIN copy c INDEXED BY copy_place \
         ON c.repository = CAST(j.value->>0 AS BIGINT) AND c.parent = j.value->>1 \
         AND c.state NOT IN (1, 2) LIMIT {}",
        read::COPY,
        TRANSACTION_ROWS_MAX + 1
    )
});
static ANCESTORS: Text = LazyLock::new(|| {
    format!(
        "WITH RECURSIVE above(repository, node, depth) AS (\
         SELECT CAST(j.value->>0 AS BIGINT), j.value->>1, 0 FROM json_each(?) j \
         UNION SELECT c.repository, c.parent, depth + 1 FROM above a JOIN copy c \
         ON c.repository = a.repository AND c.node = a.node WHERE depth < 10000) \
         SELECT {} FROM (SELECT DISTINCT repository, node FROM above) a \
         CROSS JOIN copy c ON c.repository = a.repository AND c.node = a.node",
        read::COPY
    )
});
const WAITING: &str = "SELECT b.repository, b.obstacle, b.member FROM json_each(?) j \
                       CROSS JOIN blocked b ON b.repository = CAST(j.value->>0 AS BIGINT) \
                       AND b.obstacle = j.value->>1";

/// The text by which the table `blocked` finds an obstacle.
#[must_use]
pub fn obstacle_text(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Name(node, key) => format!("n{}:{node}{key}", node.0.len()),
        Obstacle::Folder(member) => format!("f{}", member.0.simple()),
    }
}

/// Needs sorted by kind.
#[derive(Debug, Default)]
struct Sorted {
    copies: BTreeSet<CopyKey>,
    members: BTreeSet<MemberId>,
    sets: BTreeSet<SyncSetId>,
    holders: BTreeSet<NameKey>,
    children: BTreeSet<CopyKey>,
    waiting: BTreeSet<ObstacleKey>,
    ancestors: BTreeSet<CopyKey>,
}

impl Sorted {
    fn new(needs: impl IntoIterator<Item = Need>) -> Self {
        let mut sorted = Self::default();
        for need in needs {
            match need {
                Need::Copy(key) => drop(sorted.copies.insert(key)),
                Need::Member(id) => drop(sorted.members.insert(id)),
                Need::Set(id) => drop(sorted.sets.insert(id)),
                Need::Holders(key) => drop(sorted.holders.insert(key)),
                Need::Children(key) => drop(sorted.children.insert(key)),
                Need::Waiting(key) => drop(sorted.waiting.insert(key)),
                Need::Ancestors(key) => drop(sorted.ancestors.insert(key)),
            }
        }
        sorted
    }
}

/// Loads what is needed into `loaded`; members bring both their copies, and copies their members, since those are
/// always asked for next.
///
/// # Errors
/// Whatever the database answers.
pub async fn load<C: ConnectionTrait>(
    connection: &C,
    loaded: &mut Loaded,
    needs: impl IntoIterator<Item = Need>,
) -> Result<(), Error> {
    let mut sorted = Sorted::new(needs);
    ancestors(connection, loaded, &sorted.ancestors).await?;
    holders(connection, loaded, &sorted.holders).await?;
    children(connection, loaded, &sorted.children).await?;
    waiting(connection, loaded, &sorted.waiting, &mut sorted.members).await?;
    copies(connection, loaded, &sorted.copies).await?;
    sorted.members.extend(
        loaded
            .copies
            .values()
            .flatten()
            .filter_map(|copy| copy.member),
    );
    sorted.members.retain(|id| !loaded.members.contains_key(id));
    members(connection, loaded, &sorted.members).await?;
    sorted
        .sets
        .extend(loaded.members.values().flatten().map(|member| member.set));
    sorted.sets.retain(|id| !loaded.sets.contains_key(id));
    sets(connection, loaded, &sorted.sets).await?;
    let peers = peers(loaded);
    copies(connection, loaded, &peers).await
}

/// Both copies of each loaded member that are not loaded yet.
fn peers(loaded: &Loaded) -> BTreeSet<CopyKey> {
    let mut peers = BTreeSet::new();
    for member in loaded.members.values().flatten() {
        let Some(Some(set)) = loaded.sets.get(&member.set) else {
            continue;
        };
        for side in Side::BOTH {
            if let Some(node) = member.nodes.get(side) {
                let key = (*set.repositories.get(side), node.clone());
                if !loaded.copies.contains_key(&key) {
                    peers.insert(key);
                }
            }
        }
    }
    peers
}

fn pairs<'a>(keys: impl IntoIterator<Item = &'a CopyKey>) -> Vec<(i64, &'a str)> {
    keys.into_iter()
        .map(|(repository, node)| (repository.0, node.0.as_str()))
        .collect()
}

fn note_copy(loaded: &mut Loaded, copy: Copy) {
    loaded
        .copies
        .insert((copy.repository, copy.node.clone()), Some(copy));
}

async fn copies<C: ConnectionTrait>(
    connection: &C,
    loaded: &mut Loaded,
    keys: &BTreeSet<CopyKey>,
) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    for row in sql::all(connection, COPIES.as_str(), [json(&pairs(keys))]).await? {
        note_copy(loaded, read::copy(&row)?);
    }
    for key in keys {
        loaded.copies.entry(key.clone()).or_insert(None);
    }
    Ok(())
}

async fn ancestors<C: ConnectionTrait>(
    connection: &C,
    loaded: &mut Loaded,
    keys: &BTreeSet<CopyKey>,
) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut found = Vec::new();
    for row in sql::all(connection, ANCESTORS.as_str(), [json(&pairs(keys))]).await? {
        found.push(read::copy(&row)?);
    }
    // Whatever a chain ends at is known not to be there.
    let ends: Vec<CopyKey> = found
        .iter()
        .map(|copy| (copy.repository, copy.parent.clone()))
        .collect();
    for copy in found {
        note_copy(loaded, copy);
    }
    for key in keys.iter().cloned().chain(ends) {
        loaded.copies.entry(key).or_insert(None);
    }
    Ok(())
}

async fn holders<C: ConnectionTrait>(
    connection: &C,
    loaded: &mut Loaded,
    keys: &BTreeSet<NameKey>,
) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let list: Vec<(i64, &str, &str)> = keys
        .iter()
        .map(|(repository, node, key)| (repository.0, node.0.as_str(), key.as_str()))
        .collect();
    for key in keys {
        loaded.holders.entry(key.clone()).or_default();
    }
    for row in sql::all(connection, HOLDERS.as_str(), [json(&list)]).await? {
        let copy = read::copy(&row)?;
        let key = (copy.repository, copy.parent.clone(), copy.name_key.clone());
        loaded
            .holders
            .entry(key)
            .or_default()
            .insert(copy.node.clone());
        note_copy(loaded, copy);
    }
    Ok(())
}

/// All folders at once; where they hold more than one answer may have, one by one, and of each as much as it may have.
async fn children<C: ConnectionTrait>(
    connection: &C,
    loaded: &mut Loaded,
    keys: &BTreeSet<CopyKey>,
) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let all: Vec<&CopyKey> = keys.iter().collect();
    if children_of(connection, loaded, &all).await? > TRANSACTION_ROWS_MAX && all.len() > 1 {
        for key in all {
            children_of(connection, loaded, &[key]).await?;
        }
    }
    Ok(())
}

async fn children_of<C: ConnectionTrait>(
    connection: &C,
    loaded: &mut Loaded,
    folders: &[&CopyKey],
) -> Result<usize, Error> {
    for key in folders {
        loaded.children.entry((*key).clone()).or_default();
    }
    let list = pairs(folders.iter().copied());
    let rows = sql::all(connection, CHILDREN.as_str(), [json(&list)]).await?;
    for row in &rows {
        let copy = read::copy(row)?;
        let folder = (copy.repository, copy.parent.clone());
        let nodes: &mut BTreeSet<NodeId> = loaded.children.entry(folder).or_default();
        nodes.insert(copy.node.clone());
        note_copy(loaded, copy);
    }
    Ok(rows.len())
}

async fn waiting<C: ConnectionTrait>(
    connection: &C,
    loaded: &mut Loaded,
    keys: &BTreeSet<ObstacleKey>,
    members: &mut BTreeSet<MemberId>,
) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let texts: Vec<(i64, String)> = keys
        .iter()
        .map(|(repository, obstacle)| (repository.0, obstacle_text(obstacle)))
        .collect();
    let by_text: std::collections::BTreeMap<_, _> = texts.iter().zip(keys).collect();
    for key in keys {
        loaded.waiting.entry(key.clone()).or_default();
    }
    for row in sql::all(connection, WAITING, [json(&texts)]).await? {
        let text = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let member: Vec<u8> = row.try_get_by_index(2)?;
        let (Some(key), Some(member)) = (by_text.get(&text), MemberId::from_bytes(&member)) else {
            continue;
        };
        loaded
            .waiting
            .entry((*key).clone())
            .or_default()
            .insert(member);
        members.insert(member);
    }
    Ok(())
}

async fn members<C: ConnectionTrait>(
    connection: &C,
    loaded: &mut Loaded,
    ids: &BTreeSet<MemberId>,
) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = ids.iter().map(|id| id.0.simple().to_string()).collect();
    for row in sql::all(connection, MEMBERS.as_str(), [json(&list)]).await? {
        let member = read::member(&row)?;
        loaded.members.insert(member.id, Some(member));
    }
    for id in ids {
        loaded.members.entry(*id).or_insert(None);
    }
    Ok(())
}

async fn sets<C: ConnectionTrait>(
    connection: &C,
    loaded: &mut Loaded,
    ids: &BTreeSet<SyncSetId>,
) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = ids.iter().map(|id| id.0.simple().to_string()).collect();
    for row in sql::all(connection, SETS.as_str(), [json(&list)]).await? {
        let set = read::sync_set(&row)?;
        loaded.sets.insert(set.id, Some(set));
    }
    let gone = ids.iter().filter(|id| !loaded.sets.contains_key(id));
    let gone: BTreeSet<SyncSetId> = gone.copied().collect();
    if !gone.is_empty() {
        let late = late::late_in(connection, &gone).await?;
        loaded
            .sets
            .extend(late.into_iter().map(|set| (set.id, Some(set))));
    }
    for id in ids {
        loaded.sets.entry(*id).or_insert(None);
    }
    Ok(())
}

/// What of a repository decisions depend on; declared in its last handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Declared {
    /// Names that differ in case only clash.
    pub case_insensitive: bool,
    /// Names that differ in Unicode form only clash.
    pub unicode_insensitive: bool,
    /// Properties that it keeps; `None` = all.
    pub properties: Option<BTreeSet<String>>,
    /// Types that it knows beside the two base ones.
    #[serde(default)]
    pub node_types: BTreeSet<String>,
    /// It can keep copies read-only.
    pub locks: bool,
    /// It has users; what was declared before this was known says nothing of them.
    #[serde(default)]
    pub users: bool,
}

/// Loads the repositories of a network.
///
/// # Errors
/// Whatever the database answers.
pub async fn repositories<C: ConnectionTrait>(
    connection: &C,
    network: NetworkId,
) -> Result<Loaded, Error> {
    let text = "SELECT r.id, r.side, r.capabilities, \
                EXISTS (SELECT 1 FROM blocked b WHERE b.repository = r.id) \
                FROM repository r WHERE r.network = ?";
    let mut loaded = Loaded::default();
    for row in sql::all(connection, text, [network.0.into()]).await? {
        let side: String = row.try_get_by_index(1)?;
        let declared: Option<Vec<u8>> = row.try_get_by_index(2)?;
        let declared: Declared = declared
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let repository = Repository {
            id: RepositoryId(row.try_get_by_index(0)?),
            side: Side::from_name(&side).unwrap_or(Side::OnPremise),
            name_rule: NameRule {
                case_insensitive: declared.case_insensitive,
                unicode_insensitive: declared.unicode_insensitive,
            },
            properties: declared
                .properties
                .map_or(KeptProperties::All, KeptProperties::Only),
            node_types: declared.node_types,
            locks: declared.locks,
            users: declared.users,
        };
        let obstructed: bool = row.try_get_by_index(3)?;
        if !obstructed {
            loaded.unobstructed.insert(repository.id);
        }
        loaded.repositories.insert(repository.id, repository);
    }
    Ok(loaded)
}
