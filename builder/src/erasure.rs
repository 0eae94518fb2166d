//! Erasing named paths from the snapshots of a vault: what the engine writes anew is signed, put in place, and what
//! it replaces is removed.
//!
//! The order makes a cut harmless. New objects first: nothing names them yet. Then each new manifest beside the old
//! one: both are whole. Then the old ones and what only they named are removed. A mark in the vault says that an
//! erase is under way; run again, it finishes.

use anyhow::Context as _;
use jiff::Timestamp;
use manifest::{Amendment, Consistency, Digest, HostKey, Serial, seal};
use vault::{Contents, EntryPath, Erase, ErasePlan, Identities, ManifestName, Named, Prune, PrunePlan, unescape};

use crate::commands::Context;
use crate::holdings::{self, Held};
use crate::progress::Bar;
use crate::reading::{Manifest, Opened};
use crate::state::Newest;

/// The manifests of a vault, as an erasure sees them.
pub struct Field {
    /// The newest of each snapshot from which something may be erased.
    pub scope: Vec<Held>,
    /// The newest of every other snapshot.
    others: Vec<Held>,
    /// What an erase that was cut took the place of and did not remove.
    superseded: Vec<Held>,
}

impl Field {
    /// Reads all manifests. With `host`, only its snapshots are erased from.
    ///
    /// # Errors
    /// Where any manifest of the vault is refused (20, 21).
    pub fn read(opened: &Opened, host: Option<&str>) -> anyhow::Result<Self> {
        let mut field = Self { scope: Vec::new(), others: Vec::new(), superseded: Vec::new() };
        let mut all = holdings::read(opened)?.into_iter().peekable();
        while let Some(held) = all.next() {
            let place = |held: &Held| (held.name.host.clone(), held.name.serial);
            if all.peek().is_some_and(|next| place(next) == place(&held)) {
                field.superseded.push(held);
            } else if host.is_none_or(|host| held.name.host == host) {
                field.scope.push(held);
            } else {
                field.others.push(held);
            }
        }
        Ok(field)
    }

    /// What no manifest of the vault names: it may hold what is to be erased, so it goes without grace.
    ///
    /// # Errors
    /// As [`vault::Vault::plan_prune`].
    pub fn unnamed(&self, opened: &Opened) -> anyhow::Result<PrunePlan> {
        let all: Vec<Named<'_>> =
            self.scope.iter().chain(&self.others).chain(&self.superseded).map(Held::named).collect();
        remove_now(opened, &all, &[])
    }

    /// Whether there is something left to do of an erase that was cut.
    pub fn is_half_done(&self) -> bool {
        !self.superseded.is_empty()
    }
}

fn remove_now(opened: &Opened, keep: &[Named<'_>], remove: &[Named<'_>]) -> anyhow::Result<PrunePlan> {
    let now = Timestamp::now().as_second().unsigned_abs();
    Ok(opened.vault.plan_prune(&Prune { keep, remove, grace: 0, now })?)
}

/// Paths to erase, what opens the snapshots, and what was found.
pub struct Erasure<'a> {
    /// The manifests.
    pub field: &'a Field,
    /// What to erase.
    pub paths: &'a [EntryPath],
    /// What opens it.
    pub identities: &'a Identities,
}

/// A manifest that is to be written.
struct New {
    name: ManifestName,
    contents: Contents,
}

