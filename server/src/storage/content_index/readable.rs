//! Who may read which content: a read names what gives the right, holding a digest gives none (R-CNT-1, SPEC §12).
//!
//! This is the one place where rights to content are decided. A foreign or unknown name, a digest that the named thing
//! does not have, and content that is gone all answer the same: nothing.

use sea_orm::ConnectionTrait;
use serde_json::json;

use super::blobs::blob_of_row;
use crate::domain::access::Side;
use crate::domain::ids::{
    BlobId, ConflictId, Digest, MemberId, NetworkId, Position, RepositoryId, SyncSetId,
};
use crate::storage::{Error, sql};

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The agent of a repository: what the sets of its repository name.
    Agent {
        /// The network of the credential.
        network: NetworkId,
        /// The repository of the credential.
        repository: RepositoryId,
    },
    /// A user: every role sees everything in the network.
    User {
        /// The network of the credential.
        network: NetworkId,
    },
    /// An operator, who is a user of every network.
    Operator,
}

impl Reader {
    fn network(self) -> Option<i64> {
        match self {
            Self::Agent { network, .. } | Self::User { network } => Some(network.0),
            Self::Operator => None,
        }
    }

    fn repository(self) -> Option<i64> {
        match self {
            Self::Agent { repository, .. } => Some(repository.0),
            Self::User { .. } | Self::Operator => None,
        }
    }
}

/// What gives the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceName {
    /// A member: the content of its copies, which is what is current or due.
    Member(MemberId),
    /// A conflict: winner and loser.
    Conflict(ConflictId),
    /// A kept version.
    Version {
        /// The set that the name claims.
        set: SyncSetId,
        /// The member that it is a version of.
        member: MemberId,
        /// Where in the journal it was made.
        position: Position,
        /// The side that it is a version of.
        side: Side,
    },
}

/// What is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// What gives the right.
    pub name: SourceName,
    /// The content.
    pub digest: Digest,
}

/// What may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readable {
    /// Where the bytes are.
    pub blob: BlobId,
    /// The number of bytes.
    pub size: i64,
}

const BY_MEMBER: &str = "SELECT CAST(w.value ->> 0 AS BIGINT), b.id, b.size FROM json_each(?1) AS w \
    CROSS JOIN member AS m ON m.id = unhex(w.value ->> 2) \
    CROSS JOIN sync_set AS s ON s.id = m.set_id AND s.network = ifnull(?2, s.network) \
    CROSS JOIN content AS c ON c.repository IN (s.on_premise_repository, s.cloud_repository) \
    AND c.digest = unhex(w.value ->> 1) \
    CROSS JOIN blob AS b ON b.id = c.blob AND b.state = 'W' \
    WHERE (?3 IS NULL OR ?3 IN (s.on_premise_repository, s.cloud_repository)) \
    AND (EXISTS (SELECT 1 FROM copy AS k WHERE k.digest = unhex(w.value ->> 1) AND k.member = m.id \
    AND ((k.repository = s.on_premise_repository AND k.node = m.on_premise_node) \
    OR (k.repository = s.cloud_repository AND k.node = m.cloud_node))) \
    OR EXISTS (SELECT 1 FROM version AS v WHERE v.member = m.id AND v.digest = unhex(w.value ->> 1)))";

/// A conflict names content through the versions that keep it, so it can be read when the set is long gone.
const BY_CONFLICT: &str = "SELECT CAST(w.value ->> 0 AS BIGINT), b.id, b.size FROM json_each(?1) AS w \
    CROSS JOIN conflict AS k ON k.id = unhex(w.value ->> 2) AND k.network = ifnull(?2, k.network) \
    AND unhex(w.value ->> 1) IN (k.on_premise_digest, k.cloud_digest) \
    CROSS JOIN version AS v ON v.member = k.member AND v.digest = unhex(w.value ->> 1) \
    CROSS JOIN content AS c ON c.repository = v.repository AND c.digest = v.digest \
    CROSS JOIN blob AS b ON b.id = c.blob AND b.network = ifnull(?2, b.network) AND b.state = 'W' \
    WHERE ?3 IS NULL OR v.repository = ?3 OR EXISTS (SELECT 1 FROM sync_set AS s WHERE s.id = k.set_id \
    AND ?3 IN (s.on_premise_repository, s.cloud_repository))";

