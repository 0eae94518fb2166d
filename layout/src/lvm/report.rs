//! What `pvs`, `vgs` and `lvs` print with `--reportformat json --units b --nosuffix`.

use serde::Deserialize;

use super::{Form, LogicalVolume, PhysicalVolume, VolumeGroup};
use crate::units::Bytes;

/// Columns of `pvs` that are read.
pub const PV_COLUMNS: &str = "pv_name,pv_uuid,vg_name,pe_start,pv_pe_count";
/// Columns of `vgs` that are read.
pub const VG_COLUMNS: &str = "vg_name,vg_uuid,vg_extent_size,vg_free_count,vg_tags";
/// Columns of `lvs --all` that are read.
pub const LV_COLUMNS: &str = "lv_name,lv_uuid,vg_name,lv_size,segtype,stripes,stripe_size,chunk_size,pool_lv,origin,lv_metadata_size,zero,discards,lv_tags,lv_permissions,lv_active,seg_start";

/// Everything that LVM knows of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Physical volumes that belong to a group.
    pub volumes: Vec<FoundPv>,
    /// Groups.
    pub groups: Vec<VolumeGroup>,
    /// Logical volumes that people see, with their sizes.
    pub logical: Vec<(LogicalVolume, Bytes)>,
    /// Names of volumes that LVM keeps inside others, as `group-name` of the device mapper.
    pub hidden: Vec<String>,
}

/// A physical volume where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPv {
    /// Its device: `/dev/sda3`.
    pub device: String,
    /// Name of its group.
    pub group: String,
    /// What it is.
    pub volume: PhysicalVolume,
}

/// Output that is not LVM's.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not the JSON that LVM prints.
    #[error("LVM's report could not be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A number that is none.
    #[error("LVM's report gives {what} of {name} as {value:?}, which is no number")]
    Number {
        /// Which field.
        what: &'static str,
        /// Of what.
        name: String,
        /// What it says.
        value: String,
    },
}

#[derive(Deserialize)]
struct Output {
    report: Vec<Tables>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tables {
    pv: Vec<PvRow>,
    vg: Vec<VgRow>,
    lv: Vec<LvRow>,
}

#[derive(Deserialize)]
struct PvRow {
    pv_name: String,
    pv_uuid: String,
    vg_name: String,
    pe_start: String,
    pv_pe_count: String,
}

#[derive(Deserialize)]
struct VgRow {
    vg_name: String,
    vg_uuid: String,
    vg_extent_size: String,
    vg_free_count: String,
    vg_tags: String,
}

#[derive(Deserialize)]
struct LvRow {
    lv_name: String,
    lv_uuid: String,
    vg_name: String,
    lv_size: String,
    segtype: String,
    stripes: String,
    stripe_size: String,
    chunk_size: String,
    pool_lv: String,
    origin: String,
    lv_metadata_size: String,
    zero: String,
    discards: String,
    lv_tags: String,
    lv_permissions: String,
    lv_active: String,
    seg_start: String,
}

/// Reads the three reports.
///
/// # Errors
/// When one of them is not LVM's JSON, or a size is no number.
pub fn parse(pvs: &str, vgs: &str, lvs: &str) -> Result<Report, ReportError> {
    let rows = |json: &str| -> Result<Tables, ReportError> {
        let output: Output = serde_json::from_str(json)?;
        Ok(output.report.into_iter().next().unwrap_or_default())
    };
    let volumes = rows(pvs)?.pv.into_iter().filter(|row| !row.vg_name.is_empty()).map(physical);
    let groups = rows(vgs)?.vg.into_iter().map(group);
    let mut report = Report {
        volumes: volumes.collect::<Result<_, _>>()?,
        groups: groups.collect::<Result<_, _>>()?,
        ..Report::default()
    };
    // A volume of several segments has a row for each; the first one says what it is.
    let rows = rows(lvs)?.lv.into_iter().filter(|row| row.seg_start.is_empty() || row.seg_start == "0");
    for row in rows {
        match row.lv_name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(name) => report.hidden.push(mapped(&row.vg_name, name)),
            None => {
                let size = Bytes(number("the size", &row.lv_name, &row.lv_size)?);
                report.logical.push((logical(row)?, size));
            }
        }
    }
    Ok(report)
}

