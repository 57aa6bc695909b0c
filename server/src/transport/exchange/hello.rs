//! The first frame (R-AGT-1): what it claims must be what the credential says.

use prost::bytes::Bytes;
use tandem_proto::v1 as wire;

use crate::domain::ids::{BatchId, Generation};
use crate::domain::limits::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, BATCHES_UNANSWERED_MAX, CONTENT_BYTES_MAX, INLINE_BYTES_MAX,
    INSTALLATION_BYTES_MAX, WINDOW_BYTES_DEFAULT, WINDOW_BYTES_MIN, WINDOW_DELIVERIES_DEFAULT,
    WINDOW_DELIVERIES_MAX,
};
use crate::domain::session::{Greeting, PROTOCOL, ResumeKey};
use crate::service::exchange::{Declared, Hello, Welcome};
use crate::service::{AgentScope, Error};
use crate::transport::convert;

/// Reads the first frame.
///
/// # Errors
/// [`Error::ProtocolViolation`] for another frame, [`Error::InvalidField`], [`Error::NotAllowed`] for a foreign name.
pub(super) fn hello(
    scope: &AgentScope,
    frame: Option<wire::exchange_request::Frame>,
) -> Result<Hello, Error> {
    let Some(wire::exchange_request::Frame::Hello(hello)) = frame else {
        return Err(Error::protocol("the first frame of a stream is `hello`"));
    };
    let named = format!(
        "networks/{}/repositories/{}",
        scope.network_name, scope.repository_name
    );
    let side = convert::side("hello.side", hello.side)?;
    if hello.repository != named || side != scope.side {
        return Err(Error::NotAllowed);
    }
    let window = hello.window.unwrap_or_default();
    Ok(Hello {
        declared: declared(hello.capabilities.unwrap_or_default()),
        deliveries_max: deliveries_max(window.deliveries_max)?,
        bytes_max: bytes_max(window.bytes_max)?,
        greeting: Greeting {
            installation: id("hello.installation_id", hello.installation_id)?,
            index: id("hello.index_id", hello.index_id)?,
            generation: Generation(hello.generation),
            key: key(&hello.resume_key)?,
            batch_number: hello.last_batch_number,
            batch_id: BatchId::from_bytes(&hello.last_batch_id),
            protocol_min: hello.protocol_min,
            protocol_max: hello.protocol_max,
        },
    })
}

fn id(field: &str, id: String) -> Result<String, Error> {
    if id.is_empty() || id.len() > INSTALLATION_BYTES_MAX {
        return Err(Error::invalid(
            field,
            format!("1 to {INSTALLATION_BYTES_MAX} bytes"),
        ));
    }
    Ok(id)
}

fn key(bytes: &Bytes) -> Result<Option<ResumeKey>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key = ResumeKey::from_bytes(bytes);
    key.map(Some)
        .ok_or_else(|| Error::invalid("hello.resume_key", "16 bytes, or none"))
}

fn deliveries_max(asked: i32) -> Result<usize, Error> {
    match usize::try_from(asked) {
        Ok(0) => Ok(WINDOW_DELIVERIES_DEFAULT),
        Ok(asked) if asked <= WINDOW_DELIVERIES_MAX => Ok(asked),
        _ => {
            let rule = format!("1 to {WINDOW_DELIVERIES_MAX}, or 0 for the default");
            Err(Error::invalid("hello.window.deliveries_max", rule))
        }
    }
}

fn bytes_max(asked: i64) -> Result<i64, Error> {
    match asked {
        0 => Ok(WINDOW_BYTES_DEFAULT),
        asked if asked >= WINDOW_BYTES_MIN => Ok(asked),
        _ => {
            let rule = format!("at least {WINDOW_BYTES_MIN}, or 0 for the default");
            Err(Error::invalid("hello.window.bytes_max", rule))
        }
    }
}

fn declared(capabilities: wire::Capabilities) -> Declared {
    let rule = capabilities.name_rule.unwrap_or_default();
    let all = capabilities.properties.iter().any(|name| name == "*");
    Declared {
        case_insensitive: rule.case_insensitive,
        unicode_insensitive: rule.unicode_insensitive,
        properties: (!all).then(|| capabilities.properties.into_iter().collect()),
        node_types: capabilities.node_types.into_iter().collect(),
        locks: capabilities.locks,
        users: capabilities.users,
    }
}

/// The coordinator's side of the handshake.
pub(super) fn welcome(welcome: Welcome) -> wire::Welcome {
    let number = |bound: usize| i32::try_from(bound).unwrap_or(i32::MAX);
    wire::Welcome {
        session_epoch: welcome.epoch,
        resume_key: welcome.key.to_bytes().into(),
        protocol: PROTOCOL,
        limits: Some(wire::ExchangeLimits {
            batch_items_max: number(BATCH_ITEMS_MAX),
            batch_bytes_max: number(BATCH_BYTES_MAX),
            batches_unanswered_max: number(BATCHES_UNANSWERED_MAX),
            inline_bytes_max: number(INLINE_BYTES_MAX),
            content_bytes_max: CONTENT_BYTES_MAX,
        }),
        last_batch_number: welcome.batch_number,
        last_batch_id: welcome.batch_id.into(),
        cursor: welcome.cursor.into(),
        generation: welcome.generation.0,
    }
}
