//! Networks, their journal heads, repositories with the state of their sessions, and tokens.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, big_pk_auto, binary, binary_null, boolean, pk_auto, pk_uuid,
    string, string_null, string_uniq,
};
use sea_orm_migration::sea_orm::DatabaseBackend;

const NETWORK: &str = "network";
const JOURNAL_HEAD: &str = "journal_head";
const REPOSITORY: &str = "repository";
const TOKEN: &str = "token";

/// Makes the tables that say who takes part.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261123_000001_access"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(network(manager.get_database_backend()))
            .await?;
        manager.create_table(journal_head()).await?;
        manager
            .create_table(repository(manager.get_database_backend()))
            .await?;
        manager.create_index(repository_name()).await?;
        manager.create_table(token()).await?;
        manager.create_index(token_network()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [TOKEN, REPOSITORY, JOURNAL_HEAD, NETWORK] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// The number of a row has 64 bits everywhere; SQLite has no other, and knows its own by the plain type only.
fn row_id(backend: DatabaseBackend) -> ColumnDef {
    match backend {
        DatabaseBackend::Postgres => big_pk_auto("id"),
        _ => pk_auto("id"),
    }
}

/// Times are microseconds since 1970-01-01 UTC everywhere.
fn network(backend: DatabaseBackend) -> TableCreateStatement {
    Table::create()
        .table(NETWORK)
        .col(row_id(backend))
        .col(string_uniq("name"))
        .col(string("display_name"))
        .col(big_integer("created_at"))
        .col(boolean("enabled").default(true))
        .take()
}

/// One row per network: locking it is what orders the network's writers and its journal.
fn journal_head() -> TableCreateStatement {
    Table::create()
        .table(JOURNAL_HEAD)
        .col(big_integer("network").primary_key())
        .col(big_integer("position").default(0))
        .col(big_integer("generation").default(1))
        .col(big_integer("mark").default(0))
        .foreign_key(&mut refers(JOURNAL_HEAD, "network", NETWORK))
        .take()
}

fn repository(backend: DatabaseBackend) -> TableCreateStatement {
    Table::create()
        .table(REPOSITORY)
        .col(row_id(backend))
        .col(big_integer("network"))
        .col(string("name"))
        .col(string("side"))
        .col(string("display_name"))
        .col(big_integer("created_at"))
        .col(string_null("installation"))
        .col(string_null("index_id"))
        .col(big_integer("generation").default(0))
        .col(big_integer("epoch").default(0))
        .col(binary_null("resume_key"))
        .col(binary_null("pending_resume_key"))
        .col(boolean("cloned").default(false))
        .col(boolean("rebind").default(false))
        .col(big_integer("batch_number").default(0))
        .col(binary_null("batch_id"))
        .col(binary_null("cursor"))
        .col(string_null("name_rule_case"))
        .col(string_null("name_rule_unicode"))
        .col(binary_null("capabilities"))
        .foreign_key(&mut refers(REPOSITORY, "network", NETWORK))
        .take()
}

fn repository_name() -> IndexCreateStatement {
    Index::create()
        .name("repository_network_name")
        .table(REPOSITORY)
        .col("network")
        .col("name")
        .unique()
        .take()
}

fn token() -> TableCreateStatement {
    Table::create()
        .table(TOKEN)
        .col(pk_uuid("id"))
        .col(big_integer_null("network"))
        .col(binary("secret_hash").unique_key())
        .col(big_integer_null("repository"))
        .col(string_null("user"))
        .col(string_null("role"))
        .col(big_integer("created_at"))
        .col(big_integer_null("expires_at"))
        .col(big_integer_null("revoked_at"))
        .foreign_key(&mut refers(TOKEN, "network", NETWORK))
        .foreign_key(&mut refers(TOKEN, "repository", REPOSITORY))
        .take()
}

fn token_network() -> IndexCreateStatement {
    Index::create()
        .name("token_network_id")
        .table(TOKEN)
        .col("network")
        .col("id")
        .take()
}

fn refers(from: &'static str, column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(from, column).to(to, "id").take()
}
