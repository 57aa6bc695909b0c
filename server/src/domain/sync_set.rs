//! Sync sets: what one "Sync to Cloud" action made, with its options and the guard against mass deletion.

use super::ids::{MemberId, NetworkId, NodeId, RepositoryId, SyncSetId};
use super::member::{Lane, Member};
use super::planted::planted;
use super::policy::{ConflictGrain, ConflictPolicy, NameClashPolicy};
use super::projection::{Side, Sides};

/// What a set is made of (R-SET-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum SetKind {
    /// Documents that were chosen together; none is ever added.
    Documents = 1,
    /// One folder and what is inside it.
    #[default]
    Folder = 2,
}

impl SetKind {
    /// The kind of a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        if number == Self::Documents as i32 {
            Self::Documents
        } else {
            Self::Folder
        }
    }
}

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
    /// Which side holds in a conflict.
    pub conflict_policy: ConflictPolicy,
    /// What collides.
    pub conflict_grain: ConflictGrain,
    /// What becomes of two unpaired nodes under one name.
    pub name_clash_policy: NameClashPolicy,
    /// The share of members whose deletion is held; 100 = no share is. An emptied root is held in any case.
    pub max_delete_percent: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            include_subfolders: true,
            lock_on_premise_copy: false,
            allow_delete_on_cloud: true,
            delete_on_premise: false,
            conflict_policy: ConflictPolicy::CloudWins,
            conflict_grain: ConflictGrain::WholeNode,
            name_clash_policy: NameClashPolicy::Fail,
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

/// What becomes of the cloud copy of a set that ends (R-UNS-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum Removal {
    /// It stays, unlinked.
    #[default]
    None = 0,
    /// It is removed, but for folders that are no members: nobody could look into them when the set ended.
    Members = 1,
    /// It is removed with everything under it but members of other sets.
    Everything = 2,
    /// What was made for the set is removed, and nothing else: nobody was asked, and what was chosen is gone on-premise.
    Made = 3,
}

impl Removal {
    /// The removal of a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        [Self::Members, Self::Everything, Self::Made]
            .into_iter()
            .find(|removal| *removal as i32 == number)
            .unwrap_or(Self::None)
    }
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
    /// Deletions counted in the window, due or done.
    pub deletions: i64,
    /// Members whose removal without explicit choice is due or waits; those are what is held.
    pub due: i64,
    /// The side on which a scan found the synced root gone or empty, of a set of any size.
    pub emptied: Option<Side>,
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
    /// What it is made of.
    pub kind: SetKind,
    /// The synced folder's member; the nil id in a set of documents.
    pub root: MemberId,
    /// The cloud folder that receives it.
    pub target: NodeId,
    /// The on-premise folder in which the synced folder lay when the set was made; empty where that was not told.
    pub source_folder: NodeId,
    /// The options.
    pub options: Options,
    /// The on-premise user who owns it.
    pub owner: String,
    /// The cloud account that the owner linked, as which pushes act; empty where the cloud repository has no users
    /// (R-IDN-1). Kept with the link, not with the set.
    pub account: String,
    /// It was ended; nothing of it is delivered any more, but what [`Self::removal`] says.
    pub ending: bool,
    /// The sides on which its synced folder lies outside every site library: nothing of it is delivered until it is back
    /// (R-MOV-1).
    pub outside: Sides<bool>,
    /// What becomes of the cloud copy when it ends.
    pub removal: Removal,
    /// Somebody paused it: nothing is delivered until it is resumed (R-SET-7). An end ends the pause.
    pub paused: bool,
    /// One of its repositories is paused; kept with that, not with the set.
    pub repository_paused: bool,
    /// Its counts.
    pub counters: Counters,
    /// Its guard.
    pub guard: Guard,
}

impl SyncSet {
    /// The account as which a side is changed: pulls act as the owner, pushes as their cloud account (R-IDN-1).
    #[must_use]
    pub fn act_as(&self, side: Side) -> &str {
        match side {
            Side::Cloud if !self.account.is_empty() => &self.account,
            Side::Cloud | Side::OnPremise => &self.owner,
        }
    }

    /// Whether this work for one of its members may not be delivered for now (R-SET-7). A pause of the set holds all but
    /// what ends the membership of one document, as it does not hold the end of the whole set (R-UNS-1).
    #[must_use]
    pub fn holds_back(&self, member: &Member, lane: Lane) -> bool {
        let leaves = match lane {
            Lane::LastPull => true,
            Lane::Release | Lane::Clearing => member.leaving.is_some(),
            Lane::Change | Lane::Removal | Lane::ChosenRemoval | Lane::Aside => false,
        };
        self.is_paused() && (self.repository_paused || !leaves)
    }

    /// Whether nothing of it may be delivered for now, but what one membership ends with (R-SET-7).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        (self.repository_paused || self.paused && !self.ending) && !planted("pause-ignored")
    }
}

impl Guard {
    /// Notes deletions, in a new window if the last one is over; what is still due is counted on (R-DEL-3).
    pub fn count(&mut self, deletions: i64, now: i64) {
        if now - self.since > GUARD_WINDOW && self.gate == Gate::Open {
            self.deletions = self.deletions.min(self.due);
            self.since = now;
        }
        if self.deletions == 0 {
            self.since = now;
        }
        self.deletions = (self.deletions + deletions).max(0);
    }

