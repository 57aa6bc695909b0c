//! Sync sets: what one "Sync to Cloud" action made, with its options and the guard against mass deletion.

use super::ids::{MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use super::projection::Sides;

/// Options, fixed at creation (R-SET-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Sync what lies in subfolders.
    pub include_subfolders: bool,
    /// Users may not change the on-premise copies.
    pub lock_on_premise_copy: bool,
    /// A deletion on-premise removes the cloud copy.
    pub allow_delete_on_cloud: bool,
    /// A deletion on the cloud removes the on-premise copy.
    pub delete_on_premise: bool,
    /// The share of members whose deletion is held; 100 = never.
    pub max_delete_percent: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            include_subfolders: true,
            lock_on_premise_copy: false,
            allow_delete_on_cloud: true,
            delete_on_premise: false,
            max_delete_percent: 50,
        }
    }
}

/// Whether a set's removals flow (R-DEL-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum Gate {
    /// They flow.
    #[default]
    Open = 0,
    /// What a deleted folder implies is still being counted.
    Counting = 1,
    /// They are held until somebody decides.
    Held = 2,
}

/// The window over which deletions are counted, in microseconds.
pub const GUARD_WINDOW: i64 = 600_000_000;
/// Sets with fewer members are not guarded by share.
pub const GUARD_MEMBERS_MIN: i64 = 20;

/// Counts of a set, kept with every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Members.
    pub members: i64,
    /// Members neither synced nor failed.
    pub pending: i64,
    /// Members that failed.
    pub failed: i64,
    /// Bytes of content.
    pub bytes: i64,
}

/// The guard of a set: deletions without explicit choice, due or done lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Guard {
    /// Whether removals flow.
    pub gate: Gate,
    /// Deletions counted in the window.
    pub deletions: i64,
    /// When the window began, in microseconds since 1970.
    pub since: i64,
    /// Folders whose content is still to be counted.
    pub counting: i64,
}

/// What one "Sync to Cloud" action made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSet {
    /// The random id.
    pub id: SyncSetId,
    /// The tenant.
    pub network: NetworkId,
    /// The repositories it pairs.
    pub repositories: Sides<RepositoryId>,
    /// The synced folder's member.
    pub root: MemberId,
    /// The cloud folder that receives it.
    pub target: NodeId,
    /// The on-premise folder in which the synced folder lay when the set was made; empty for an agent's own root.
    pub source_folder: NodeId,
    /// The options.
    pub options: Options,
    /// The on-premise user who owns it.
    pub owner: String,
    /// It was ended; nothing of it is delivered any more.
    pub ending: bool,
    /// Its counts.
    pub counters: Counters,
    /// Its guard.
    pub guard: Guard,
}

impl Guard {
    /// Notes deletions, in a new window if the last one is over; holds them when they are too many (R-DEL-3).
    pub fn count(&mut self, deletions: i64, now: i64) {
        if now - self.since > GUARD_WINDOW && self.gate == Gate::Open {
            self.deletions = 0;
        }
        if self.deletions == 0 {
            self.since = now;
        }
        self.deletions = (self.deletions + deletions).max(0);
    }

    /// Decides again whether removals flow; `members` are those left.
    pub fn decide(&mut self, members: i64, options: &Options) {
        if self.gate == Gate::Held && self.deletions > 0 {
            return;
        }
        self.gate = if self.exceeds(members, options) {
            Gate::Held
        } else if self.counting > 0 {
            Gate::Counting
        } else {
            Gate::Open
        };
    }

    /// `members` counts those whose deletion is due but not done; `deletions` may count done ones too.
    fn exceeds(&self, members: i64, options: &Options) -> bool {
        let before = members.max(self.deletions);
        options.max_delete_percent < 100
            && before >= GUARD_MEMBERS_MIN
            && self.deletions * 100 > before * i64::from(options.max_delete_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_del_3_more_than_the_share_is_held_and_less_flows() {
        let options = Options::default();
        let mut guard = Guard::default();
        guard.count(50, 1);
        guard.decide(100, &options);
        assert_eq!(guard.gate, Gate::Open);
        guard.count(1, 2);
        guard.decide(100, &options);
        assert_eq!(guard.gate, Gate::Held);
    }

    #[test]
    fn r_del_3_small_sets_and_a_share_of_100_are_not_guarded() {
        let mut guard = Guard::default();
        guard.count(19, 1);
        guard.decide(19, &Options::default());
        assert_eq!(guard.gate, Gate::Open);
        guard.count(1_000, 1);
        guard.decide(
            1_000,
            &Options {
                max_delete_percent: 100,
                ..Options::default()
            },
        );
        assert_eq!(guard.gate, Gate::Open);
    }

    #[test]
    fn r_del_3_removals_wait_until_a_folder_is_counted() {
        let mut guard = Guard {
            counting: 1,
            ..Guard::default()
        };
        guard.decide(100, &Options::default());
        assert_eq!(guard.gate, Gate::Counting);
        guard.counting = 0;
        guard.decide(100, &Options::default());
        assert_eq!(guard.gate, Gate::Open);
    }

    #[test]
    fn r_del_3_old_deletions_are_forgotten() {
        let mut guard = Guard::default();
        guard.count(50, 1);
        guard.count(1, 2 + GUARD_WINDOW);
        assert_eq!(guard.deletions, 1);
    }
}
