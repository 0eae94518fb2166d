//! Hostile vaults: properly sealed and listed, and made to harm whoever restores or verifies them.
//!
//! Each fixture starts from a sound snapshot and changes one thing. Every one is restored, with and without going on past damage,
//! and verified; what each must end with is in its table. Whatever it is, nothing outside the destination changes, no device is
//! made, and memory stays small.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod bombs;
mod forge;
mod links;
mod memory;
mod names;
mod numbers;
mod objects;
mod stream;
mod text;

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use forge::{Forge, restore};
use vault::{Kind, ProblemKind};

/// What a fixture must end with.
enum Verdict {
    /// The snapshot is refused before anything is written, and verification does not pass.
    Refused(Kind),
    /// These entries are lost, everything else is restored; verification names them.
    Lost(&'static [&'static str]),
    /// These cannot be made and are named, everything else is restored.
    NotMade(&'static [&'static str]),
    /// Restored as the catalogue says; verification names this entry, with this word.
    Told(&'static str, &'static str),
    /// So many entries on one place that all but the first are lost.
    Crowded,
    /// Strange and sound.
    Sound,
}

/// One hostile vault.
struct Fixture {
    name: &'static str,
    make: fn(&mut Forge),
    verdict: Verdict,
}

const fn fixture(name: &'static str, make: fn(&mut Forge), verdict: Verdict) -> Fixture {
    Fixture { name, make, verdict }
}

fn no_device_in(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let kind = entry.file_type().unwrap();
        assert!(!kind.is_block_device() && !kind.is_char_device(), "{:?} is a device", entry.path());
        if kind.is_dir() {
            no_device_in(&entry.path());
        }
    }
}

/// The sound part of every fixture, but for what is named.
fn rest_is_there(dest: &Path, but: &[&str]) {
    for (name, content) in [("d/good", "good"), ("other", "other")] {
        if !but.contains(&name) {
            assert_eq!(fs::read_to_string(dest.join(name)).unwrap(), content, "{name}");
        }
    }
    if !but.contains(&"z") {
        let large = fs::read(dest.join("z")).unwrap();
        assert!(large.len() == 20 * 4096 && large.chunks(4096).zip(1..).all(|(block, at)| block == [at; 4096]));
    }
}

impl Fixture {
    fn run(&self) {
        let mut forge = Forge::new();
        (self.make)(&mut forge);
        let (vault, contents) = forge.finish();
        let guard = forge.guard();
        for on in [false, true] {
            let dest = forge.dest();
            let restored = restore(&vault, &contents, &forge.identities, &dest, on);
            let named = |kind| {
                let problems = &restored.as_ref().unwrap().problems;
                let mut named: Vec<String> =
                    problems.iter().filter(|p| p.kind == kind).map(|p| p.path.to_string()).collect();
                named.dedup();
                named
            };
            let slashed = |paths: &[&str]| paths.iter().map(|path| format!("/{path}")).collect::<Vec<_>>();
            match &self.verdict {
                Verdict::Refused(kind) => {
                    assert_eq!(restored.as_ref().err(), Some(kind), "{restored:?}");
                    assert_eq!(fs::read_dir(&dest).unwrap().count(), 0, "something was written");
                }
                Verdict::Lost(_) | Verdict::Crowded if !on => {
                    assert_eq!(restored.as_ref().err(), Some(&Kind::Corrupt), "{restored:?}")
                }
                Verdict::Lost(paths) => {
                    assert_eq!(named(ProblemKind::Damaged), slashed(paths));
                    assert!(!restored.as_ref().unwrap().damaged.is_empty());
                    rest_is_there(&dest, paths);
                    for path in paths.iter().filter(|path| **path != "z") {
                        assert!(!dest.join(path).exists(), "{path} is there");
                    }
                }
                Verdict::Crowded => assert!(named(ProblemKind::Damaged).len() > 90_000),
                Verdict::NotMade(paths) => {
                    assert_eq!(named(ProblemKind::NotRestored), slashed(paths));
                    rest_is_there(&dest, paths);
                }
                Verdict::Told(..) | Verdict::Sound => {
                    assert!(restored.as_ref().unwrap().problems.is_empty(), "{restored:?}");
                    rest_is_there(&dest, &[]);
                }
            }
            no_device_in(&dest);
        }
        let checked = vault.check_data(&contents, &forge.identities, &());
        match (&self.verdict, checked) {
            (Verdict::Refused(kind), checked) => assert_eq!(checked.map_err(|error| error.kind()), Err(*kind)),
            (Verdict::Lost(paths), Ok(faults)) => {
                let named: Vec<_> = faults.iter().flat_map(|fault| &fault.entries).map(ToString::to_string).collect();
                assert!(paths.iter().all(|path| named.contains(&format!("/{path}"))), "{faults:?}");
            }
            (Verdict::Told(path, word), Ok(faults)) => {
                let tells = |fault: &vault::Fault| {
                    fault.what.contains(word)
                        && (path.is_empty() || fault.entries.iter().any(|p| p.as_bytes() == path.as_bytes()))
                };
                assert!(faults.len() == 1 && tells(&faults[0]), "{faults:?}");
            }
            (Verdict::Sound, Ok(faults)) => assert_eq!(faults, []),
            (Verdict::NotMade(_), Ok(_)) => {}
            (Verdict::Crowded, Ok(faults)) => assert!(!faults.is_empty()),
            (_, Err(error)) => panic!("verification gives up: {error}"),
        }
        assert!(forge.guard() == guard, "something outside the destination changed");
        forge.clear();
    }
}

/// The most memory that this whole program may ever have taken, with as many tables at once as there are cores.
const MEMORY: usize = 700 << 20;

/// Runs a table, and names every fixture that does not end as it must.
fn run(fixtures: &[Fixture]) {
    let mut failed = Vec::new();
    for fixture in fixtures {
        if std::panic::catch_unwind(|| fixture.run()).is_err() {
            failed.push(fixture.name);
        }
        let peak = memory::peak();
        assert!(peak < MEMORY, "{} or what ran beside it took {} MB of memory", fixture.name, peak >> 20);
    }
    assert!(failed.is_empty(), "these did not end as they must: {failed:#?}");
}

#[test]
fn the_vault_that_every_fixture_starts_from_is_sound() {
    run(&[fixture("unchanged", |_| (), Verdict::Sound)]);
}