    /// Decides again whether removals flow; `members` are those left.
    pub fn decide(&mut self, members: i64, options: &Options) {
        let was_held = self.gate == Gate::Held;
        self.gate = if self.holds(members, options) {
            Gate::Held
        } else if self.counting > 0 {
            Gate::Counting
        } else {
            Gate::Open
        };
        if was_held && self.gate != Gate::Held {
            // All that was missing is there again, so the root is neither gone nor empty.
            self.emptied = None;
        }
    }

    /// Somebody decided about what is held: it is counted no more.
    pub fn open(&mut self) {
        self.gate = Gate::Open;
        self.deletions = 0;
        self.emptied = None;
    }

    /// A root that comes back piece by piece must not let the rest go: held is held until nothing is due.
    fn holds(&self, members: i64, options: &Options) -> bool {
        let emptied = self.emptied.is_some() && !planted("guard-trusts-empty-roots");
        let held = self.gate == Gate::Held || emptied;
        self.due > 0 && (held || self.exceeds(members, options))
    }

    /// The share is that of the members there were before the first of the deletions was delivered.
    fn exceeds(&self, members: i64, options: &Options) -> bool {
        let done = (self.deletions - self.due).max(0);
        let done = done * i64::from(!planted("guard-forgets-the-done"));
        let before = members + done;
        options.max_delete_percent < 100
            && before >= GUARD_MEMBERS_MIN
            && self.deletions * 100 > before * i64::from(options.max_delete_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deletions that became due.
    fn counted(guard: &mut Guard, deletions: i64, now: i64) {
        guard.count(deletions, now);
        guard.due += deletions;
    }

    #[test]
    fn r_del_3_more_than_the_share_is_held_and_less_flows() {
        let options = Options::default();
        let mut guard = Guard::default();
        counted(&mut guard, 50, 1);
        guard.decide(100, &options);
        assert_eq!(guard.gate, Gate::Open);
        counted(&mut guard, 1, 2);
        guard.decide(100, &options);
        assert_eq!(guard.gate, Gate::Held);
    }

    #[test]
    fn r_del_3_small_sets_and_a_share_of_100_are_not_guarded() {
        let mut guard = Guard::default();
        counted(&mut guard, 19, 1);
        guard.decide(19, &Options::default());
        assert_eq!(guard.gate, Gate::Open);
        counted(&mut guard, 1_000, 1);
        let never = Options {
            max_delete_percent: 100,
            ..Options::default()
        };
        guard.decide(1_019, &never);
        assert_eq!(guard.gate, Gate::Open);
    }

    #[test]
    fn r_del_3_done_deletions_count_and_so_do_the_members_they_took() {
        let options = Options::default();
        let done = Guard {
            deletions: 10,
            since: 1,
            ..Guard::default()
        };
        for (more, gate) in [(2, Gate::Open), (3, Gate::Held)] {
            let mut guard = done;
            counted(&mut guard, more, 2);
            guard.decide(14, &options);
            assert_eq!(guard.gate, gate, "{more} of 14 left of 24");
        }
    }

    #[test]
    fn r_del_3_an_emptied_root_of_any_size_is_held_also_at_a_share_of_100() {
        for percent in [50, 100] {
            let options = Options {
                max_delete_percent: percent,
                ..Options::default()
            };
            let mut guard = Guard {
                emptied: Some(Side::OnPremise),
                ..Guard::default()
            };
            guard.decide(3, &options);
            assert_eq!(guard.gate, Gate::Open, "nothing is due yet");
            counted(&mut guard, 1, 1);
            guard.decide(3, &options);
            assert_eq!(guard.gate, Gate::Held);
        }
    }

    #[test]
    fn r_del_3_what_is_seen_again_is_released_and_held_is_held_until_then() {
        let options = Options::default();
        let mut guard = Guard {
            emptied: Some(Side::OnPremise),
            // One was deleted and done before: it can never be seen again.
            deletions: 1,
            since: 1,
            ..Guard::default()
        };
        counted(&mut guard, 3, 2);
        guard.decide(4, &options);
        for left in [2, 1] {
            counted(&mut guard, -1, 3);
            guard.decide(4, &options);
            assert_eq!((guard.gate, guard.due), (Gate::Held, left));
        }
        counted(&mut guard, -1, 4);
        guard.decide(4, &options);
        assert_eq!((guard.gate, guard.emptied), (Gate::Open, None));
        counted(&mut guard, 1, 5);
        guard.decide(4, &options);
        assert_eq!(guard.gate, Gate::Open, "an ordinary deletion flows again");
    }

    #[test]
    fn r_del_3_what_somebody_decided_about_is_held_no_more() {
        let mut guard = Guard {
            emptied: Some(Side::Cloud),
            ..Guard::default()
        };
        counted(&mut guard, 3, 1);
        guard.decide(3, &Options::default());
        assert_eq!(guard.gate, Gate::Held);
        guard.open();
        guard.decide(3, &Options::default());
        assert_eq!(guard.gate, Gate::Open);
        guard.count(0, 2 + GUARD_WINDOW);
        guard.decide(3, &Options::default());
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
    fn r_del_3_done_deletions_are_forgotten_after_the_window_and_due_ones_are_not() {
        let mut guard = Guard::default();
        counted(&mut guard, 50, 1);
        guard.due = 8;
        guard.count(1, 2 + GUARD_WINDOW);
        assert_eq!(guard.deletions, 9);
    }
}
