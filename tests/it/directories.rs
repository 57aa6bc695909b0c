//! Scenarios of the files `rules_*.rs` that are operations on files alone, played once more with a real coordinator and an
//! agent beside a real directory on each side: at every rest both trees, the reasons of failed members and the number of
//! conflicts are those of the repositories in memory.
//!
//! This very program plays them in memory, each in a process of its own thread, and tells what was done (`sim/told.rs`).
//! What only one side does, it does while the agents look; what both do, they do while no agent looks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use tandem_client::agent::repository::Repository as _;
use tandem_client::connectors::directory::{Directory, Options};
use tandem_proto::v1 as wire;
use tandem_tests::agents::{TaskAgent, repository_of};
use tandem_tests::coordinator::{CLOUD, Coordinator, ON_PREMISE, repository_name};
use tandem_tests::pair::PATIENCE;
use tandem_tests::sim::told::{Deed, Listing, Standing, TOLD, Told, ToldOptions, ToldSet, Where};
use tandem_tests::wait::poll;

/// Scenarios at a time; most of one is waiting.
const AT_ONCE: usize = 6;
/// Keeps the synced folder from being empty: a folder that an agent finds empty when it starts holds its deletions (R-DEL-3),
/// and in memory nobody stops to do something.
const KEEPER: &str = "keeper";

/// Looks in a row that must find rest: longer than a change needs until an agent has heard of it.
const CALM: usize = 20;
/// Scenarios that must have been told: what they do is done to files.
const PLAYED_MIN: usize = 55;

/// The files whose scenarios are played.
const FILES: [&str; 6] = [
    "rules_deletes_and_conflicts",
    "rules_documents",
    "rules_folder_sets",
    "rules_membership",
    "rules_names_and_moves",
    "rules_policies",
];

