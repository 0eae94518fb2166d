//! What of a host's snapshots holds, and what does not: every manifest is looked at, though one before it is refused, and every
//! object that no snapshot names is found. It reads and judges; how that is told is for the command.

use std::collections::BTreeSet;

use manifest::{AuditLog, Serial, Verified};

use crate::audit;
use crate::commands::Context;
use crate::exit::{Exit, exit_of};
use crate::reading::{Manifest, Opened, check_chain, refuse_rollback};

/// All snapshots of one host.
pub struct Survey {
    /// Those whose manifest holds, oldest first.
    pub manifests: Vec<Verified<Manifest>>,
    /// What is wrong with manifests, signatures and `vault.json`.
    pub refused: Vec<Refused>,
    /// Objects that nothing names: left from a cut run, or put there by somebody. Nothing reads them.
    pub strays: Vec<String>,
    /// The audit log; none where it does not hold, which is among what is refused.
    pub log: Option<AuditLog>,
}

/// Something that is not as it was signed, apart from a snapshot's content.
pub struct Refused {
    /// The snapshot; 0 for the vault itself.
    pub snapshot: u64,
    /// Name of the object in the vault.
    pub object: String,
    /// What is wrong.
    pub what: String,
    /// The exit code that it deserves.
    pub exit: Exit,
}

impl Survey {
    /// Looks at all of them.
    ///
    /// # Errors
    /// When the vault cannot be listed.
    pub fn of(opened: &Opened, context: &Context) -> anyhow::Result<Self> {
        let mut survey = Self { manifests: Vec::new(), refused: Vec::new(), strays: Vec::new(), log: None };
        if let Some(wreck) = &opened.wreck {
            survey.refuse(0, opened.vault.described().description.object(), format!("{wreck:#}"), exit_of(wreck));
        }
        for serial in opened.serials()? {
            match opened.manifest(serial) {
                Ok(manifest) => survey.manifests.push(manifest),
                Err(error) => {
                    survey.refuse(serial.0, object(opened, serial), format!("{error:#}"), exit_of(&error));
                }
            }
        }
        survey.check_order(opened, context)?;
        survey.check_log(opened, context);
        survey.find_strays(opened)?;
        Ok(survey)
    }

    fn refuse(&mut self, snapshot: u64, object: String, what: String, exit: Exit) {
        let what = what.strip_prefix(&format!("{object}: ")).map(str::to_owned).unwrap_or(what);
        self.refused.push(Refused { snapshot, object, what, exit });
    }

    /// The manifests that hold must follow each other, and none that this host knows may be missing.
    fn check_order(&mut self, opened: &Opened, context: &Context) -> anyhow::Result<()> {
        let known = context.state.newest_at(opened.vault.id(), &opened.host, opened.place())?;
        let newest = self.manifests.last();
        let last = newest.map_or(0, |newest| newest.serial.0);
        let mut errors: Vec<_> = check_chain(&self.manifests).err().into_iter().collect();
        // A newer one that is refused is damage, and has been named.
        if !self.refused.iter().any(|refused| refused.snapshot > last) {
            errors.extend(refuse_rollback(known.as_ref(), newest, &opened.place().to_string()).err());
        }
        for error in errors {
            self.refuse(last, object(opened, Serial(last)), error.to_string(), exit_of(&error));
        }
        Ok(())
    }

    fn check_log(&mut self, opened: &Opened, context: &Context) {
        let read = audit::read(&opened.vault, &opened.host, opened.trusted());
        let whole = read.and_then(|log| {
            audit::refuse_cut(&context.state, &opened.vault, &opened.host, &log)?;
            Ok(log)
        });
        match whole {
            Ok(log) => self.log = Some(log),
            Err(error) => {
                self.refuse(0, format!("audit/{}.log", opened.host), format!("{error:#}"), exit_of(&error));
            }
        }
    }

    fn find_strays(&mut self, opened: &Opened) -> anyhow::Result<()> {
        let host = &opened.host;
        let mut folders = vec![format!("manifests/{host}"), format!("catalogues/{host}")];
        // Another host's snapshots name keys and segments too, and its signatures need not count here.
        if self.refused.is_empty() && opened.vault.hosts()?.len() == 1 {
            folders.extend(["keys", "segments"].map(String::from));
        }
        let named = self.named(opened);
        let mut found = BTreeSet::new();
        for folder in folders {
            found.extend(opened.vault.store().list(&folder)?);
        }
        let last = self.manifests.last().map_or(0, |newest| newest.serial.0);
        for stray in found.into_iter().filter(|name| !named.contains(name)) {
            match lost_manifest(&stray, host.as_str()) {
                // One that is newer than all others may be a run's that was cut right before its manifest.
                Some(serial) if serial < last => {
                    let what = "is missing, and its signature is there".to_owned();
                    self.refuse(serial, object(opened, Serial(serial)), what, Exit::Corrupt);
                }
                _ => self.strays.push(stray),
            }
        }
        Ok(())
    }

    /// Every object that the manifests name, themselves included; those of refused manifests are named by them alone.
    fn named(&self, opened: &Opened) -> BTreeSet<String> {
        let held = self.manifests.iter().map(|manifest| manifest.serial.0);
        let serials = held.chain(self.refused.iter().map(|refused| refused.snapshot));
        let serials: BTreeSet<u64> = serials.collect();
        // A snapshot's manifest may be an amended one; both are there when the amendment was cut.
        let manifests = opened.vault.manifest_names().unwrap_or_default().into_iter();
        let manifests = manifests.filter(|name| name.host == opened.host.as_str() && serials.contains(&name.serial));
        let mut named: BTreeSet<String> = manifests.flat_map(|name| [name.signature(), name.object()]).collect();
        let gone = serials.iter().map(|serial| object(opened, Serial(*serial)));
        named.extend(gone.flat_map(|name| [format!("{name}.sig"), name]));
        named.extend(self.refused.iter().map(|refused| format!("catalogues/{}/{}", opened.host, refused.snapshot)));
        named.extend(
            self.manifests.iter().flat_map(|manifest| manifest.contents.parts().into_iter().map(|part| part.name)),
        );
        named
    }
}

fn object(opened: &Opened, serial: Serial) -> String {
    format!("manifests/{}/{serial}.json", opened.host)
}

/// The serial of a signature, where `name` is one.
fn lost_manifest(name: &str, host: &str) -> Option<u64> {
    name.strip_prefix("manifests/")?.strip_prefix(host)?.strip_prefix('/')?.strip_suffix(".json.sig")?.parse().ok()
}
