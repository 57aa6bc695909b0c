//! Network, repositories, tokens and the sync set, made once and found again.

use anyhow::Context;
use tandem_client::client::Client;
use tandem_client::error::Error;
use tandem_proto::v1 as wire;
use tonic::Code;
use uuid::Uuid;

use super::home::{Home, repository};
use super::sides::Sides;
use super::{Arguments, setup};
use crate::domain::projection::Side;

/// The network of a quickstart.
pub(super) const NETWORK: &str = "networks/default";

/// The tokens of both agents.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) on_premise: String,
    pub(super) cloud: String,
}

/// The resource name of a side's repository.
pub(super) fn repository_name(side: Side) -> String {
    format!("{NETWORK}/repositories/{}", repository(side))
}

/// The side on the wire.
pub(super) fn wire_side(side: Side) -> wire::Side {
    match side {
        Side::OnPremise => wire::Side::OnPremise,
        Side::Cloud => wire::Side::Cloud,
    }
}

/// Makes the network and both repositories unless they exist, and a token for each agent.
pub(super) async fn repositories(client: &Client, home: &Home) -> anyhow::Result<Tokens> {
    let network = wire::CreateNetworkRequest {
        network_id: "default".to_owned(),
        display_name: "Quickstart".to_owned(),
    };
    unless_there(client.access().create_network(network).await.map(drop))?;
    for side in Side::BOTH {
        let request = wire::CreateRepositoryRequest {
            parent: NETWORK.to_owned(),
            repository_id: repository(side).to_owned(),
            side: wire_side(side) as i32,
            display_name: home.directory(side).display().to_string(),
        };
        unless_there(client.access().create_repository(request).await.map(drop))?;
    }
    Ok(Tokens {
        on_premise: token(client, home, Side::OnPremise).await?,
        cloud: token(client, home, Side::Cloud).await?,
    })
}

fn unless_there(made: Result<(), tonic::Status>) -> anyhow::Result<()> {
    match made {
        Err(status) if status.code() != Code::AlreadyExists => Err(Error::from(status).into()),
        _ => Ok(()),
    }
}

async fn token(client: &Client, home: &Home, side: Side) -> anyhow::Result<String> {
    if let Some(token) = home.token(side) {
        return Ok(token);
    }
    let subject = wire::create_token_request::Subject::Repository(setup::repository_name(side));
    let request = wire::CreateTokenRequest {
        parent: NETWORK.to_owned(),
        subject: Some(subject),
        expire_time: None,
    };
    let made = client
        .access()
        .create_token(request)
        .await
        .map_err(Error::from)?;
    let secret = made.into_inner().secret;
    home.keep_token(side, &secret)?;
    Ok(secret)
}

/// The sync set of the pair: the one that an earlier start made, or a new one.
pub(super) async fn sync_set(
    client: &Client,
    home: &Home,
    arguments: &Arguments,
    sides: &Sides,
) -> anyhow::Result<wire::SyncSet> {
    if let Some(set) = existing(client).await? {
        return Ok(set);
    }
    sides.connected().await?;
    let request = wire::CreateSyncSetRequest {
        parent: NETWORK.to_owned(),
        definition: Some(definition(arguments)),
        request_id: Uuid::now_v7().to_string(),
        owner: String::new(),
    };
    let made = client
        .sync_sets()
        .create_sync_set(request)
        .await
        .map_err(Error::from)?;
    let set = made
        .into_inner()
        .sync_set
        .context("the coordinator made no set")?;
    tracing::info!(
        sync_set.name = %set.name, on_premise = %home.directory(Side::OnPremise).display(), "made"
    );
    Ok(set)
}

async fn existing(client: &Client) -> anyhow::Result<Option<wire::SyncSet>> {
    let request = wire::ListSyncSetsRequest {
        parent: NETWORK.to_owned(),
        ..Default::default()
    };
    let sets = client
        .sync_sets()
        .list_sync_sets(request)
        .await
        .map_err(Error::from)?;
    Ok(sets.into_inner().sync_sets.into_iter().next())
}

fn definition(arguments: &Arguments) -> wire::SyncSetDefinition {
    wire::SyncSetDefinition {
        kind: wire::SyncSetKind::Folder as i32,
        on_premise_repository: repository_name(Side::OnPremise),
        paths: vec![String::new()],
        cloud_repository: repository_name(Side::Cloud),
        target_path: String::new(),
        options: Some(arguments.policies.set(wire::SyncSetOptions {
            include_subfolders: Some(!arguments.no_subfolders),
            lock_on_premise_copy: arguments.lock_on_premise_copy,
            allow_delete_on_cloud: Some(!arguments.no_delete_on_cloud),
            delete_on_premise: arguments.delete_on_premise,
            max_delete_percent: Some(arguments.max_delete_percent),
            ..Default::default()
        })),
        ..Default::default()
    }
}
