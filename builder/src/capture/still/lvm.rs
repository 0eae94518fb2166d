//! Snapshots of logical volumes: classic ones, which have room of their own and are worth nothing once it is full, and thin ones, which share their pool's.

use std::path::PathBuf;
use std::time::Duration;

use exec::Command;
use layout::lvm::{Form, LogicalVolume};
use serde::Deserialize;

use super::left::Left;
use super::names::{self, Owner};
use super::plan::Volume;
use super::room;

/// Marks a snapshot beside its name: what is removed bears both.
const TAG: &str = "lifeboat";
/// A pool that is fuller, in data or in metadata, is not burdened: its volumes fail when it is full.
const FULLEST: f64 = 80.0;

/// Taking a snapshot holds the filesystem until it is written out, which takes long on a slow disk; whoever kills LVM meanwhile leaves it held.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What LVM says of groups and pools at this moment.
#[derive(Debug, Default)]
pub(super) struct Room {
    groups: Vec<Group>,
    pools: Vec<Filled>,
}

#[derive(Debug, Deserialize)]
struct Group {
    vg_name: String,
    vg_extent_size: String,
    vg_free_count: String,
}

#[derive(Debug, Deserialize)]
struct Filled {
    vg_name: String,
    lv_name: String,
    data_percent: String,
    metadata_percent: String,
}

/// A snapshot, or what looks like one.
#[derive(Debug, Deserialize)]
struct Row {
    vg_name: String,
    lv_name: String,
    #[serde(default)]
    origin: String,
    #[serde(default)]
    lv_tags: String,
    #[serde(default)]
    lv_attr: String,
    #[serde(default)]
    snap_percent: String,
}

/// The rows of LVM's reports.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Output<T> {
    report: Vec<Tables<T>>,
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Tables<T> {
    #[serde(alias = "vg", alias = "lv")]
    rows: Vec<T>,
}

fn rows<T: for<'de> Deserialize<'de>>(json: &str) -> Result<Vec<T>, String> {
    let output: Output<T> = serde_json::from_str(json).map_err(|error| format!("LVM's report: {error}"))?;
    Ok(output.report.into_iter().flat_map(|tables| tables.rows).collect())
}

/// LVM, with these words.
fn lvm(words: &[&str]) -> Command {
    let program = exec::find("lvm").unwrap_or_else(|| "lvm".into());
    Command::new(program).args(words).env("LVM_SUPPRESS_FD_WARNINGS", "1")
}

/// Asks it something.
fn ask(words: &[&str]) -> Result<String, String> {
    lvm(words).read().map_err(|error| error.to_string())
}

/// Has it change something.
fn change(words: &[&str]) -> Result<(), String> {
    lvm(words).limit(LIMIT).read().map(drop).map_err(|error| error.to_string())
}

fn report<T: for<'de> Deserialize<'de>>(table: &str, columns: &str) -> Result<Vec<T>, String> {
    rows(&ask(&[table, "--reportformat", "json", "--units", "b", "--nosuffix", "--options", columns])?)
}

impl Room {
    /// Asks LVM.
    pub(super) fn ask() -> Result<Self, String> {
        Ok(Self {
            groups: report("vgs", "vg_name,vg_extent_size,vg_free_count")?,
            pools: report("lvs", "vg_name,lv_name,data_percent,metadata_percent")?,
        })
    }

    /// Extents for a snapshot of each volume, 0 for a thin one; or why there is no room for one.
    pub(super) fn share(&self, volumes: &[&Volume]) -> Vec<Result<u64, String>> {
        let mut shares: Vec<Result<u64, String>> = volumes.iter().map(|volume| self.thin(volume)).collect();
        for group in &self.groups {
            let number = |text: &str| text.trim().parse().unwrap_or(0);
            let (extent, free) = (number(&group.vg_extent_size), number(&group.vg_free_count));
            let classic = |volume: &Volume| volume.pool.is_none() && volume.group == group.vg_name;
            let own: Vec<usize> = (0..volumes.len()).filter(|at| classic(volumes[*at])).collect();
            let sizes: Vec<u64> = own.iter().map(|at| volumes[*at].size).collect();
            for (at, share) in own.into_iter().zip(room::shares(&sizes, extent, free)) {
                let little =
                    || format!("the group {} has too little room for a snapshot: {free} free extents", group.vg_name);
                shares[at] = share.ok_or_else(little);
            }
        }
        shares
    }