/// Scenarios that cannot be played beside directories, by the reason why.
const BESIDE: &[(&str, &[&str])] = &[
    (
        "what a person asks the coordinator for is no operation on files",
        &[
            "deleted_on_cloud_is_what_a_new_child_of_a_deleted_cloud_folder_says_until_request_sync",
            "r_con_2_manual_waits_only_where_a_field_collides",
            "r_con_3_manual_keeps_both_copies_until_a_person_decides_about_what_is_there_then",
            "r_con_3_manual_leaves_a_deletion_against_a_change_to_a_person",
            "r_con_4_bytes_that_wait_for_a_decision_are_kept_when_their_copy_is_deleted",
            "r_con_5_a_restored_loser_is_an_ordinary_change_on_both_sides",
            "r_del_1_a_cloud_copy_that_was_deleted_is_made_anew_in_the_target_when_somebody_asks",
            "r_del_1_a_deleted_cloud_copy_is_marked_then_fails_then_is_made_anew_on_request",
            "r_del_1_request_sync_makes_the_folders_above_again_up_to_the_root",
            "r_del_1_so_does_request_sync_on_a_newcomer_in_a_folder_that_was_deleted_there",
            "r_del_3_refused_deletions_are_restored",
            "r_del_3_too_many_deletions_are_held_and_flow_when_they_are_confirmed",
            "r_mem_2_a_folder_of_a_set_that_ends_brings_what_was_skipped_in_it_into_another",
            "r_mem_4_request_sync_on_the_folder_brings_back_what_was_unlinked_in_it",
            "r_mem_4_what_a_set_that_ended_leaves_in_another_synced_folder_is_known_as_left_there",
            "r_set_1_documents_are_unsynced_one_by_one_and_the_set_goes_with_its_last_member",
            "r_uns_1_an_ended_set_leaves_both_copies_and_releases_the_locks",
            "r_uns_1_the_cloud_copy_of_one_document_goes_while_those_of_the_others_stay",
        ],
    ),
    (
        "records, links and what lies outside a library are told by a trait, which no file has",
        &[
            "r_del_2_a_folder_kept_only_for_what_is_no_member_becomes_left",
            "r_mem_1_a_record_is_a_failed_member_and_goes_nowhere_whoever_changes_it",
            "r_mem_1_a_record_that_is_deleted_ends_its_membership",
            "r_mem_1_links_and_the_like_are_skipped_until_they_are_ordinary",
            "r_mov_1_a_synced_folder_outside_every_library_fails_with_all_below_it_until_it_is_back",
            "r_mov_1_a_synced_folder_that_is_deleted_outside_lies_nowhere_and_holds_nothing_back",
            "r_mov_1_back_on_one_side_only_is_not_back",
        ],
    ),
    (
        "both sides compare names in ways that no file system here has",
        &[
            "r_rec_10_a_name_keeps_the_bytes_of_its_own_side_also_when_the_other_spelling_is_taken_there",
            "r_rec_10_of_two_newcomers_to_one_name_the_first_in_the_journal_gets_it",
        ],
    ),
    (
        "rules, titles, or answers that a directory does not give",
        &[
            "r_agt_6_a_create_that_was_observed_before_its_outcome_is_one_member_and_no_conflict",
            "r_agt_6_a_second_answer_to_a_delivery_that_came_twice_is_no_conflict",
            "r_con_2_changes_of_different_fields_are_put_together_and_are_no_conflict",
            "r_err_1_a_repository_that_is_away_is_a_passing_fault_and_heals_by_itself",
            "r_prj_5_a_copy_that_is_stale_again_and_again_fails_as_a_loop_until_request_sync",
            "r_prj_5_a_deletion_made_before_the_rules_title_is_seen_is_no_conflict_and_holds",
            "r_prj_5_a_users_edit_of_what_a_rule_made_is_a_side_of_a_conflict_again",
            "r_prj_5_an_edit_made_before_the_rules_title_is_seen_is_no_conflict_and_not_lost",
            "r_prj_5_copies_that_answer_each_delivery_at_once_are_a_loop_and_people_who_take_turns_none",
            "r_prj_5_two_quick_edits_through_a_rule_that_adds_a_title_are_no_conflict",
        ],
    ),
    (
        "agents stop between two steps, tell by hand, or do not tell of a move",
        &[
            "r_del_3_a_page_that_is_older_than_what_came_with_it_does_not_make_its_root_empty",
            "r_con_2_a_node_that_comes_back_after_its_deletion_lost_gets_the_change_that_won",
            "r_set_1_a_cloud_copy_that_was_on_its_way_when_its_document_was_deleted_follows_the_options",
            "r_uns_1_a_cloud_copy_that_was_on_its_way_when_its_document_was_unsynced_goes_too",
            "r_uns_1_what_somebody_wrote_into_a_copy_that_was_on_its_way_stays",
            "r_con_4_a_node_that_comes_back_while_its_peer_is_removed_is_no_conflict",
            "r_del_2_what_is_made_in_a_folder_that_was_just_moved_out_is_kept",
            "r_mem_4_a_copy_that_was_unlinked_while_it_was_moved_is_known_where_it_came_to_lie",
            "r_mov_4_a_folder_that_is_chosen_around_a_document_does_not_take_it",
            "r_set_3_a_document_that_goes_before_it_is_looked_at_ends_its_membership",
        ],
    ),
    (
        "it takes a synced folder away and puts the same nodes back, or looks page by page",
        &[
            "a_cloud_copy_taken_out_of_the_trash_resumes_its_pairing",
            "r_del_3_a_page_that_lists_an_empty_root_holds_what_its_suspects_turn_out_to_be",
            "r_del_3_a_root_that_is_gone_is_held_whole_and_made_again_when_it_is_refused",
            "r_del_3_an_emptied_root_is_filled_again_when_its_hold_is_refused",
            "r_del_3_an_emptied_root_of_a_small_set_is_held_and_flows_when_it_is_confirmed",
            "r_del_3_what_is_seen_again_is_released_by_itself_piece_by_piece",
            "r_del_4_a_deletion_that_both_sides_know_never_comes_back",
        ],
    ),
    (
        "a document becomes a link, which a file cannot",
        &["r_sta_1_a_chosen_document_that_becomes_a_link_fails_until_it_is_one_no_more"],
    ),
];

fn is_beside(name: &str) -> bool {
    BESIDE.iter().any(|(_, names)| names.contains(&name))
}

