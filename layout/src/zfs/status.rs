//! The shape of pools, as `zpool status -P -L` draws it: by indentation.

use super::{Form, Role, Vdev};

/// A pool's shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) pool: String,
    pub(super) vdevs: Vec<Vdev>,
    /// Paths of the devices that are here, in the order of the vdevs.
    pub(super) devices: Vec<String>,
    pub(super) hindrance: Option<String>,
}

/// States of a device that holds what it should.
const SOUND: [&str; 4] = ["ONLINE", "DEGRADED", "AVAIL", "INUSE"];

/// The shapes of all pools.
pub(super) fn parse(text: &str) -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::new();
    let mut role = None;
    for line in text.lines() {
        if let Some(pool) = line.trim_start().strip_prefix("pool: ") {
            shapes.push(Shape { pool: pool.to_owned(), ..Shape::default() });
            role = None;
            continue;
        }
        let Some(shape) = shapes.last_mut() else { continue };
        // Only the drawing begins with a tab; so do long words of advice, which come before it.
        let Some(drawn) = line.strip_prefix('\t') else { continue };
        let depth = (drawn.len() - drawn.trim_start_matches(' ').len()) / 2;
        let mut words = drawn.split_ascii_whitespace();
        let (Some(name), state) = (words.next(), words.next()) else { continue };
        match depth {
            0 => role = role_of(name, &shape.pool, state).or(role.filter(|_| name == "NAME")),
            _ => {
                let Some(role) = role else { continue };
                shape.add(role, depth, name, state.unwrap_or_default());
            }
        }
    }
    shapes.iter_mut().for_each(Shape::judge);
    shapes
}

fn role_of(name: &str, pool: &str, state: Option<&str>) -> Option<Role> {
    match (name, state) {
        (name, Some(_)) if name == pool => Some(Role::Data),
        ("logs", None) => Some(Role::Log),
        ("cache", None) => Some(Role::Cache),
        ("spares", None) => Some(Role::Spare),
        ("special", None) => Some(Role::Special),
        ("dedup", None) => Some(Role::Dedup),
        _ => None,
    }
}

impl Shape {
    fn add(&mut self, role: Role, depth: usize, name: &str, state: &str) {
        let here = name.starts_with('/') && SOUND.contains(&state);
        let group = form_of(name).filter(|_| depth == 1);
        match (depth, group) {
            (1, Some(form)) => self.vdevs.push(Vdev { role, form, devices: 0, missing: 0 }),
            // What was evacuated from a device that was removed lies elsewhere.
            (1, None) if name.starts_with("indirect-") => {}
            (1, None) if here => {
                self.vdevs.push(Vdev { role, form: Form::Disk, devices: 1, missing: 0 });
                self.devices.push(name.to_owned());
            }
            // A pool does without these.
            (1, None) if matches!(role, Role::Cache | Role::Spare) => {}
            (2, _) if here => {
                self.devices.push(name.to_owned());
                if let Some(vdev) = self.vdevs.last_mut() {
                    vdev.devices += 1;
                }
            }
            (2, _) if !name.starts_with("replacing-") && !name.starts_with("spare-") => {
                if let Some(vdev) = self.vdevs.last_mut() {
                    vdev.missing += 1;
                }
            }
            _ => drop(
                self.hindrance
                    .get_or_insert_with(|| format!("its part {name} is {state}, of a kind that cannot be made again")),
            ),
        }
    }

    /// A mirror does without what is missing; nothing else keeps its shape.
    fn judge(&mut self) {
        let lame = |vdev: &&Vdev| vdev.devices == 0 || (vdev.missing > 0 && vdev.form != Form::Mirror);
        if self.vdevs.iter().any(|vdev| lame(&vdev)) && self.hindrance.is_none() {
            self.hindrance = Some("a device of it is missing: replace it first".to_owned());
        }
        if self.vdevs.is_empty() && self.hindrance.is_none() {
            self.hindrance = Some("zpool tells nothing of its devices".to_owned());
        }
        for vdev in self.vdevs.iter_mut().filter(|vdev| vdev.form == Form::Mirror && vdev.devices == 1) {
            vdev.form = Form::Disk;
        }
    }
}

