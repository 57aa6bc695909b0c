//! How many conflicts runs found, so that it shows when some kind of them becomes rare.

use std::collections::BTreeMap;
use std::fmt;

use tandem_server::domain::policy::{ConflictGrain, ConflictPolicy};

use super::store::Store;
use super::verdicts::is_of_content;

/// Conflicts by the policy of their sets; those of sets with PER_FIELD are counted once more under that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census(BTreeMap<&'static str, Count>);

/// Conflicts of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    /// All.
    all: usize,
    /// Those in which both sides had written new content.
    of_content: usize,
}

impl Census {
    /// Counts what a run left.
    #[must_use]
    pub fn take(store: &Store) -> Self {
        let mut census = Self::default();
        for conflict in &store.conflicts {
            let set = store.sets.get(&conflict.set);
            let grain = set.map(|set| set.options.conflict_grain);
            let per_field = (grain == Some(ConflictGrain::PerField)).then_some("PER_FIELD");
            for name in per_field.into_iter().chain([name(conflict.policy)]) {
                let count = census.0.entry(name).or_default();
                count.all += 1;
                count.of_content += usize::from(is_of_content(conflict));
            }
        }
        census
    }

    /// Adds what another run left.
    pub fn add(&mut self, other: &Self) {
        for (name, more) in &other.0 {
            let count = self.0.entry(name).or_default();
            count.all += more.all;
            count.of_content += more.of_content;
        }
    }

    /// Conflicts of content under a policy or grain, by its name on the wire.
    #[must_use]
    pub fn of_content(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, |count| count.of_content)
    }
}

impl fmt::Display for Census {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, count)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(
                formatter,
                "{comma}{name} {} ({})",
                count.all, count.of_content
            )?;
        }
        Ok(())
    }
}

fn name(policy: ConflictPolicy) -> &'static str {
    match policy {
        ConflictPolicy::CloudWins => "CLOUD_WINS",
        ConflictPolicy::OnPremiseWins => "ON_PREMISE_WINS",
        ConflictPolicy::KeepBoth => "KEEP_BOTH",
        ConflictPolicy::Manual => "MANUAL",
    }
}
