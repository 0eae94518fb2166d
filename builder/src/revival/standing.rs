//! How the guests stand, from their records. Reads only.

use manifest::Digest;
use manifest::host::{PlatformKind, Revival};
use serde::Serialize;

use super::folder::Folder;
use super::record::{Phase, Record};
use super::{Asked, order, platform};

/// The guests of all platforms in their order, as they stand.
///
/// # Errors
/// When a record cannot be read.
pub fn records(folder: &Folder, revival: &Revival, digest: &Digest) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    for platform in &revival.platforms {
        for guest in order::guests(platform) {
            records.push(folder.record(digest, platform, guest)?);
        }
    }
    Ok(records)
}

/// Why a run leaves a guest that is decided.
pub fn left(record: &Record) -> String {
    match record.phase {
        Phase::Restored => "an earlier run restored it; it is left as it is".to_owned(),
        _ => format!("an earlier run has decided: {}", record.detail),
    }
}

/// Whether all of them are back or were left alone by rule.
pub fn well(records: &[Record]) -> bool {
    records.iter().all(|record| record.phase.is_well())
}

/// A table for people.
pub fn table(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records {
        let name = if record.name.is_empty() { "-" } else { &record.name };
        text += &format!("{} {} {name}: {}", record.platform, record.id, record.phase.word());
        text += &if record.detail.is_empty() { "\n".to_owned() } else { format!(": {}\n", record.detail) };
        record.notes.iter().for_each(|note| text += &format!("    note: {note}\n"));
        for one in &record.differences {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
            text += &format!(
                "    differs: {}: the host had {}, now {}\n",
                one.option,
                shown(&one.host),
                shown(&one.restored)
            );
        }
    }
    text
}

/// What would be done to a guest.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// What its platform calls it.
    pub id: String,
    /// Its name; empty where it has none.
    pub name: String,
    /// In words.
    pub plan: String,
}

/// What a run would do, in its order; nothing is changed and no program is started.
///
/// # Errors
/// As a run's, before it begins.
pub fn plan(asked: &Asked) -> anyhow::Result<Vec<Planned>> {
    let folder = Folder::at(&asked.root);
    let (revival, digest) = folder.revival()?;
    order::check(&revival)?;
    order::check_named(&revival, &asked.only)?;
    let mut planned = Vec::new();
    for platform in &revival.platforms {
        let reviver = platform::reviver(platform, &asked.root);
        for guest in order::guests(platform).into_iter().filter(|guest| asked.means(guest)) {
            let plan = match (&reviver, &guest.archive) {
                (None, _) => "nothing: `lifeboat guests check` looks at it before it starts".to_owned(),
                (Some(_), None) if platform.kind == PlatformKind::Proxmox => {
                    "nothing: no backup of it is known".to_owned()
                }
                (Some(_), None) => format!("{} is asked whether it is there, with what it needs", platform.kind),
                (Some(reviver), Some(archive)) => {
                    let record = folder.record(&digest, platform, guest)?;
                    if asked.works_on(&record) {
                        reviver.plan(guest, archive)
                    } else {
                        format!("nothing: {}", left(&record))
                    }
                }
            };
            planned.push(Planned { id: guest.id.clone(), name: guest.name.clone(), plan });
        }
    }
    Ok(planned)
}