/// All worlds of each scenario of these files, but for those that differ by chance alone.
fn told() -> Result<BTreeMap<String, Vec<Told>>> {
    let folder = tempfile::tempdir()?;
    let mut play = Command::new(std::env::current_exe()?);
    let files = FILES.map(|file| format!("{file}::"));
    let play = play.args(files).arg("--test-threads=2");
    let output = play.env(TOLD, folder.path()).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let mut all: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for file in fs::read_dir(folder.path())? {
        let file = file?;
        let told = serde_json::from_slice(&fs::read(file.path())?)?;
        let name = file.file_name().to_string_lossy().into_owned();
        let scenario = name.split('.').nth(1).context("a name without its file")?;
        let worlds = all.entry(scenario.to_owned()).or_default();
        if !worlds.contains(&told) {
            worlds.push(told);
        }
    }
    Ok(all)
}

fn options(told: &ToldOptions) -> wire::SyncSetOptions {
    wire::SyncSetOptions {
        include_subfolders: Some(told.include_subfolders),
        lock_on_premise_copy: told.lock_on_premise_copy,
        allow_delete_on_cloud: Some(told.allow_delete_on_cloud),
        delete_on_premise: told.delete_on_premise,
        conflict_policy: told.conflict_policy,
        conflict_grain: told.conflict_grain,
        name_clash_policy: told.name_clash_policy,
        max_delete_percent: Some(told.max_delete_percent),
    }
}

/// Two directories with their agents, in a network of their own.
struct Site<'a> {
    coordinator: &'a Coordinator,
    network: String,
    agents: BTreeMap<Where, TaskAgent<Directory>>,
    away: BTreeSet<Where>,
    synced: bool,
}

const BOTH: [Where; 2] = [Where::OnPremise, Where::Cloud];

fn side(of: Where) -> wire::Side {
    match of {
        Where::OnPremise => wire::Side::OnPremise,
        Where::Cloud => wire::Side::Cloud,
    }
}

/// On which side a deed is done to files.
fn on(deed: &Deed) -> Option<Where> {
    match deed {
        Deed::Folder(on, _)
        | Deed::Write(on, ..)
        | Deed::Move(on, ..)
        | Deed::Exchange(on, _)
        | Deed::Delete(on, _) => Some(*on),
        Deed::Sync(..) | Deed::Away(_) | Deed::Back(_) | Deed::Rest(_) => None,
    }
}

