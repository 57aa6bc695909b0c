//! A scan that an administrator asks for, through real processes.

use std::fs;

use anyhow::Result;
use tandem_tests::pair::{Pair, write};

#[tokio::test]
async fn r_agt_8_a_scan_from_the_command_line_finds_what_no_watch_told_of() -> Result<()> {
    let mut pair = Pair::new()?;
    let file = pair.contracts().join("a.txt");
    write(&file, "first")?;
    // The watch of a folder tells nothing of what is written through another name of a file, outside of it.
    let outside = pair.contracts().with_file_name("outside.txt");
    fs::hard_link(&file, &outside)?;
    pair.start_in_sync(&[]).await?;
    let scan = ["repository", "scan", "on-premise"];
    // Twice, since the agent must come to rest after a scan as it did after the first.
    for text in ["written through the other name", "and once more"] {
        fs::write(&outside, text)?;
        let asked = pair.tandem(&scan).await?;
        assert!(
            asked["name"]
                .as_str()
                .is_some_and(|name| name.ends_with("/on-premise"))
        );
        let copy = pair.mirror().join("a.txt");
        let found = pair.until("the scan finds the change", || {
            fs::read_to_string(&copy).is_ok_and(|found| found == text)
        });
        found.await?;
    }
    let unknown = pair.tandem(&["repository", "scan", "elsewhere"]).await;
    assert!(unknown.is_err(), "{unknown:?}");
    pair.stop().await
}