    fn thin(&self, volume: &Volume) -> Result<u64, String> {
        let Some(pool) = &volume.pool else { return Err(format!("LVM does not tell of the group {}", volume.group)) };
        let is = |filled: &&Filled| filled.lv_name == *pool && filled.vg_name == volume.group;
        let found = self.pools.iter().find(is).ok_or_else(|| format!("LVM does not tell of the pool {pool}"))?;
        for (what, percent) in [("data", &found.data_percent), ("metadata", &found.metadata_percent)] {
            match percent.trim().parse::<f64>() {
                Ok(percent) if percent <= FULLEST => {}
                Ok(percent) => return Err(format!("the pool {pool} is full of {what} to {percent} %")),
                Err(_) => return Err(format!("LVM does not tell how full the pool {pool} is")),
            }
        }
        Ok(0)
    }
}

/// The words that make LVM take a snapshot.
fn words(volume: &Volume, name: &str, extents: u64) -> Vec<String> {
    let mut words: Vec<String> =
        ["lvcreate", "--quiet", "--yes", "--snapshot", "--permission", "r", "--addtag", TAG, "--name", name]
            .map(str::to_owned)
            .into();
    match volume.pool {
        // Thin ones are not active unless it is said.
        Some(_) => words.extend(["--setactivationskip", "n"].map(str::to_owned)),
        None => words.extend(["--extents".to_owned(), extents.to_string()]),
    }
    words.push(format!("{}/{}", volume.group, volume.name));
    words
}

/// A snapshot that was taken.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    group: String,
    name: String,
    classic: bool,
}

impl Taken {
    /// Takes one. The kernel has the filesystem written out and holds it for that moment.
    pub(super) fn new(volume: &Volume, name: &str, extents: u64) -> Result<Self, String> {
        let words = words(volume, name, extents);
        let taken = Self { group: volume.group.clone(), name: name.to_owned(), classic: volume.pool.is_none() };
        match change(&words.iter().map(String::as_str).collect::<Vec<_>>()) {
            Ok(()) => Ok(taken),
            Err(why) => {
                // Part of the work may be done.
                let _ = taken.remove();
                Err(why)
            }
        }
    }

    /// Its device.
    pub(super) fn device(&self) -> PathBuf {
        let (group, name) = (self.group.clone(), self.name.clone());
        let volume =
            LogicalVolume { uuid: String::new(), group, name, form: Form::Linear, writable: false, tags: Vec::new() };
        PathBuf::from(volume.path())
    }

    /// Whether it still shows what it was taken of.
    ///
    /// # Errors
    /// How it does not.
    pub(super) fn held(&self) -> Result<(), String> {
        if !self.classic {
            return Ok(());
        }
        let place = format!("{}/{}", self.group, self.name);
        let json = ask(&["lvs", "--reportformat", "json", "--options", "vg_name,lv_name,lv_attr,snap_percent", &place]);
        let rows: Vec<Row> = json
            .and_then(|json| rows(&json))
            .map_err(|why| format!("whether its snapshot held is not known: {why}"))?;
        match rows.first() {
            Some(row) => sound(row),
            None => Err("its snapshot was removed while it was read".to_owned()),
        }
    }

    /// Removes it.
    pub(super) fn remove(&self) -> Result<(), String> {
        if !names::is_ours(&self.name) {
            return Err(format!("{} is no snapshot of a run", self.name));
        }
        change(&["lvremove", "--quiet", "--yes", &format!("{}/{}", self.group, self.name)])
    }
}

/// Whether a classic snapshot is whole. Its fifth attribute is `I` or `S` when it is not.
fn sound(row: &Row) -> Result<(), String> {
    let full = row.snap_percent.trim().parse::<f64>().is_ok_and(|percent| percent >= 100.0);
    if full || matches!(row.lv_attr.as_bytes().get(4), Some(b'I' | b'S')) {
        return Err("more was written to it than its snapshot had room for".to_owned());
    }
    Ok(())
}

/// Removes what runs that `is_gone` names have left.
pub(super) fn sweep(is_gone: impl Fn(&Owner) -> bool, left: &mut Left) {
    // LVM is asked only where the device mapper has something of that name.
    let mut shown = std::fs::read_dir("/dev/mapper").into_iter().flatten().flatten();
    if !shown.any(|entry| names::is_mapped(&entry.file_name().to_string_lossy())) {
        return;
    }
    match report::<Row>("lvs", "vg_name,lv_name,origin,lv_tags") {
        Ok(rows) => {
            for row in rows.into_iter().filter(|row| is_left(row, &is_gone)) {
                let what = format!("/dev/{}/{}", row.vg_name, row.lv_name);
                let taken = Taken { group: row.vg_name, name: row.lv_name, classic: true };
                left.add(what, taken.remove());
            }
        }
        Err(why) => left.stayed.push(why),
    }
}

