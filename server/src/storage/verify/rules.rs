//! What one statement finds.

use sea_orm::{ConnectionTrait, DatabaseBackend};

use super::{Fault, Found, place_of_row};
use crate::storage::{Error, sql};

/// A fault, what the columns of its rows are called (an id, a number, a text; empty = says nothing), and the rows.
struct Rule(Fault, [&'static str; 3], &'static str);

const RULES: [Rule; 12] = [
    Rule(
        Fault::NetworkWithoutJournal,
        ["", "", "network"],
        "SELECT NULL, n.id, n.name FROM network n \
         WHERE NOT EXISTS (SELECT 1 FROM journal_head h WHERE h.network = n.id)",
    ),
    Rule(
        Fault::JournalHead,
        ["", "position", "network"],
        "SELECT NULL, h.position, n.name FROM journal_head h JOIN network n ON n.id = h.network \
         WHERE h.position > 0 AND (NOT EXISTS (SELECT 1 FROM journal j WHERE j.network = h.network \
         AND j.position = h.position AND j.mark = h.mark) OR EXISTS (SELECT 1 FROM journal j \
         WHERE j.network = h.network AND j.position > h.position))",
    ),
    Rule(
        Fault::JournalGap,
        ["", "before position", "network"],
        "SELECT NULL, j.position, n.name FROM journal j JOIN network n ON n.id = j.network \
         WHERE NOT EXISTS (SELECT 1 FROM journal p WHERE p.network = j.network AND p.position = j.position - 1) \
         AND EXISTS (SELECT 1 FROM journal p WHERE p.network = j.network AND p.position < j.position)",
    ),
    Rule(
        Fault::BatchUnknown,
        ["", "batch", "repository"],
        "SELECT NULL, b.number, r.name FROM batch_result b JOIN repository r ON r.id = b.repository \
         WHERE b.number > r.batch_number",
    ),
    Rule(
        Fault::SetWithoutRepository,
        ["set", "", ""],
        "SELECT s.id, CAST(0 AS BIGINT), '' FROM sync_set s WHERE (SELECT count(*) FROM repository r \
         WHERE r.network = s.network AND r.id IN (s.on_premise_repository, s.cloud_repository)) <> 2",
    ),
    // The members of a set that is being imported come before it.
    Rule(
        Fault::MemberWithoutSet,
        ["member", "", ""],
        "SELECT m.id, CAST(0 AS BIGINT), '' FROM member m \
         WHERE NOT EXISTS (SELECT 1 FROM sync_set s WHERE s.id = m.set_id) \
         AND NOT EXISTS (SELECT 1 FROM import i WHERE i.set_id = m.set_id)",
    ),
    Rule(
        Fault::MemberWithoutCopy,
        ["member", "", "node"],
        "SELECT m.id, CAST(0 AS BIGINT), x.node FROM (\
         SELECT id, set_id, 1 AS side, on_premise_node AS node FROM member WHERE on_premise_node IS NOT NULL \
         UNION ALL SELECT id, set_id, 2 AS side, cloud_node AS node FROM member WHERE cloud_node IS NOT NULL) x \
         JOIN member m ON m.id = x.id JOIN sync_set s ON s.id = x.set_id \
         WHERE NOT EXISTS (SELECT 1 FROM copy c WHERE c.node = x.node AND c.repository = \
         CASE WHEN x.side = 1 THEN s.on_premise_repository ELSE s.cloud_repository END)",
    ),
    Rule(
        Fault::CopyWithoutMember,
        ["member", "repository", "node"],
        "SELECT c.member, c.repository, c.node FROM copy c WHERE c.member IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM member m WHERE m.id = c.member)",
    ),
    Rule(
        Fault::CopyWithoutContent,
        ["content", "repository", "node"],
        "SELECT c.digest, c.repository, c.node FROM copy c \
         WHERE c.state = 0 AND c.member IS NOT NULL AND c.digest IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM content k WHERE k.repository = c.repository AND k.digest = c.digest)",
    ),
    Rule(
        Fault::VersionWithoutContent,
        ["content", "repository", ""],
        "SELECT DISTINCT v.digest, v.repository, '' FROM version v WHERE NOT EXISTS \
         (SELECT 1 FROM content k WHERE k.repository = v.repository AND k.digest = v.digest)",
    ),
    Rule(
        Fault::ContentWithoutBlob,
        ["content", "repository", ""],
        "SELECT c.digest, c.repository, '' FROM content c WHERE NOT EXISTS \
         (SELECT 1 FROM blob b WHERE b.id = c.blob AND b.digest = c.digest AND b.size = c.size)",
    ),
    Rule(
        Fault::BlobWithoutPlace,
        ["blob", "", ""],
        "SELECT b.id, CAST(0 AS BIGINT), '' FROM blob b \
         WHERE CASE WHEN b.object IS NULL THEN 0 ELSE 1 END + CASE WHEN b.bytes IS NULL THEN 0 ELSE 1 END <> 1",
    ),
];

/// What one statement each finds, at most `rows_max` of each fault.
///
/// # Errors
/// Whatever the database answers.
pub async fn rules<C: ConnectionTrait>(
    connection: &C,
    rows_max: usize,
) -> Result<Vec<Found>, Error> {
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    for Rule(fault, labels, text) in RULES {
        let text = format!("{text} LIMIT ?");
        for row in sql::all(connection, &text, [limit.into()]).await? {
            let at = place_of_row(&row, labels)?;
            found.push(Found { fault, at });
        }
    }
    Ok(found)
}

/// What SQLite itself says of its file; nothing on PostgreSQL, which has tools of its own for that.
///
/// # Errors
/// Whatever the database answers.
pub async fn damaged_file<C: ConnectionTrait>(
    connection: &C,
    quick: bool,
) -> Result<Vec<Found>, Error> {
    if connection.get_database_backend() != DatabaseBackend::Sqlite {
        return Ok(Vec::new());
    }
    let text = match quick {
        true => "PRAGMA quick_check",
        false => "PRAGMA integrity_check",
    };
    let mut found = Vec::new();
    for row in sql::all(connection, text, []).await? {
        let at: String = row.try_get_by_index(0)?;
        if at != "ok" {
            let fault = Fault::DatabaseDamaged;
            found.push(Found { fault, at });
        }
    }
    Ok(found)
}
