//! `tandem network`: make networks.

use clap::Subcommand;
use tandem_proto::v1::CreateNetworkRequest;

use super::{
    context::{Context, given},
    error::Error,
    ids::check_id,
    view::network::NetworkView,
};

/// What can be done with networks.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a network; for operators
    Create {
        /// Id: 1 to 63 of a-z, 0-9 and `-`, beginning with a letter
        id: String,
        /// Name that people see
        #[arg(long, default_value = "", hide_default_value = true)]
        display_name: String,
    },
}

/// Does it.
pub(crate) async fn run(context: &mut Context, verb: Verb) -> Result<(), Error> {
    let Verb::Create { id, display_name } = verb;
    check_id("network", &id)?;
    let request = CreateNetworkRequest {
        network_id: id,
        display_name,
    };
    let answer = context
        .client
        .access()
        .create_network(request)
        .await?
        .into_inner();
    let network = given(answer.network, "the network")?;
    context.output.show(&NetworkView::from(network))
}
