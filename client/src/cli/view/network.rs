//! Networks.

use serde::Serialize;
use tandem_proto::v1::Network;

use super::{Show, text, time};

/// A tenant.
#[derive(Debug, Serialize)]
pub(crate) struct NetworkView {
    name: String,
    display_name: String,
    create_time: Option<String>,
}

impl From<Network> for NetworkView {
    fn from(network: Network) -> Self {
        Self {
            create_time: time::rfc3339(network.create_time.as_ref()),
            name: network.name,
            display_name: network.display_name,
        }
    }
}

impl Show for NetworkView {
    fn human(&self) -> String {
        text::fields(&[
            ("Network", self.name.clone()),
            ("Display name", text::or_dash(&self.display_name)),
            ("Created", time::readable(self.create_time.as_deref())),
        ])
    }
}