impl Site<'_> {
    fn directory(&self, of: Where) -> PathBuf {
        let name = format!("{}-{}", self.network, repository_of(side(of)));
        self.coordinator.directory().join(name)
    }

    fn path(&self, of: Where, path: &str) -> PathBuf {
        self.directory(of)
            .join("root")
            .join(path.trim_start_matches('/'))
    }

    async fn start(&mut self, of: Where) -> Result<()> {
        if self.agents.contains_key(&of) {
            return Ok(());
        }
        let (root, state) = (self.path(of, ""), self.directory(of).join("state"));
        let directory = Arc::new(Directory::open(Options::new(root, state)).await?);
        let agent = TaskAgent::start(self.coordinator, &self.network, side(of), directory);
        self.agents.insert(of, agent.await?);
        Ok(())
    }

    async fn stop(&mut self, of: Where) -> Result<()> {
        match self.agents.remove(&of) {
            Some(agent) => agent.stop().await,
            None => Ok(()),
        }
    }

    /// Does what comes before the next rest.
    async fn between(&mut self, deeds: &[Deed]) -> Result<()> {
        let sides: BTreeSet<Where> = deeds.iter().filter_map(on).collect();
        if sides.len() > 1 {
            for of in BOTH {
                self.stop(of).await?;
            }
        }
        for deed in deeds {
            match deed {
                Deed::Sync(set) => self.sync(set).await?,
                Deed::Away(of) => {
                    self.away.insert(*of);
                    self.stop(*of).await?;
                }
                Deed::Back(of) => drop(self.away.remove(of)),
                file => self.to_file(file).with_context(|| format!("{file:?}"))?,
            }
        }
        for of in BOTH {
            if self.synced && !self.away.contains(&of) {
                self.start(of).await?;
            }
        }
        Ok(())
    }

    fn to_file(&self, deed: &Deed) -> Result<()> {
        match deed {
            Deed::Folder(of, path) => fs::create_dir_all(self.path(*of, path))?,
            Deed::Write(of, path, content) => {
                let path = self.path(*of, path);
                let text = content.to_string();
                if path.exists() {
                    return Ok(fs::write(path, text)?);
                }
                // In one step: nobody is to see an empty file under this name.
                let beside = self.directory(*of).join("beside");
                fs::write(&beside, text)?;
                fs::rename(beside, path)?;
            }
            Deed::Move(of, from, to) => fs::rename(self.path(*of, from), self.path(*of, to))?,
            Deed::Exchange(of, paths) => {
                let paths: Vec<PathBuf> = paths.iter().map(|path| self.path(*of, path)).collect();
                let beside = self.directory(*of).join("beside");
                fs::rename(&paths[paths.len() - 1], &beside)?;
                for at in (1..paths.len()).rev() {
                    fs::rename(&paths[at - 1], &paths[at])?;
                }
                fs::rename(beside, &paths[0])?;
            }
            Deed::Delete(of, path) => {
                let path = self.path(*of, path);
                match path.is_dir() {
                    true => fs::remove_dir_all(path)?,
                    false => fs::remove_file(path)?,
                }
            }
            Deed::Sync(..) | Deed::Away(_) | Deed::Back(_) | Deed::Rest(_) => {}
        }
        Ok(())
    }

    async fn sync(&mut self, set: &ToldSet) -> Result<()> {
        let kind = match set.documents {
            true => wire::SyncSetKind::Documents,
            false => {
                let folder = self.path(Where::OnPremise, &set.sources[0]);
                fs::write(folder.join(KEEPER), "0")?;
                wire::SyncSetKind::Folder
            }
        };
        for of in BOTH {
            self.start(of).await?;
        }
        self.synced = true;
        let paths = set
            .sources
            .iter()
            .map(|path| path.trim_start_matches('/').to_owned());
        let definition = wire::SyncSetDefinition {
            kind: kind.into(),
            on_premise_repository: repository_name(&self.network, ON_PREMISE),
            paths: paths.collect(),
            cloud_repository: repository_name(&self.network, CLOUD),
            target_path: set.target.trim_start_matches('/').to_owned(),
            options: Some(options(&set.options)),
            ..Default::default()
        };
        let request = wire::CreateSyncSetRequest {
            parent: format!("networks/{}", self.network),
            definition: Some(definition),
            ..Default::default()
        };
        let mut sets = self.coordinator.operator().await?.sync_sets();
        sets.create_sync_set(request).await?;
        Ok(())
    }

    /// Everybody who is there has nothing to do.
    fn is_at_rest(&self) -> bool {
        self.agents.values().all(|agent| {
            let progress = agent.progress.borrow();
            let working =
                progress.batches_waiting + progress.scans_running + progress.deliveries_waiting;
            working == 0 && agent.repository.is_at_rest()
        })
    }

    async fn standing(&self) -> Result<Standing> {
        let members = self.coordinator.members(&self.network).await?;
        let failed = members.iter().filter_map(|member| member.failure.as_ref());
        let mut failures: Vec<String> = failed
            .map(|failure| folded(failure.reason().as_str_name()))
            .collect();
        failures.sort();
        let request = wire::ListConflictsRequest {
            parent: format!("networks/{}", self.network),
            ..Default::default()
        };
        let mut conflicts = self.coordinator.operator().await?.conflicts();
        let listed = conflicts.list_conflicts(request).await?.into_inner();
        Ok(Standing {
            on_premise: listing(&self.path(Where::OnPremise, ""))?,
            cloud: listing(&self.path(Where::Cloud, ""))?,
            failures,
            conflicts: listed.conflicts.len(),
        })
    }

    async fn rests_at(&self, expected: &Standing) -> Result<()> {
        let mut expected = expected.clone();
        for failure in &mut expected.failures {
            *failure = folded(failure);
        }
        expected.failures.sort();
        let (mut found, mut calm) = (None, 0);
        let rests = poll(PATIENCE, "it rests as it does in memory", async || {
            let at_rest = self.is_at_rest();
            found = self.standing().await.ok();
            calm = match at_rest && found.as_ref() == Some(&expected) {
                true => calm + 1,
                false => 0,
            };
            (calm == CALM).then_some(())
        });
        let Err(late) = rests.await else {
            return Ok(());
        };
        let story = self.coordinator.story(&self.network).await?;
        Err(late.context(format!("{found:#?}\ninstead of\n{expected:#?}\n{story}")))
    }
}

