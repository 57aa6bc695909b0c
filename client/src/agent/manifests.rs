//! What large contents are made of, as far as this agent heard of it, so that its own copies need not be read for it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::chunks::Manifest;

/// Chunks that are remembered, of all contents together: those of about 12 GiB, in some 10 MB.
const CHUNKS_MAX: usize = 100_000;
/// Digests of contents that are remembered as tried.
const TRIED_MAX: usize = 10_000;

/// Manifests by the digest of the content, the newest ones; cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manifests(Arc<Mutex<Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    manifests: HashMap<Bytes, Manifest>,
    /// The digests, oldest first.
    order: VecDeque<Bytes>,
    chunks: usize,
    tried: HashSet<Bytes>,
}

impl Manifests {
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a content is made of.
    pub(crate) fn get(&self, digest: &[u8]) -> Option<Manifest> {
        self.lock().manifests.get(digest).cloned()
    }

    /// Remembers what a content is made of.
    pub(crate) fn remember(&self, digest: &[u8], manifest: &Manifest) {
        if manifest.is_empty() || manifest.len() > CHUNKS_MAX {
            return;
        }
        let mut remembered = self.lock();
        remembered.forget(digest);
        remembered.chunks += manifest.len();
        let digest = Bytes::copy_from_slice(digest);
        remembered.order.push_back(digest.clone());
        remembered.manifests.insert(digest, manifest.clone());
        while remembered.chunks > CHUNKS_MAX
            && let Some(oldest) = remembered.order.front().cloned()
        {
            remembered.forget(&oldest);
        }
    }

    /// True when a content may be put together without a look at each of its parts: its own digest is verified in any case.
    /// Only the first time: what did not come out right is put together with care.
    pub(crate) fn may_trust(&self, digest: &Bytes) -> bool {
        let mut remembered = self.lock();
        if remembered.tried.len() >= TRIED_MAX {
            remembered.tried.clear();
        }
        remembered.tried.insert(digest.clone())
    }

    /// A copy has this content, so it came out right.
    pub(crate) fn came_out_right(&self, digest: &Bytes) {
        self.lock().tried.remove(digest);
    }
}

impl Remembered {
    fn forget(&mut self, digest: &[u8]) {
        if let Some(manifest) = self.manifests.remove(digest) {
            self.chunks -= manifest.len();
            self.order.retain(|other| other != digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::chunks::Chunk;

    fn manifest(chunks: usize) -> Manifest {
        (0..chunks).map(|_| Chunk::of(0, b"")).collect()
    }

    #[test]
    fn the_oldest_manifests_are_forgotten_first() {
        let manifests = Manifests::default();
        let [one, two, three] = [b"1", b"2", b"3"].map(|name| Bytes::from_static(name));
        manifests.remember(&one, &manifest(CHUNKS_MAX / 2));
        manifests.remember(&two, &manifest(CHUNKS_MAX / 2));
        // Heard of once more: now it is the newest.
        manifests.remember(&one, &manifest(CHUNKS_MAX / 2));
        manifests.remember(&three, &manifest(1));
        let there = [&one, &two, &three].map(|digest| manifests.get(digest).is_some());
        assert_eq!(there, [true, false, true]);
        manifests.remember(&two, &manifest(CHUNKS_MAX + 1));
        assert!(manifests.get(&two).is_none(), "too large");
    }

    #[test]
    fn r_cnt_1_what_did_not_come_out_right_is_not_trusted_again() {
        let manifests = Manifests::default();
        let digest = Bytes::from_static(b"1");
        assert!(manifests.may_trust(&digest));
        assert!(!manifests.may_trust(&digest));
        manifests.came_out_right(&digest);
        assert!(manifests.may_trust(&digest));
    }
}
