//! What a fault means for people, and what they can do about it.

use super::Fault;

/// What programs call it.
#[must_use]
pub const fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::DatabaseDamaged => "DATABASE_DAMAGED",
        Fault::NetworkWithoutJournal => "NETWORK_WITHOUT_JOURNAL",
        Fault::JournalHead => "JOURNAL_HEAD",
        Fault::JournalGap => "JOURNAL_GAP",
        Fault::BatchUnknown => "BATCH_UNKNOWN",
        Fault::SetWithoutRepository => "SET_WITHOUT_REPOSITORY",
        Fault::MemberWithoutSet => "MEMBER_WITHOUT_SET",
        Fault::MemberWithoutCopy => "MEMBER_WITHOUT_COPY",
        Fault::CopyWithoutMember => "COPY_WITHOUT_MEMBER",
        Fault::CopyWithoutContent => "COPY_WITHOUT_CONTENT",
        Fault::VersionWithoutContent => "VERSION_WITHOUT_CONTENT",
        Fault::ContentWithoutBlob => "CONTENT_WITHOUT_BLOB",
        Fault::BlobWithoutPlace => "BLOB_WITHOUT_PLACE",
        Fault::DueWrong => "DUE_WRONG",
        Fault::BlockedWrong => "BLOCKED_WRONG",
        Fault::ContentMissing => "CONTENT_MISSING",
        Fault::ContentDamaged => "CONTENT_DAMAGED",
    }
}

/// What it means.
#[must_use]
pub const fn meaning(fault: Fault) -> &'static str {
    match fault {
        Fault::DatabaseDamaged => "the file of the database is damaged, mostly by its disk",
        Fault::NetworkWithoutJournal => "nothing can be written in this network",
        Fault::JournalHead => {
            "the journal does not end where its head says, so readers may see an entry twice or never"
        }
        Fault::JournalGap => "entries of the journal are lost, so readers do not see them",
        Fault::BatchUnknown => "an answer to a batch is kept that was not accepted",
        Fault::SetWithoutRepository => "the set syncs with nobody",
        Fault::MemberWithoutSet => "the member belongs to nobody and is not synced",
        Fault::MemberWithoutCopy => {
            "what the member's copy is like is not known, so it is not synced"
        }
        Fault::CopyWithoutMember => "changes of the node are not synced",
        Fault::CopyWithoutContent => {
            "the content of the node cannot be delivered; its members fail with CONTENT_UNAVAILABLE"
        }
        Fault::VersionWithoutContent => "a version cannot be restored or delivered",
        Fault::ContentWithoutBlob => {
            "content that is said to be there is not; its members fail with CONTENT_UNAVAILABLE"
        }
        Fault::BlobWithoutPlace => "where the bytes of a content are is not known",
        Fault::DueWrong => "something is not delivered, or delivered without a reason",
        Fault::BlockedWrong => "a member may wait for something that is free",
        Fault::ContentMissing => {
            "the bytes are gone; the members that need them fail with CONTENT_UNAVAILABLE"
        }
        Fault::ContentDamaged => {
            "the bytes are others, and handed to nobody; the members that need them fail with CONTENT_UNAVAILABLE"
        }
    }
}

/// What to do.
#[must_use]
pub const fn remedy(fault: Fault) -> &'static str {
    match fault {
        Fault::DatabaseDamaged
        | Fault::NetworkWithoutJournal
        | Fault::JournalHead
        | Fault::JournalGap
        | Fault::BatchUnknown
        | Fault::SetWithoutRepository
        | Fault::MemberWithoutSet
        | Fault::MemberWithoutCopy
        | Fault::CopyWithoutMember => {
            "look at the disk, then put a backup back: `tandemd restore --replace`"
        }
        Fault::DueWrong | Fault::BlockedWrong => {
            "change the node, or request a sync of the member; if there are many, put a backup back"
        }
        Fault::CopyWithoutContent
        | Fault::VersionWithoutContent
        | Fault::ContentWithoutBlob
        | Fault::BlobWithoutPlace
        | Fault::ContentMissing
        | Fault::ContentDamaged => {
            "look at the disk, put the object in its place from a backup, or let an agent that has the content \
             send it again: `tandem repository scan ID`; older versions that no agent has are lost"
        }
    }
}
