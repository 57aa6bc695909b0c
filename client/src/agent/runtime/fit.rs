//! Nodes that no batch could carry are reported without what makes them large, so that they fail alone (R-AGT-3).

use prost::Message;
use tandem_proto::v1::{NodeTrait, Observation, observation::State};

use super::batches::Limits;
use crate::agent::repository::NAME_BYTES_MAX;

/// A node takes at most this part of a batch: an outcome tells of it twice, a page has bytes of its own.
const PART_OF_BATCH: usize = 3;

/// Leaves out content and properties of a node that exceeds the limits, and says so.
pub(super) fn fit(observation: &mut Observation, limits: &Limits) {
    shorten(observation);
    if !exceeds(observation, limits) {
        return;
    }
    tracing::warn!(node = %observation.node_id, "the node is larger than the coordinator takes; its member fails");
    if observation.node_trait() == NodeTrait::Unspecified {
        observation.set_node_trait(NodeTrait::TooLarge);
    }
    if let Some(State::Present(present)) = &mut observation.state {
        present.properties.clear();
        present.content = None;
    }
}

/// A name that is too long is told as far as it may be: the node is listed as skipped (R-MEM-1).
fn shorten(observation: &mut Observation) {
    let Some(State::Present(present)) = &mut observation.state else {
        return;
    };
    if present.name.len() <= NAME_BYTES_MAX {
        return;
    }
    let end = present.name.floor_char_boundary(NAME_BYTES_MAX);
    present.name.truncate(end);
    present.properties.clear();
    present.content = None;
    observation.illegal_name = true;
    observation.set_node_trait(NodeTrait::Special);
}

fn exceeds(observation: &Observation, limits: &Limits) -> bool {
    let Some(State::Present(present)) = &observation.state else {
        return false;
    };
    let content = present.content.as_ref();
    let large = content.is_some_and(|content| content.size > limits.content_bytes_max);
    // Without properties there is nothing that could be so large; weighing every node would cost more.
    large
        || !present.properties.is_empty()
            && observation.encoded_len() > limits.bytes_max / PART_OF_BATCH
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{
        ContentRef, ExchangeLimits, Projection, Property, PropertyValue, property_value::Kind,
    };

    use super::*;

    fn node(size: i64, text: usize) -> Observation {
        let property = Property {
            name: "cm:title".to_owned(),
            value: Some(PropertyValue {
                kind: Some(Kind::Text("x".repeat(text))),
            }),
        };
        let present = Projection {
            name: "a".to_owned(),
            content: Some(ContentRef {
                size,
                ..ContentRef::default()
            }),
            properties: vec![property],
            ..Projection::default()
        };
        Observation {
            state: Some(State::Present(present)),
            ..Observation::default()
        }
    }

    #[test]
    fn r_mem_1_a_name_that_is_too_long_is_told_in_part() {
        let limits = Limits::from(ExchangeLimits::default());
        let mut seen = node(1, 1);
        let mut named = |name: String| {
            if let Some(State::Present(present)) = &mut seen.state {
                present.name = name;
            }
            fit(&mut seen, &limits);
            let Some(State::Present(present)) = &seen.state else {
                panic!("it is still there");
            };
            let name = present.name.clone();
            (name, seen.illegal_name, seen.node_trait())
        };
        let longest = "x".repeat(255);
        let told = named(longest.clone());
        assert_eq!(told, (longest, false, NodeTrait::Unspecified));
        let told = named("\u{e9}".repeat(128));
        assert_eq!(told, ("\u{e9}".repeat(127), true, NodeTrait::Special));
    }

    #[test]
    fn r_agt_3_only_what_exceeds_a_limit_is_left_out() {
        let limits = Limits::from(ExchangeLimits {
            content_bytes_max: 10,
            ..ExchangeLimits::default()
        });
        let mut small = node(10, 1_000);
        fit(&mut small, &limits);
        assert_eq!(small, node(10, 1_000));
        for (size, text) in [(11, 1), (1, limits.bytes_max / PART_OF_BATCH)] {
            let mut large = node(size, text);
            fit(&mut large, &limits);
            assert_eq!(large.node_trait(), NodeTrait::TooLarge);
            let Some(State::Present(present)) = large.state else {
                panic!("it is still there");
            };
            assert_eq!((present.content, present.properties.len()), (None, 0));
        }
    }
}
