//! Engines that are asked what they have: Incus, Docker, Podman. Their guests came back as files; what the engine does not list, or what lacks an
//! image or a volume, is named. They start their guests themselves, before they answer, so none is kept from starting here.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use manifest::host::{Archive, Guest, PlatformKind};

use super::platform::{Ended, Reviver};
use super::record::Record;
use super::{Run, check};
use crate::capture::guests::standing::{self, Standing};

/// Between two questions to an engine that does not answer yet.
const PAUSE: Duration = Duration::from_secs(1);

/// An engine of this host.
#[derive(Debug)]
pub struct Engine {
    kind: PlatformKind,
    root: PathBuf,
    told: OnceCell<Vec<Standing>>,
}

impl Engine {
    /// The engine, on the host below `root`.
    pub fn new(kind: PlatformKind, root: &Path) -> Self {
        Self { kind, root: root.to_owned(), told: OnceCell::new() }
    }
}

impl Reviver for Engine {
    fn ready(&self, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            match standing::told(&self.root, self.kind) {
                Ok(told) => {
                    self.told.get_or_init(|| told);
                    return Ok(());
                }
                Err(why) if begun.elapsed() >= limit => return Err(why),
                Err(_) => sleep(PAUSE.min(limit)),
            }
        }
    }

    fn plan(&self, guest: &Guest, _: &Archive) -> String {
        format!("nothing: this version restores no archives of {}; {} needs a hand", self.kind, guest.id)
    }

    fn as_files(&self, guest: &Guest, vouched: bool) -> Option<Ended> {
        let told = self.told.get().map(Vec::as_slice).unwrap_or_default();
        let reasons = check::reasons(guest, told, &format!("{} does not list it", self.kind), vouched);
        Some(if reasons.is_empty() {
            Ended::Restored(format!("{} lists it, with what it needs", self.kind))
        } else {
            Ended::Failed(reasons.join("; "))
        })
    }

    fn revive(&self, _: &Run, guest: &Guest, archive: &Archive, _: &mut Record) -> anyhow::Result<Ended> {
        Ok(Ended::Failed(self.plan(guest, archive)))
    }
}

#[cfg(test)]
mod tests {
    use manifest::host::{GuestKind, Note};

    use super::*;

    fn ended(told: &[Standing], gap: bool, vouched: bool) -> Ended {
        let engine = Engine::new(PlatformKind::Podman, Path::new("/nowhere"));
        let told = engine.told.get_or_init(|| told.to_vec());
        assert!(told.len() < 2);
        let (id, name) = ("0123456789ab".to_owned(), "db".to_owned());
        let notes = vec![Note { gap, text: "its volume was kept elsewhere".to_owned() }];
        let guest = Guest { id, name, kind: GuestKind::Container, starts: true, order: None, archive: None, notes };
        engine.as_files(&guest, vouched).unwrap()
    }

    #[test]
    fn a_container_that_the_engine_does_not_list_or_that_lacks_a_volume_is_named() {
        let standing = |missing: &[&str]| Standing {
            id: "0123456789ab".to_owned(),
            missing: missing.iter().map(|one| (*one).to_owned()).collect(),
        };
        assert!(matches!(ended(&[standing(&[])], false, false), Ended::Restored(_)));
        assert!(matches!(ended(&[standing(&[])], true, true), Ended::Restored(_)), "whoever names it has seen to it");
        for (told, gap, said) in [
            (vec![], false, "Podman does not list it"),
            (vec![standing(&["its volume orders is not there"])], false, "volume orders"),
            (vec![standing(&[])], true, "no sound state of it: its volume"),
        ] {
            let Ended::Failed(text) = ended(&told, gap, false) else { panic!("{said}") };
            assert!(text.contains(said), "{text}");
        }
    }
}