/// Names of reasons are written in two ways.
fn folded(reason: &str) -> String {
    let short = reason.strip_prefix("FAILURE_REASON_").unwrap_or(reason);
    short.replace('_', "").to_lowercase()
}

/// What lies in a directory, as the scenarios tell it; without what is there for our own sake.
fn listing(root: &Path) -> Result<Listing> {
    let mut found = Listing::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        for child in fs::read_dir(root.join(&folder))? {
            let path = folder.join(child?.file_name());
            if path.ends_with(KEEPER) || path.starts_with(".tandem") {
                continue;
            }
            let told = format!("/{}", path.display());
            if root.join(&path).is_dir() {
                found.insert(told, 0);
                waiting.push(path);
            } else {
                found.insert(told, fs::read_to_string(root.join(&path))?.parse()?);
            }
        }
    }
    Ok(found)
}

async fn play(coordinator: &Coordinator, network: &str, told: &Told) -> Result<()> {
    let mut site = Site {
        coordinator,
        network: network.to_owned(),
        agents: BTreeMap::new(),
        away: BTreeSet::new(),
        synced: false,
    };
    coordinator.network(&site.network).await?;
    for of in BOTH {
        fs::create_dir_all(site.path(of, ""))?;
    }
    let mut since = 0;
    for (at, deed) in told.deeds.iter().enumerate() {
        if let Deed::Rest(standing) = deed {
            site.between(&told.deeds[since..at]).await?;
            since = at + 1;
            let what = || format!("at rest {at}, after {:#?}", &told.deeds[..at]);
            site.rests_at(standing).await.with_context(what)?;
        }
    }
    for of in BOTH {
        site.stop(of).await?;
    }
    Ok(())
}

/// Plays all worlds of a scenario, and says what was not as in memory.
async fn play_all(coordinator: &Coordinator, number: usize, worlds: &[Told]) -> Result<()> {
    for (at, told) in worlds.iter().enumerate() {
        play(coordinator, &format!("n{number}-{at}"), told).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenarios_on_files_end_beside_directories_as_they_end_in_memory() -> Result<()> {
    let told = told()?;
    let mut wrong = Vec::new();
    let mut played = Vec::new();
    for name in BESIDE.iter().flat_map(|(_, names)| *names) {
        if !told.contains_key(*name) {
            wrong.push(format!("{name}: there is no such scenario, take it off"));
        }
    }
    for (name, worlds) in &told {
        match worlds.iter().find_map(|told| told.beyond.as_ref()) {
            None => played.push((name, worlds)),
            Some(_) if is_beside(name) => {}
            Some(why) => wrong.push(format!("{name}: {why}, so it goes into BESIDE")),
        }
    }
    ensure!(played.len() >= PLAYED_MIN, "{} scenarios", played.len());
    let coordinator = Coordinator::start().await?;
    let playing = futures::stream::iter(played.iter().enumerate());
    let playing = playing.map(async |(number, (name, worlds))| {
        match (
            play_all(&coordinator, number, worlds).await,
            is_beside(name),
        ) {
            (Ok(()), false) | (Err(_), true) => None,
            (Ok(()), true) => Some(format!("{name} can be played: take it off BESIDE")),
            (Err(error), false) => Some(format!("{name}: {error:?}")),
        }
    });
    let playing = playing.buffer_unordered(AT_ONCE);
    wrong.extend(
        playing
            .filter_map(async |wrong| wrong)
            .collect::<Vec<_>>()
            .await,
    );
    ensure!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        told.len(),
        wrong.join("\n")
    );
    Ok(())
}
