//! The fields of a state, each by itself: what collides PER_FIELD, and what a merge is (R-CON-2).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::planted::planted;
use super::projection::{Comparison, State};

/// What of a node is changed by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Its name.
    Name,
    /// Its content.
    Content,
    /// The folder it lies in.
    Parent,
    /// A property.
    Property(String),
}

/// Every field that any of these states has.
fn fields(states: [&State; 2]) -> BTreeSet<Field> {
    let properties = states
        .into_iter()
        .flat_map(|state| state.projection.properties.keys().cloned());
    let own = [Field::Name, Field::Content, Field::Parent];
    properties.map(Field::Property).chain(own).collect()
}

impl State {
    /// This state, with some fields as another one has them.
    #[must_use]
    pub fn with<'a>(&self, fields: impl IntoIterator<Item = &'a Field>, other: &Self) -> Self {
        let mut projection = (*self.projection).clone();
        let mut parent = self.parent;
        let from = &other.projection;
        for field in fields {
            match field {
                Field::Name => projection.name.clone_from(&from.name),
                Field::Content => projection.content = from.content,
                Field::Parent => parent = other.parent,
                Field::Property(name) => match from.properties.get(name) {
                    Some(value) => {
                        let properties = &mut projection.properties;
                        properties.insert(name.clone(), value.clone());
                    }
                    None => drop(projection.properties.remove(name)),
                },
            }
        }
        Self {
            projection: Arc::new(projection),
            parent,
        }
    }
}

impl Comparison {
    /// Whether two states count as equal in a field.
    #[must_use]
    pub fn equal_in(&self, field: &Field, left: &State, right: &State) -> bool {
        let (parents, left, right) = (
            left.parent == right.parent,
            &left.projection,
            &right.projection,
        );
        match field {
            Field::Name => self.equal_names(&left.name, &right.name),
            Field::Content => {
                left.content.map(|content| content.digest)
                    == right.content.map(|content| content.digest)
            }
            Field::Parent => parents,
            Field::Property(name) => {
                let ignored = |kept: &BTreeSet<String>| !kept.contains(name);
                self.properties.as_ref().is_some_and(ignored)
                    || left.properties.get(name) == right.properties.get(name)
            }
        }
    }

    /// The fields that both sides changed, differently; all that differ where both are new.
    #[must_use]
    pub fn collisions(&self, base: Option<&State>, left: &State, right: &State) -> Vec<Field> {
        let changed = |field: &Field, state: &State| {
            base.is_none_or(|base| !self.equal_in(field, base, state))
        };
        let differ = |field: &Field| !self.equal_in(field, left, right);
        fields([left, right])
            .into_iter()
            .filter(|field| differ(field) && changed(field, left) && changed(field, right))
            .collect()
    }

    /// How a copy is to be: as the other one, but for the fields that only it has changed.
    #[must_use]
    pub fn merged(&self, base: &State, own: &State, other: &State) -> State {
        let kept: Vec<Field> = fields([own, other])
            .into_iter()
            .filter(|field| !self.equal_in(field, base, own) && self.equal_in(field, base, other))
            .filter(|_| !planted("merge-keeps-one-side"))
            .collect();
        other.with(&kept, own)
    }
}

/// A merge that was applied: what its receiver had, and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct AppliedMerge<'a> {
    /// What both once agreed on.
    pub base: &'a State,
    /// The receiver's state as it was known before.
    pub before: &'a State,
    /// What was delivered.
    pub delivered: &'a State,
    /// What the receiver has now.
    pub result: &'a State,
    /// The other copy as it is now.
    pub source: &'a State,
}

/// How the base moves with a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedBase {
    /// The new base.
    pub base: State,
    /// The receiver differs from it only in what its repository made of the delivery (R-PRJ-5).
    pub made: bool,
    /// The other copy has moved on in something that was delivered.
    pub moved_on: bool,
}

