//! Networks and their repositories.

use std::collections::BTreeMap;

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::access::{Network, Repository};
use super::entity::{network, repository};
use super::{Error, Store, sql};
use crate::domain::access::Side;
use crate::domain::ids::{NetworkId, RepositoryId};

impl Store {
    /// Makes a network with its journal head.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the name is taken.
    pub async fn create_network(
        &self,
        name: &str,
        display_name: &str,
        now: i64,
    ) -> Result<Network, Error> {
        self.write(|tx| async move {
            let row = network::ActiveModel {
                name: Set(name.to_owned()),
                display_name: Set(display_name.to_owned()),
                created_at: Set(now),
                enabled: Set(true),
                ..Default::default()
            };
            let row = row.insert(&*tx).await.map_err(Error::from)?;
            let head = "INSERT INTO journal_head (network) VALUES (?)";
            sql::execute(&*tx, head, [row.id.into()]).await?;
            Ok(row.into())
        })
        .await
    }

    /// Finds a network by its name.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn network_by_name(&self, name: &str) -> Result<Option<Network>, Error> {
        let row = network::Entity::find()
            .filter(network::Column::Name.eq(name))
            .one(self.reader())
            .await?;
        Ok(row.map(Network::from))
    }

    /// Finds a network.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn network(&self, id: NetworkId) -> Result<Option<Network>, Error> {
        let row = network::Entity::find_by_id(id.0).one(self.reader()).await?;
        Ok(row.map(Network::from))
    }

    /// Registers a repository.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the network has one of this name.
    pub async fn create_repository(
        &self,
        network: NetworkId,
        name: &str,
        side: Side,
        display_name: &str,
        now: i64,
    ) -> Result<Repository, Error> {
        self.write(|tx| async move {
            let row = repository::ActiveModel {
                network: Set(network.0),
                name: Set(name.to_owned()),
                side: Set(side.name().to_owned()),
                display_name: Set(display_name.to_owned()),
                created_at: Set(now),
                ..Default::default()
            };
            row.insert(&*tx).await.map_err(Error::from)?.try_into()
        })
        .await
    }

    /// Finds a repository by its name.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn repository_by_name(
        &self,
        network: NetworkId,
        name: &str,
    ) -> Result<Option<Repository>, Error> {
        repository::Entity::find()
            .filter(repository::Column::Network.eq(network.0))
            .filter(repository::Column::Name.eq(name))
            .one(self.reader())
            .await?
            .map(Repository::try_from)
            .transpose()
    }

    /// Finds a repository of a network.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn repository(
        &self,
        network: NetworkId,
        id: RepositoryId,
    ) -> Result<Option<Repository>, Error> {
        repository::Entity::find_by_id(id.0)
            .filter(repository::Column::Network.eq(network.0))
            .one(self.reader())
            .await?
            .map(Repository::try_from)
            .transpose()
    }

    /// The names of these repositories.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn repository_names(
        &self,
        ids: &[RepositoryId],
    ) -> Result<BTreeMap<RepositoryId, String>, Error> {
        let mut names = BTreeMap::new();
        for chunk in ids.chunks(500) {
            let rows: Vec<(i64, String)> = repository::Entity::find()
                .select_only()
                .column(repository::Column::Id)
                .column(repository::Column::Name)
                .filter(repository::Column::Id.is_in(chunk.iter().map(|id| id.0)))
                .into_tuple()
                .all(self.reader())
                .await?;
            names.extend(rows.into_iter().map(|(id, name)| (RepositoryId(id), name)));
        }
        Ok(names)
    }

    /// Lists at most `limit` repositories of a network by name, beginning after a name.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn repositories(
        &self,
        network: NetworkId,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Repository>, Error> {
        let mut query = repository::Entity::find()
            .filter(repository::Column::Network.eq(network.0))
            .order_by_asc(repository::Column::Name)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(repository::Column::Name.gt(after));
        }
        let rows = query.all(self.reader()).await?;
        rows.into_iter().map(Repository::try_from).collect()
    }

    /// Lets the next session bind whatever installation it has (R-AGT-2); false when there is no such repository.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn rebind_repository(
        &self,
        network: NetworkId,
        id: RepositoryId,
    ) -> Result<bool, Error> {
        const REBIND: &str =
            "UPDATE repository SET rebind = 1, cloned = 0 WHERE id = ? AND network = ?";
        let changed =
            self.write(|tx| async move {
                sql::execute(&*tx, REBIND, [id.0.into(), network.0.into()]).await
            })
            .await?;
        Ok(changed > 0)
    }
}
