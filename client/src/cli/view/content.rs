//! Contents and projections, as they stand in members, conflicts and versions.

use serde::Serialize;
use tandem_proto::v1::{ContentRef, Projection, Property, PropertyValue, property_value::Kind};

use super::{
    label::{self, Label},
    text, time,
};

/// Content by digest and size.
#[derive(Debug, Serialize)]
pub(crate) struct ContentView {
    pub(crate) digest: String,
    pub(crate) size: i64,
}

impl From<ContentRef> for ContentView {
    fn from(content: ContentRef) -> Self {
        Self {
            digest: hex::encode(&content.digest),
            size: content.size,
        }
    }
}

impl ContentView {
    /// Size, and as much of the digest as tells contents apart.
    pub(crate) fn readable(&self) -> String {
        let digest = self.digest.get(..12).unwrap_or(&self.digest);
        format!("{}, sha256 {digest}", text::size(self.size))
    }
}

/// What is compared and synced of a node.
#[derive(Debug, Serialize)]
pub(crate) struct ProjectionView {
    kind: Label,
    name: String,
    content: Option<ContentView>,
    properties: Vec<PropertyView>,
}

impl ProjectionView {
    /// The name of the node.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// A property with its value, as JSON has it; times as RFC 3339.
#[derive(Debug, Serialize)]
struct PropertyView {
    name: String,
    value: serde_json::Value,
}

impl From<Projection> for ProjectionView {
    fn from(projection: Projection) -> Self {
        Self {
            kind: label::node_kind(projection.kind()),
            name: projection.name,
            content: projection.content.map(Into::into),
            properties: projection.properties.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Property> for PropertyView {
    fn from(property: Property) -> Self {
        Self {
            name: property.name,
            value: json(property.value),
        }
    }
}

fn json(value: Option<PropertyValue>) -> serde_json::Value {
    match value.and_then(|value| value.kind) {
        None => serde_json::Value::Null,
        Some(Kind::Text(text)) => text.into(),
        Some(Kind::Flag(flag)) => flag.into(),
        Some(Kind::Integer(integer)) => integer.into(),
        Some(Kind::Number(number)) => number.into(),
        Some(Kind::Timestamp(timestamp)) => time::rfc3339(Some(&timestamp)).into(),
        Some(Kind::TextList(list)) => list.values.into(),
    }
}

/// Name, content and number of properties; what is absent was deleted.
pub(crate) fn readable(projection: Option<&ProjectionView>, absent: &str) -> String {
    let Some(projection) = projection else {
        return absent.to_owned();
    };
    let mut readable = projection.name.clone();
    if let Some(content) = &projection.content {
        readable.push_str(&format!(" ({})", content.readable()));
    }
    for property in &projection.properties {
        readable.push_str(&format!(", {} = {}", property.name, property.value));
    }
    readable
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::NodeKind;

    use super::*;

    #[test]
    fn a_projection_is_shown_with_content_and_properties() {
        let projection = Projection {
            kind: NodeKind::Document.into(),
            name: "a.txt".to_owned(),
            content: Some(ContentRef {
                digest: vec![0xab; 32].into(),
                size: 2048,
                inline: None,
            }),
            properties: vec![Property {
                name: "cm:title".to_owned(),
                value: Some(PropertyValue {
                    kind: Some(Kind::Text("A".to_owned())),
                }),
            }],
            node_type: String::new(),
        };
        let view = ProjectionView::from(projection);
        assert_eq!(
            readable(Some(&view), "deleted"),
            "a.txt (2.0 KiB, sha256 abababababab), cm:title = \"A\""
        );
        assert_eq!(readable(None, "deleted"), "deleted");
        let json = serde_json::to_value(&view).expect("it is JSON");
        assert_eq!(json["content"]["digest"], "ab".repeat(32));
        assert_eq!(json["properties"][0]["value"], "A");
    }
}