impl AppliedMerge<'_> {
    /// (c) and (d) of "How base moves", field by field: what the delivery changed enters the base, and so does what is
    /// equal on both sides; where the other copy has moved on, whatever the receiver made of it does. Content that
    /// somebody wrote is never given up so.
    #[must_use]
    pub fn moved(&self, comparison: &Comparison) -> MovedBase {
        let equal = |field: &Field, left, right| comparison.equal_in(field, left, right);
        let of = [self.base, self.before, self.delivered, self.result];
        let all: BTreeSet<Field> = fields([of[0], of[1]])
            .into_iter()
            .chain(fields([of[2], of[3]]))
            .chain(fields([self.source, self.source]))
            .collect();
        let (mut delivered, mut result) = (Vec::new(), Vec::new());
        let mut moved_on = false;
        for field in &all {
            let changed =
                !equal(field, self.base, self.delivered) && equal(field, self.base, self.before);
            let left_behind = changed && !equal(field, self.source, self.delivered);
            moved_on |= left_behind;
            if equal(field, self.result, self.source) || (left_behind && *field != Field::Content) {
                result.push(field.clone());
            } else if changed {
                delivered.push(field.clone());
            }
        }
        let base = self.base.with(&delivered, self.delivered);
        let base = base.with(&result, self.result);
        let mut differing = all.iter().filter(|field| !equal(field, &base, self.result));
        let by_receiver =
            |field: &Field| *field != Field::Content && !equal(field, self.result, self.delivered);
        let any = !comparison.equal(&base, self.result);
        MovedBase {
            made: any && differing.all(by_receiver),
            base,
            moved_on,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::{Digest, MemberId};
    use super::super::projection::{ContentRef, NodeKind, Projection, PropertyValue};
    use super::*;

    /// A name, content, and a title where there is one.
    fn state(name: &str, content: u8, title: Option<&str>) -> State {
        let title = title.map(|title| ("cm:title".to_owned(), PropertyValue::Text(title.into())));
        let digest = Digest([content; 32]);
        State {
            projection: Arc::new(Projection {
                kind: NodeKind::Document,
                name: name.to_owned(),
                content: Some(ContentRef { digest, size: 1 }),
                properties: title.into_iter().collect(),
                node_type: String::new(),
            }),
            parent: None,
        }
    }

    #[test]
    fn r_con_2_only_the_same_field_changed_differently_collides() {
        let all = Comparison::default();
        let base = state("a", 1, None);
        let collide = |left: &State, right: &State| all.collisions(Some(&base), left, right);
        assert!(collide(&state("b", 1, None), &state("a", 2, Some("t"))).is_empty());
        assert!(collide(&state("b", 1, None), &state("b", 2, None)).is_empty());
        assert_eq!(
            collide(&state("b", 2, Some("t")), &state("c", 2, Some("u"))),
            [Field::Name, Field::Property("cm:title".to_owned())]
        );
        let mut moved = state("a", 1, None);
        moved.parent = Some(MemberId(uuid::Uuid::from_u128(1)));
        let mut elsewhere = moved.clone();
        elsewhere.parent = Some(MemberId(uuid::Uuid::from_u128(2)));
        assert_eq!(collide(&moved, &elsewhere), [Field::Parent]);
    }

    #[test]
    fn r_con_2_where_both_are_new_all_that_differs_collides() {
        let all = Comparison::default();
        let found = all.collisions(None, &state("a", 1, None), &state("a", 2, Some("t")));
        let title = Field::Property("cm:title".to_owned());
        assert_eq!(found, [Field::Content, title]);
    }

    #[test]
    fn r_con_2_a_merge_is_the_same_seen_from_either_side() {
        let all = Comparison::default();
        let base = state("a", 1, Some("t"));
        let (left, right) = (state("b", 1, None), state("a", 2, Some("t")));
        let merged = all.merged(&base, &left, &right);
        assert_eq!(merged, state("b", 2, None));
        assert_eq!(all.merged(&base, &right, &left), merged);
    }

    #[test]
    fn r_con_2_a_merge_moves_the_base_by_what_it_delivered_only() {
        let all = Comparison::default();
        let base = state("a", 1, None);
        let (before, source) = (state("b", 1, None), state("a", 2, None));
        let delivered = all.merged(&base, &before, &source);
        let mut applied = AppliedMerge {
            base: &base,
            before: &before,
            delivered: &delivered,
            result: &delivered,
            source: &source,
        };
        let moved = applied.moved(&all);
        // The name is still the receiver's own change, and goes to the other side now.
        assert_eq!(moved.base, state("a", 2, None));
        assert!(!moved.made && !moved.moved_on);
        let by_rule = state("b", 2, Some("by rule"));
        applied.result = &by_rule;
        assert!(!applied.moved(&all).made, "its user's change is in it too");
        let later = state("a", 3, None);
        applied.source = &later;
        assert!(applied.moved(&all).moved_on);
        assert_eq!(
            applied.moved(&all).base.projection.content,
            delivered.projection.content
        );
    }
}
