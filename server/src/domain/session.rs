//! Who may hold the session of a repository, and which batches it may send (R-AGT-1 to R-AGT-4). Pure.

use super::ids::{BatchId, Epoch, Generation};
use super::planted::planted;

/// The only protocol version so far.
pub const PROTOCOL: i32 = 1;

/// Shown by an agent in its next handshake: which session it was, and that it was really that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumeKey {
    /// The epoch of the session that was given the key.
    pub epoch: Epoch,
    /// Random.
    pub secret: u64,
}

impl ResumeKey {
    /// The key as 16 bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        [self.epoch.0.to_be_bytes(), self.secret.to_be_bytes()].concat()
    }

    /// Reads 16 bytes; anything else is no key.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (epoch, secret) = bytes.split_first_chunk::<8>()?;
        let secret = secret.try_into().ok()?;
        Some(Self {
            epoch: Epoch(i64::from_be_bytes(*epoch)),
            secret: u64::from_be_bytes(secret),
        })
    }
}

/// What the coordinator remembers of a repository's sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remembered {
    /// The installation that is bound.
    pub installation: Option<String>,
    /// The index that was last shown.
    pub index: Option<String>,
    /// The present generation.
    pub generation: Generation,
    /// The epoch of the last session.
    pub epoch: Epoch,
    /// The key that counts.
    pub key: Option<ResumeKey>,
    /// The key of the last welcome, not confirmed yet.
    pub unconfirmed_key: Option<ResumeKey>,
    /// The last batch accepted; 0 = none.
    pub batch_number: i64,
    /// Its id.
    pub batch_id: Option<BatchId>,
    /// An admin said that the next session is to be accepted, whatever its installation.
    pub rebind: bool,
    /// The coordinator came back from a backup since the last session.
    pub restored: bool,
}

/// What an agent shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Greeting {
    /// Its installation.
    pub installation: String,
    /// Its index.
    pub index: String,
    /// The generation of its state; 0 = none.
    pub generation: Generation,
    /// The key it holds.
    pub key: Option<ResumeKey>,
    /// The last batch whose answer it has; 0 = none.
    pub batch_number: i64,
    /// Its id.
    pub batch_id: Option<BatchId>,
    /// The lowest protocol it speaks.
    pub protocol_min: i32,
    /// The highest protocol it speaks.
    pub protocol_max: i32,
}

/// Why a session is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No version in common.
    #[error(
        "this coordinator speaks protocol {PROTOCOL} only; update the agent or the coordinator"
    )]
    Protocol,
    /// Another copy of the repository, or of its agent's state, is at work.
    #[error(
        "another running copy uses this repository's identity; stop it, or rebind the repository"
    )]
    Cloned,
}

/// An accepted session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Its epoch.
    pub epoch: Epoch,
    /// A new generation begins: all state is reported again (R-AGT-4).
    pub new_generation: bool,
}

/// Decides about a handshake; that no older session answers is seen to before (R-AGT-2).
///
/// # Errors
/// The reason for which the session is refused.
pub fn admit(remembered: &Remembered, greeting: &Greeting) -> Result<Admitted, Refused> {
    if greeting.protocol_min > PROTOCOL || greeting.protocol_max < PROTOCOL {
        return Err(Refused::Protocol);
    }
    let seen = greeting.key.map_or(Epoch(0), |key| key.epoch);
    let epoch = Epoch(remembered.epoch.max(seen).0 + 1);
    // R-AGT-4: what was decided since the backup is forgotten, also where the agent sent nothing since.
    let restored = remembered.restored && !planted("restored-mark-ignored");
    let Some(installation) = &remembered.installation else {
        // R-AGT-4: a coordinator that remembers nothing of an agent with a past was restored.
        let new_generation = greeting.key.is_some() || greeting.batch_number > 0;
        return Ok(Admitted {
            epoch,
            new_generation: new_generation || restored,
        });
    };
    if remembered.rebind {
        return Ok(Admitted {
            epoch,
            new_generation: true,
        });
    }
    if *installation != greeting.installation && !planted("other-installation-admitted") {
        return Err(Refused::Cloned);
    }
    let Some(key) = greeting.key else {
        // R-AGT-4, R-AGT-10: the agent lost its state, unless it never came so far as to have one.
        let fresh = remembered.key.is_none() && remembered.batch_number == 0;
        return Ok(Admitted {
            epoch,
            new_generation: !fresh || restored,
        });
    };
    let counts = Some(key) == remembered.key || Some(key) == remembered.unconfirmed_key;
    let coordinator_is_behind =
        key.epoch > remembered.epoch || greeting.batch_number > remembered.batch_number;
    if !counts && !coordinator_is_behind && !planted("used-key-admitted") {
        return Err(Refused::Cloned);
    }
    let other_index = remembered
        .index
        .as_ref()
        .is_some_and(|index| *index != greeting.index);
    let other_batch = greeting.batch_number == remembered.batch_number
        && greeting.batch_number > 0
        && greeting.batch_id != remembered.batch_id;
    // An agent that gave up its memory shows no generation.
    let forgot = greeting.generation == Generation(0) && remembered.batch_number > 0;
    let behind = coordinator_is_behind && !planted("restored-coordinator-unnoticed");
    let new_generation = behind || other_index || other_batch || forgot || restored;
    Ok(Admitted {
        epoch,
        new_generation,
    })
}