fn physical(row: PvRow) -> Result<FoundPv, ReportError> {
    let volume = PhysicalVolume {
        uuid: row.pv_uuid,
        data_start: Bytes(number("the first extent", &row.pv_name, &row.pe_start)?),
        extents: number("the extents", &row.pv_name, &row.pv_pe_count)?,
    };
    Ok(FoundPv { device: row.pv_name, group: row.vg_name, volume })
}

fn group(row: VgRow) -> Result<VolumeGroup, ReportError> {
    Ok(VolumeGroup {
        extent: Bytes(number("the extent size", &row.vg_name, &row.vg_extent_size)?),
        free: number("the free extents", &row.vg_name, &row.vg_free_count)?,
        tags: tags(&row.vg_tags),
        uuid: row.vg_uuid,
        name: row.vg_name,
    })
}

fn logical(row: LvRow) -> Result<LogicalVolume, ReportError> {
    let form = form(&row)?;
    Ok(LogicalVolume {
        uuid: row.lv_uuid,
        group: row.vg_name,
        name: row.lv_name,
        form,
        writable: !row.lv_permissions.starts_with("read-only"),
        tags: tags(&row.lv_tags),
    })
}

fn form(row: &LvRow) -> Result<Form, ReportError> {
    let name = &row.lv_name;
    let stripes = || -> Result<u32, ReportError> {
        let count = number("the stripes", name, &row.stripes)?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    };
    Ok(match row.segtype.as_str() {
        // The origin of a cached volume is the volume itself without its cache.
        "cache" | "writecache" => Form::Other { what: row.segtype.clone() },
        // A thin snapshot that is in use and may be written to is a clone: a volume like any other.
        "thin" if row.lv_active == "active" && !row.lv_permissions.starts_with("read-only") => {
            Form::Thin { pool: row.pool_lv.clone() }
        }
        _ if !row.origin.is_empty() => Form::Snapshot { origin: row.origin.clone() },
        "linear" => Form::Linear,
        // LVM calls a linear volume striped over one.
        "striped" if stripes()? <= 1 => Form::Linear,
        "striped" => Form::Striped {
            stripes: stripes()?,
            stripe_size: Bytes(number("the stripe size", name, &row.stripe_size)?),
        },
        "raid1" | "mirror" => Form::Mirrored { copies: stripes()? },
        "thin-pool" => Form::ThinPool {
            chunk: Bytes(number("the chunk size", name, &row.chunk_size)?),
            metadata: Bytes(number("the metadata size", name, &row.lv_metadata_size)?),
            zero: row.zero == "zero",
            discards: row.discards.clone(),
        },
        "thin" => Form::Thin { pool: row.pool_lv.clone() },
        other => Form::Other { what: other.to_owned() },
    })
}

fn mapped(group: &str, name: &str) -> String {
    format!("{}-{}", group.replace('-', "--"), name.replace('-', "--"))
}

fn tags(text: &str) -> Vec<String> {
    let mut tags: Vec<String> = text.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    tags.sort_unstable();
    tags
}