const BY_VERSION: &str = "SELECT CAST(w.value ->> 0 AS BIGINT), b.id, b.size FROM json_each(?1) AS w \
    CROSS JOIN version AS v ON v.member = unhex(w.value ->> 2) AND v.position = CAST(w.value ->> 3 AS BIGINT) \
    AND v.side = w.value ->> 4 AND v.digest = unhex(w.value ->> 1) \
    CROSS JOIN content AS c ON c.repository = v.repository AND c.digest = v.digest \
    CROSS JOIN blob AS b ON b.id = c.blob AND b.network = ifnull(?2, b.network) AND b.state = 'W' \
    WHERE NOT EXISTS (SELECT 1 FROM member AS m WHERE m.id = v.member AND m.set_id <> unhex(w.value ->> 5)) \
    AND (?3 IS NULL OR v.repository = ?3 OR EXISTS (SELECT 1 FROM member AS m JOIN sync_set AS s ON s.id = m.set_id \
    WHERE m.id = v.member AND ?3 IN (s.on_premise_repository, s.cloud_repository)))";

/// What of the sources the reader may read, in their order; `None` where nothing may be told.
///
/// # Errors
/// When the database fails.
pub async fn readable<C: ConnectionTrait>(
    connection: &C,
    reader: Reader,
    sources: &[Source],
) -> Result<Vec<Option<Readable>>, Error> {
    let mut answers = vec![None; sources.len()];
    let lists = Lists::new(sources);
    for (text, list) in [
        (BY_MEMBER, lists.members),
        (BY_CONFLICT, lists.conflicts),
        (BY_VERSION, lists.versions),
    ] {
        if !list.is_empty() {
            let list = serde_json::Value::Array(list).to_string();
            ask(connection, text, reader, list, &mut answers).await?;
        }
    }
    Ok(answers)
}

async fn ask<C: ConnectionTrait>(
    connection: &C,
    text: &'static str,
    reader: Reader,
    list: String,
    answers: &mut [Option<Readable>],
) -> Result<(), Error> {
    let values = [
        list.into(),
        reader.network().into(),
        reader.repository().into(),
    ];
    for row in sql::all(connection, text, values).await? {
        let index: i64 = row.try_get_by_index(0)?;
        let answer = usize::try_from(index)
            .ok()
            .and_then(|index| answers.get_mut(index));
        if let Some(answer) = answer {
            *answer = Some(Readable {
                blob: blob_of_row(&row, 1)?,
                size: row.try_get_by_index(2)?,
            });
        }
    }
    Ok(())
}

/// The sources as rows for the statements: place in the answer, digest, id, and what else the kind needs.
#[derive(Debug, Default)]
struct Lists {
    members: Vec<serde_json::Value>,
    conflicts: Vec<serde_json::Value>,
    versions: Vec<serde_json::Value>,
}

impl Lists {
    fn new(sources: &[Source]) -> Self {
        let mut lists = Self::default();
        for (index, source) in sources.iter().enumerate() {
            let digest = source.digest.to_string();
            match source.name {
                SourceName::Member(id) => {
                    lists
                        .members
                        .push(json!([index, digest, id.0.simple().to_string()]));
                }
                SourceName::Conflict(id) => {
                    lists
                        .conflicts
                        .push(json!([index, digest, id.0.simple().to_string()]));
                }
                SourceName::Version {
                    set,
                    member,
                    position,
                    side,
                } => lists.versions.push(json!([
                    index,
                    digest,
                    member.0.simple().to_string(),
                    position.0,
                    side.name(),
                    set.0.simple().to_string()
                ])),
            }
        }
        lists
    }
}