/// Whether a volume is a snapshot that a run has left: by its name, its tag, and because it is one.
fn is_left(row: &Row, is_gone: impl Fn(&Owner) -> bool) -> bool {
    let tagged = row.lv_tags.split(',').any(|tag| tag == TAG);
    tagged && !row.origin.is_empty() && Owner::of(&row.lv_name).is_some_and(|owner| is_gone(&owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(group: &str, name: &str, size: u64, pool: Option<&str>) -> Volume {
        Volume { group: group.to_owned(), name: name.to_owned(), size, pool: pool.map(str::to_owned) }
    }

    /// Groups as `vgs` told them of a machine; pools as `lvs` tells them.
    fn asked() -> Room {
        let pools = r#"{"report":[{"lv":[
            {"vg_name":"vg-one","lv_name":"pool","data_percent":"12.50","metadata_percent":"10.25"},
            {"vg_name":"vg-one","lv_name":"full","data_percent":"12.50","metadata_percent":"93.75"},
            {"vg_name":"vg-one","lv_name":"root","data_percent":"","metadata_percent":""}]}]}"#;
        Room {
            groups: rows(include_str!("../../../../layout/fixtures/stacks/vgs-kinds.json")).unwrap(),
            pools: rows(pools).unwrap(),
        }
    }

    #[test]
    fn volumes_share_the_room_of_their_own_group_or_pool() {
        let volumes = [
            volume("vg-one", "root", 200 << 20, None),
            volume("vg-one", "vm-100-disk-0", 1 << 30, Some("pool")),
            volume("vg-one", "other", 1 << 30, Some("full")),
            volume("vg-two", "root", 1 << 30, None),
        ];
        let shares = asked().share(&volumes.iter().collect::<Vec<_>>());
        // 334 extents are free, and 200 MiB with what is noted of them need 52.
        assert_eq!(shares[0], Ok(52));
        assert_eq!(shares[1], Ok(0));
        assert!(shares[2].as_ref().unwrap_err().contains("metadata to 93.75 %"), "{shares:?}");
        assert!(shares[3].as_ref().unwrap_err().contains("vg-two"), "{shares:?}");
    }

    #[test]
    fn the_words_name_origin_room_and_mark() {
        let classic = words(&volume("pve", "root", 1 << 30, None), "n", 63).join(" ");
        assert_eq!(
            classic,
            "lvcreate --quiet --yes --snapshot --permission r --addtag lifeboat --name n --extents 63 pve/root"
        );
        let thin = words(&volume("pve", "guests", 1 << 30, Some("data")), "n", 0).join(" ");
        assert!(thin.ends_with("--name n --setactivationskip n pve/guests"), "{thin}");
    }

    fn row(attributes: &str, percent: &str) -> Row {
        Row {
            vg_name: "pve".to_owned(),
            lv_name: "lifeboat-snap-0123abcd-89ef0011-1".to_owned(),
            origin: "root".to_owned(),
            lv_tags: "a,lifeboat".to_owned(),
            lv_attr: attributes.to_owned(),
            snap_percent: percent.to_owned(),
        }
    }

    #[test]
    fn a_snapshot_that_is_full_or_invalid_has_not_held() {
        assert!(sound(&row("sri-aos---", "37.11")).is_ok());
        assert!(sound(&row("sri-Ios---", "100.00")).is_err());
        assert!(sound(&row("sri-I-s---", "")).is_err());
        assert!(sound(&row("sri-aos---", "100.00")).is_err());
    }

    #[test]
    fn only_what_has_name_tag_and_origin_was_left_by_a_run() {
        assert!(is_left(&row("", ""), |_| true));
        assert!(!is_left(&row("", ""), |_| false), "its run is at work");
        assert!(!is_left(&Row { lv_tags: "lifeboats".to_owned(), ..row("", "") }, |_| true));
        assert!(!is_left(&Row { origin: String::new(), ..row("", "") }, |_| true));
        assert!(!is_left(&Row { lv_name: "before".to_owned(), ..row("", "") }, |_| true));
    }
}
