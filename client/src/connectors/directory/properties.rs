//! Properties of nodes: extended attributes, readable and writable for people too.
//!
//! `user.tandem.p.cm:title` holds `text:Contract`; a value without a known prefix is a text. A value that is too large
//! for the file system stays in the index, and the attribute says so.

use std::{ffi::OsStr, fs::File, io};

use tandem_proto::v1::{Property, PropertyValue, TextList, property_value::Kind};

use super::os;

const PREFIX: &str = "user.tandem.p.";
const IN_INDEX: &[u8] = b"index:";

fn attribute(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn encode(value: &PropertyValue) -> Vec<u8> {
    let text = match &value.kind {
        None => String::new(),
        Some(Kind::Text(text)) => format!("text:{text}"),
        Some(Kind::Flag(flag)) => format!("flag:{flag}"),
        Some(Kind::Integer(number)) => format!("integer:{number}"),
        Some(Kind::Number(number)) => format!("number:{number}"),
        Some(Kind::Timestamp(stamp)) => format!("timestamp:{} {}", stamp.seconds, stamp.nanos),
        Some(Kind::TextList(list)) => {
            format!("texts:{}", serde_json::Value::from(list.values.clone()))
        }
    };
    text.into_bytes()
}

fn decode(bytes: &[u8]) -> PropertyValue {
    let text = String::from_utf8_lossy(bytes);
    let kind = text
        .split_once(':')
        .and_then(|(prefix, rest)| match prefix {
            "text" => Some(Kind::Text(rest.to_owned())),
            "flag" => rest.parse().ok().map(Kind::Flag),
            "integer" => rest.parse().ok().map(Kind::Integer),
            "number" => rest.parse().ok().map(Kind::Number),
            "timestamp" => timestamp(rest).map(Kind::Timestamp),
            "texts" => serde_json::from_str(rest)
                .ok()
                .map(|values| Kind::TextList(TextList { values })),
            _ => None,
        });
    PropertyValue {
        kind: Some(kind.unwrap_or_else(|| Kind::Text(text.into_owned()))),
    }
}

fn timestamp(text: &str) -> Option<prost_types::Timestamp> {
    let (seconds, nanos) = text.split_once(' ')?;
    Some(prost_types::Timestamp {
        seconds: seconds.parse().ok()?,
        nanos: nanos.parse().ok()?,
    })
}

/// Reads the properties of an open file, sorted by name; `kept` are those that the index holds.
pub(super) fn read(file: &File, kept: &[Property]) -> io::Result<Vec<Property>> {
    let mut properties = Vec::new();
    for attribute in os::attributes(file)? {
        let Some(name) = attribute.strip_prefix(PREFIX) else {
            continue;
        };
        let Some(value) = os::attribute(file, OsStr::new(&attribute))? else {
            continue;
        };
        if value == IN_INDEX {
            properties.extend(kept.iter().find(|property| property.name == name).cloned());
        } else {
            properties.push(Property {
                name: name.to_owned(),
                value: Some(decode(&value)),
            });
        }
    }
    Ok(sorted(properties))
}

/// Makes the properties of a file exactly these.
pub(super) fn write(file: &File, properties: &[Property]) -> io::Result<()> {
    for name in os::attributes(file)? {
        let known = |name: &str| properties.iter().any(|property| property.name == name);
        if name.strip_prefix(PREFIX).is_some_and(|name| !known(name)) {
            os::remove_attribute(file, OsStr::new(&name))?;
        }
    }
    for property in properties {
        let name = attribute(&property.name);
        let value = property.value.as_ref().map_or_else(Vec::new, encode);
        if os::set_attribute(file, OsStr::new(&name), &value).is_err() {
            // Too large for this file system, or the room for attributes is used up.
            os::set_attribute(file, OsStr::new(&name), IN_INDEX)?;
        }
    }
    Ok(())
}

/// In the order in which they are compared.
pub(super) fn sorted(mut properties: Vec<Property>) -> Vec<Property> {
    properties.sort_by(|one, other| one.name.cmp(&other.name));
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went() {
        let kinds = [
            Kind::Text("a:b\n".to_owned()),
            Kind::Text(String::new()),
            Kind::Flag(true),
            Kind::Integer(-5),
            Kind::Number(0.1),
            Kind::Timestamp(prost_types::Timestamp {
                seconds: -1,
                nanos: 5,
            }),
            Kind::TextList(TextList {
                values: vec!["x".to_owned(), "y \"z\"".to_owned()],
            }),
        ];
        for kind in kinds {
            let value = PropertyValue { kind: Some(kind) };
            assert_eq!(decode(&encode(&value)), value);
        }
        let plain = decode(b"set by hand");
        assert_eq!(plain.kind, Some(Kind::Text("set by hand".to_owned())));
    }
}