fn number(what: &'static str, name: &str, value: &str) -> Result<u64, ReportError> {
    value.trim().parse().map_err(|_| ReportError::Number { what, name: name.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> Report {
        parse(
            include_str!("../../fixtures/stacks/pvs-kinds.json"),
            include_str!("../../fixtures/stacks/vgs-kinds.json"),
            include_str!("../../fixtures/stacks/lvs-kinds.json"),
        )
        .unwrap()
    }

    #[test]
    fn devices_without_a_group_are_no_physical_volumes() {
        let report = kinds();
        let devices: Vec<_> =
            report.volumes.iter().map(|found| (found.device.as_str(), found.group.as_str())).collect();
        assert_eq!(devices, [("/dev/vda", "vg-one"), ("/dev/vdb", "vg-one")]);
        assert_eq!(report.volumes[0].volume.data_start, Bytes::MIB);
        assert_eq!(report.volumes[0].volume.extents, 255);
    }

    #[test]
    fn every_form_of_volume_is_told_and_inner_ones_are_hidden() {
        let report = kinds();
        let form = |name: &str| {
            let found = report.logical.iter().find(|(volume, _)| volume.name == name);
            found.map(|(volume, size)| (volume.form.clone(), size.0 >> 20)).unwrap()
        };
        assert_eq!(form("root"), (Form::Linear, 200));
        assert_eq!(form("striped"), (Form::Striped { stripes: 2, stripe_size: Bytes(65536) }, 64));
        assert_eq!(form("mirrored"), (Form::Mirrored { copies: 2 }, 64));
        let pool = Form::ThinPool {
            chunk: Bytes(131_072),
            metadata: Bytes(8 << 20),
            zero: true,
            discards: "passdown".to_owned(),
        };
        assert_eq!(form("pool"), (pool, 256));
        assert_eq!(form("root-before").0, Form::Snapshot { origin: "root".to_owned() });
        assert_eq!(form("vm-100-snap").0, Form::Snapshot { origin: "vm-100-disk-0".to_owned() });
        assert_eq!(form("vm-100-disk-0"), (Form::Thin { pool: "pool".to_owned() }, 1024));
        assert!(report.hidden.contains(&"vg--one-pool_tdata".to_owned()));
        assert!(report.logical.iter().all(|(volume, _)| !volume.name.starts_with('[')));
    }

    #[test]
    fn a_thin_snapshot_in_use_is_a_clone_and_a_cached_volume_is_no_snapshot() {
        let lvs = include_str!("../../fixtures/stacks/lvs-kinds.json");
        let empty = r#"{"report":[{}]}"#;
        let row = lvs.lines().find(|line| line.contains(r#""lv_name":"vm-100-snap""#)).unwrap();
        let with = |old: &str, new: &str| {
            assert!(row.contains(old), "{row}");
            let report = parse(empty, empty, &lvs.replace(row, &row.replace(old, new))).unwrap();
            report.logical.into_iter().find(|(volume, _)| volume.name == "vm-100-snap").unwrap().0.form
        };
        assert_eq!(with(r#""lv_active":"""#, r#""lv_active":"active""#), Form::Thin { pool: "pool".to_owned() });
        let cached = with(r#""segtype":"thin""#, r#""segtype":"cache""#);
        assert_eq!(cached, Form::Other { what: "cache".to_owned() });
    }

    #[test]
    fn a_volumes_path_is_the_device_mappers() {
        let report = kinds();
        let (thin, _) = report.logical.iter().find(|(volume, _)| volume.name == "vm-100-disk-0").unwrap();
        assert_eq!(thin.path(), "/dev/mapper/vg--one-vm--100--disk--0");
    }

    #[test]
    fn a_host_without_lvm_has_an_empty_report() {
        let report = parse(
            include_str!("../../fixtures/stacks/pvs-md.json"),
            include_str!("../../fixtures/stacks/vgs-md.json"),
            include_str!("../../fixtures/stacks/lvs-md.json"),
        );
        assert_eq!(report.unwrap(), Report::default());
    }

    #[test]
    fn other_text_and_broken_numbers_are_refused() {
        let empty = r#"{"report":[{}]}"#;
        assert!(parse("WARNING: no", empty, empty).is_err());
        let broken = include_str!("../../fixtures/stacks/vgs-kinds.json").replace("4194304", "4.00m");
        assert!(parse(empty, &broken, empty).unwrap_err().to_string().contains("4.00m"));
    }
}
