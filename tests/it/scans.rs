//! A scan that an administrator asks for, through real processes.

use std::fs;

use tandem_tests::pair::{Pair, write};

#[tokio::test(flavor = "multi_thread")]
async fn r_agt_8_a_scan_from_the_command_line_finds_what_no_watch_told_of() {
    let mut pair = Pair::new().unwrap();
    let file = pair.contracts().join("a.txt");
    write(&file, "first").unwrap();
    // The watch of a folder tells nothing of what is written through another name of a file, outside of it.
    let outside = pair.contracts().with_file_name("outside.txt");
    fs::hard_link(&file, &outside).unwrap();
    pair.start_in_sync(&[]).await.unwrap();
    fs::write(&outside, "written through the other name").unwrap();
    let asked = pair.tandem(&["repository", "scan", "on-premise"]).await;
    assert!(
        asked.unwrap()["name"]
            .as_str()
            .unwrap()
            .ends_with("/on-premise")
    );
    let copy = pair.mirror().join("a.txt");
    let found = pair.until("the scan finds the change", || {
        fs::read_to_string(&copy).is_ok_and(|text| text == "written through the other name")
    });
    found.await.unwrap();
    let unknown = pair.tandem(&["repository", "scan", "elsewhere"]).await;
    assert!(unknown.is_err(), "{unknown:?}");
    pair.stop().await.unwrap();
}