/// The form that a group's name says: `mirror-0`, `raidz2-1`.
fn form_of(name: &str) -> Option<Form> {
    let (kind, number) = name.rsplit_once('-')?;
    number.parse::<u32>().ok()?;
    match kind {
        "mirror" => Some(Form::Mirror),
        "raidz1" => Some(Form::Raidz { parity: 1 }),
        "raidz2" => Some(Form::Raidz { parity: 2 }),
        "raidz3" => Some(Form::Raidz { parity: 3 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(lines: &[&str]) -> Shape {
        let text = format!(
            "  pool: tank\n state: ONLINE\nconfig:\n\n\tNAME  STATE  READ WRITE CKSUM\n\ttank  ONLINE  0 0 0\n\t{}\n\nerrors: No known data errors\n",
            lines.join("\n\t")
        );
        parse(&text).remove(0)
    }

    fn forms(shape: &Shape) -> Vec<(Role, Form, usize)> {
        shape.vdevs.iter().map(|vdev| (vdev.role, vdev.form, vdev.devices)).collect()
    }

    #[test]
    fn every_role_and_form_is_told() {
        let shape = drawn(&[
            "  raidz2-0  ONLINE",
            "    /dev/sda  ONLINE",
            "    /dev/sdb  ONLINE",
            "    /dev/sdc  ONLINE",
            "  /dev/sdd  ONLINE",
            "special\t",
            "  mirror-2  ONLINE",
            "    /dev/sde  ONLINE",
            "    /dev/sdf  ONLINE",
            "logs\t",
            "  /dev/sdg  ONLINE",
            "cache",
            "  /dev/sdh  ONLINE",
            "spares",
            "  /dev/sdi  AVAIL",
        ]);
        assert_eq!(
            forms(&shape),
            [
                (Role::Data, Form::Raidz { parity: 2 }, 3),
                (Role::Data, Form::Disk, 1),
                (Role::Special, Form::Mirror, 2),
                (Role::Log, Form::Disk, 1),
                (Role::Cache, Form::Disk, 1),
                (Role::Spare, Form::Disk, 1),
            ]
        );
        assert_eq!((shape.devices.len(), shape.hindrance), (9, None));
    }

    #[test]
    fn a_mirror_does_without_a_missing_device_and_raidz_does_not() {
        let half =
            drawn(&["  mirror-0  DEGRADED", "    /dev/sda  ONLINE", "    1234567  UNAVAIL  0 0 0  was /dev/sdb1"]);
        assert_eq!((forms(&half), half.vdevs[0].missing), (vec![(Role::Data, Form::Disk, 1)], 1));
        assert_eq!(half.hindrance, None);
        let lame =
            drawn(&["  raidz1-0  DEGRADED", "    /dev/sda  ONLINE", "    /dev/sdb  ONLINE", "    /dev/sdc  UNAVAIL"]);
        assert!(lame.hindrance.unwrap().contains("missing"));
    }

    #[test]
    fn what_cannot_be_made_again_is_named() {
        let draid = drawn(&["  draid1:2d:3c:0s-0  ONLINE", "    /dev/sda  ONLINE"]);
        assert!(draid.hindrance.unwrap().contains("draid1:2d:3c:0s-0"));
        let replacing =
            drawn(&["  mirror-0  ONLINE", "    replacing-0  ONLINE", "      /dev/sda  ONLINE", "    /dev/sdb  ONLINE"]);
        assert!(replacing.hindrance.unwrap().contains("replacing-0"));
    }

    #[test]
    fn advice_and_several_pools_are_told_apart() {
        let text = "  pool: one\n state: ONLINE\nstatus: Some supported features are not enabled.\n\tThe pool can still be used.\naction: Enable\n\
                    \tall features.\nconfig:\n\n\tNAME  STATE\n\tone  ONLINE\n\t  /dev/sda1  ONLINE\n\nerrors: none\n\n  pool: two\nconfig:\n\n\
                    \tNAME STATE\n\ttwo ONLINE\n\t  /dev/sdb1 ONLINE\n";
        let shapes = parse(text);
        let found: Vec<(&str, &[String])> =
            shapes.iter().map(|one| (one.pool.as_str(), one.devices.as_slice())).collect();
        assert_eq!(found, [("one", ["/dev/sda1".to_owned()].as_slice()), ("two", ["/dev/sdb1".to_owned()].as_slice())]);
    }
}