/// What a batch is, by its number and id (R-AGT-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// The next one.
    Next,
    /// It was sent before: the stored answer is given again, if its id is the same.
    Earlier,
    /// A number was left out.
    Gap {
        /// The number that is expected.
        expected: i64,
    },
}

/// Places a batch behind the last accepted one.
#[must_use]
pub fn number(last: i64, number: i64) -> Numbering {
    match number {
        _ if number == last + 1 => Numbering::Next,
        _ if number > last && planted("gap-accepted") => Numbering::Next,
        _ if number <= last && planted("used-number-counts-again") => Numbering::Next,
        _ if number <= last => Numbering::Earlier,
        _ => Numbering::Gap { expected: last + 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(epoch: i64) -> ResumeKey {
        ResumeKey {
            epoch: Epoch(epoch),
            secret: 7,
        }
    }

    fn remembered() -> Remembered {
        Remembered {
            installation: Some("hq".into()),
            index: Some("i".into()),
            generation: Generation(1),
            epoch: Epoch(5),
            key: Some(key(4)),
            unconfirmed_key: Some(key(5)),
            batch_number: 9,
            batch_id: Some(BatchId::default()),
            rebind: false,
            restored: false,
        }
    }

    fn greeting() -> Greeting {
        Greeting {
            installation: "hq".into(),
            index: "i".into(),
            generation: Generation(1),
            key: Some(key(4)),
            batch_number: 9,
            batch_id: Some(BatchId::default()),
            protocol_min: 1,
            protocol_max: 1,
        }
    }

    #[test]
    fn r_agt_2_the_confirmed_and_the_last_key_count() {
        let plain = Ok(Admitted {
            epoch: Epoch(6),
            new_generation: false,
        });
        assert_eq!(admit(&remembered(), &greeting()), plain);
        assert_eq!(
            admit(
                &remembered(),
                &Greeting {
                    key: Some(key(5)),
                    ..greeting()
                }
            ),
            plain
        );
    }

    #[test]
    fn r_agt_2_a_used_key_or_another_installation_is_a_clone() {
        let used = Greeting {
            key: Some(key(3)),
            ..greeting()
        };
        assert_eq!(admit(&remembered(), &used), Err(Refused::Cloned));
        let other = Greeting {
            installation: "copy".into(),
            ..greeting()
        };
        assert_eq!(admit(&remembered(), &other), Err(Refused::Cloned));
        let rebound = Remembered {
            rebind: true,
            ..remembered()
        };
        let accepted = Ok(Admitted {
            epoch: Epoch(6),
            new_generation: true,
        });
        assert_eq!(admit(&rebound, &other), accepted);
    }

    #[test]
    fn r_agt_4_a_restored_coordinator_and_a_lost_state_begin_a_new_generation() {
        let ahead = Greeting {
            key: Some(key(9)),
            batch_number: 12,
            ..greeting()
        };
        let accepted = Ok(Admitted {
            epoch: Epoch(10),
            new_generation: true,
        });
        assert_eq!(admit(&remembered(), &ahead), accepted);
        let lost = Greeting {
            key: None,
            batch_number: 0,
            batch_id: None,
            ..greeting()
        };
        let accepted = Ok(Admitted {
            epoch: Epoch(6),
            new_generation: true,
        });
        assert_eq!(admit(&remembered(), &lost), accepted);
        let other_batch = Greeting {
            batch_id: None,
            ..greeting()
        };
        assert_eq!(admit(&remembered(), &other_batch), accepted);
        assert_eq!(
            admit(
                &remembered(),
                &Greeting {
                    index: "j".into(),
                    ..greeting()
                }
            ),
            accepted
        );
    }

    #[test]
    fn r_agt_4_after_a_restore_everything_is_listed_anew_and_a_clone_stays_one() {
        let restored = Remembered {
            restored: true,
            ..remembered()
        };
        let accepted = Ok(Admitted {
            epoch: Epoch(6),
            new_generation: true,
        });
        assert_eq!(admit(&restored, &greeting()), accepted);
        let used = Greeting {
            key: Some(key(3)),
            ..greeting()
        };
        assert_eq!(admit(&restored, &used), Err(Refused::Cloned));
        let unknown = Remembered {
            restored: true,
            ..Remembered::default()
        };
        let first = Greeting {
            key: None,
            batch_number: 0,
            batch_id: None,
            ..greeting()
        };
        assert!(admit(&unknown, &first).is_ok_and(|admitted| admitted.new_generation));
    }

    #[test]
    fn r_agt_3_batches_are_numbered_without_gaps() {
        assert_eq!(number(4, 5), Numbering::Next);
        assert_eq!(number(4, 4), Numbering::Earlier);
        assert_eq!(number(4, 7), Numbering::Gap { expected: 5 });
    }

    #[test]
    fn protocols_must_meet() {
        let newer = Greeting {
            protocol_min: 2,
            protocol_max: 3,
            ..greeting()
        };
        assert_eq!(admit(&remembered(), &newer), Err(Refused::Protocol));
    }

    #[test]
    fn keys_survive_the_wire() {
        assert_eq!(ResumeKey::from_bytes(&key(4).to_bytes()), Some(key(4)));
        assert_eq!(ResumeKey::from_bytes(b"short"), None);
    }
}