impl Erasure<'_> {
    /// Hands the engine what it needs.
    fn with<T>(&self, run: impl FnOnce(&Erase<'_>) -> vault::Result<T>) -> vault::Result<T> {
        let snapshots: Vec<Named<'_>> = self.field.scope.iter().map(Held::named).collect();
        let others: Vec<Named<'_>> = self.field.others.iter().map(Held::named).collect();
        run(&Erase { snapshots: &snapshots, others: &others, paths: self.paths, identities: self.identities })
    }

    /// Finds what is to be erased. Touches nothing.
    ///
    /// # Errors
    /// When something cannot be opened.
    pub fn plan(&self, opened: &Opened) -> anyhow::Result<ErasePlan> {
        Ok(self.with(|erase| opened.vault.plan_erase(erase))?)
    }

    /// Whether a manifest's list of problems, which is not sealed, names what is to be erased.
    pub fn is_named_in(&self, held: &Held) -> bool {
        held.manifest.problems.iter().any(|problem| self.hits(&problem.object))
    }

    fn hits(&self, object: &str) -> bool {
        let path = object.strip_prefix('/').and_then(unescape).and_then(EntryPath::new);
        path.is_some_and(|path| self.paths.iter().any(|erased| path.is_at_or_below(erased)))
    }

    /// Does it all, and returns how many bytes of objects were removed.
    ///
    /// # Errors
    /// When something cannot be opened, written or removed; the vault verifies, and the erase is to be run again.
    pub fn apply(&self, context: &Context, opened: &Opened, plan: &ErasePlan, key: &HostKey) -> anyhow::Result<u64> {
        let vault = &opened.vault;
        vault.mark_erase()?;
        let unnamed = self.field.unnamed(opened)?;
        vault.prune(&unnamed, &())?;
        let bar = Bar::new("rewriting");
        let amended = self.with(|erase| vault.erase(erase, plan, &bar))?;
        bar.finish();
        let mut new: Vec<Option<New>> = self.field.scope.iter().map(|held| self.renamed(held)).collect();
        for amended in amended {
            new[amended.snapshot] = Some(New { name: amended.name, contents: amended.contents });
        }
        let mut digests = Vec::new();
        for ((held, new), erased) in self.field.scope.iter().zip(&new).zip(&plan.erased) {
            digests.push(new.as_ref().map(|new| self.sign(opened, held, new, *erased, key)).transpose()?);
        }
        let freed = self.remove_old(opened, &new)?;
        for ((held, new), digest) in self.field.scope.iter().zip(&new).zip(digests) {
            self.tell_host(context, opened, held, new.as_ref(), digest)?;
        }
        vault.unmark_erase()?;
        Ok(unnamed.freed() + freed)
    }

    /// A snapshot in which only the list of problems changes.
    fn renamed(&self, held: &Held) -> Option<New> {
        let name = ManifestName { revision: held.name.revision + 1, ..held.name.clone() };
        self.is_named_in(held).then(|| New { name, contents: held.manifest.contents.clone() })
    }

    fn sign(&self, opened: &Opened, held: &Held, new: &New, erased: u64, key: &HostKey) -> anyhow::Result<Digest> {
        let mut manifest: Manifest = (*held.manifest).clone();
        manifest.contents = new.contents.clone();
        manifest.problems.retain(|problem| !self.hits(&problem.object));
        // Which of several filesystems the erased lay in is not known here: they become one.
        let live = manifest.sources.iter().any(|source| source.consistency == Consistency::Live);
        manifest.sources.truncate(1);
        for source in &mut manifest.sources {
            source.consistency = if live { Consistency::Live } else { source.consistency };
            (source.entries, source.bytes) = (new.contents.totals.entries, new.contents.totals.bytes);
        }
        let replaces = held.manifest.digest().clone();
        manifest.amended.push(Amendment { time: Timestamp::now(), replaces, erased });
        let (json, signature) = seal(&manifest, key)?;
        opened.vault.put_amended(&new.name, &json, &signature)?;
        Ok(Digest::of(&json))
    }

    fn remove_old(&self, opened: &Opened, new: &[Option<New>]) -> anyhow::Result<u64> {
        let mut keep: Vec<Named<'_>> = self.field.others.iter().map(Held::named).collect();
        let mut remove: Vec<Named<'_>> = self.field.superseded.iter().map(Held::named).collect();
        for (held, new) in self.field.scope.iter().zip(new) {
            match new {
                Some(New { name, contents }) => {
                    keep.push(Named { name: name.clone(), contents });
                    remove.push(held.named());
                }
                None => keep.push(held.named()),
            }
        }
        let plan = remove_now(opened, &keep, &remove)?;
        let bar = Bar::new("removing");
        opened.vault.prune(&plan, &bar)?;
        bar.finish();
        Ok(plan.freed())
    }

    /// Brings what this host remembers of its newest snapshot up to date: digest and cache.
    fn tell_host(
        &self,
        context: &Context,
        opened: &Opened,
        held: &Held,
        new: Option<&New>,
        digest: Option<Digest>,
    ) -> anyhow::Result<()> {
        let host = &held.manifest.host_name;
        // What streams alone left is only a memory of what is stored: the next one makes it again.
        let streams = context.state.cache(opened.vault.id()).join("streams");
        match std::fs::remove_dir_all(&streams) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", streams.display()));
            }
            _ => {}
        }
        let newest = self.field.scope.iter().rfind(|other| other.name.host == held.name.host);
        if newest.is_none_or(|newest| newest.name != held.name) {
            return Ok(());
        }
        let (vault, serial) = (&opened.vault, Serial(held.name.serial));
        let known = context.state.newest(vault.id(), host)?;
        if let (Some(digest), true) = (digest, known.is_some_and(|known| known.serial == serial)) {
            context.state.set_newest(vault.id(), host, &Newest { serial, digest })?;
        }
        let before = &held.manifest.contents;
        let after = new.map_or(before, |new| &new.contents);
        let cache = context.state.cache(vault.id());
        vault.amend_cache(&cache, host.as_str(), before, after, self.identities).context("the cache of this host")
    }
}
