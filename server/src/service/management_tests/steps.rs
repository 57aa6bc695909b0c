//! Work on whole sets goes on after a step of it failed.

use std::time::Duration;

use crate::domain::sync_set::Options;
use crate::service::Error;
use crate::service::testing::Fixture;

/// Long enough for a machine under load; nothing waits so long when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_step_that_failed_is_done_again_though_nobody_asks_for_anything() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a", "b"]).await.set.id;
    let [refuse, allow] = match fixture.test.home.is_postgres() {
        false => [
            "CREATE TRIGGER refused BEFORE DELETE ON member BEGIN SELECT RAISE(ABORT, 'refused'); END",
            "DROP TRIGGER refused",
        ],
        true => [
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
             CREATE TRIGGER refused BEFORE DELETE ON member EXECUTE FUNCTION refuse()",
            "DROP TRIGGER refused ON member",
        ],
    };
    fixture.test.change_schema(refuse).await;
    let alice = fixture.alice().await;
    alice.unsync_set(set, false).await.unwrap();
    let members = fixture.members_of(set).await;
    assert_eq!(members, 3, "no step was done");
    fixture.test.change_schema(allow).await;
    let mut bell = fixture.coordinator.wakeup.network(fixture.network.id);
    let ended = async {
        while !matches!(
            alice.sync_set(set).await,
            Err(Error::SyncSetNotFound { .. })
        ) {
            bell.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}
