//! crypttab: every line must find its device on this machine. Containers keep their UUIDs, so most do.

use std::fs;
use std::path::Path;

use layout::crypttab::{CrypttabEntry, parse};
use layout::fstab::FstabEntry;
use layout::plan::{Plan, Step};

use super::Adaptation;
use super::fstab::Known;
use crate::apply::TARGET;

/// Names every line that finds nothing, and every container whose TPM is not here, but those that are enrolled anew by themselves (`renewed`).
pub fn check(plan: &Plan, renewed: &[String], done: &mut Adaptation) {
    let steps = plan.before.iter().chain(&plan.after);
    let containers: Vec<_> = steps
        .filter_map(|step| match step {
            Step::MakeLuks { device, luks } => Some((device.path(), luks)),
            _ => None,
        })
        .collect();
    for (device, luks) in containers.iter().filter(|(_, luks)| luks.has_tpm() && !renewed.contains(&luks.uuid)) {
        done.not_adapted.push(format!(
            "the container {} was opened by the TPM of the lost machine: type its passphrase at the first start, then run \
             systemd-cryptenroll --wipe-slot=tpm2 {device} && systemd-cryptenroll --tpm2-device=auto {device}",
            luks.uuid
        ));
    }
    let text = fs::read_to_string(Path::new(TARGET).join("etc/crypttab")).unwrap_or_default();
    let known = Known::of(plan);
    for entry in parse(&text).iter().filter(|entry| misses(&known, entry)) {
        done.not_adapted.push(format!("/etc/crypttab: {} for {} is not on this machine", entry.device, entry.name));
    }
}

fn misses(known: &Known, entry: &CrypttabEntry) -> bool {
    let spec = entry.device.replace('"', "");
    known.misses(&FstabEntry { spec, path: entry.name.clone(), fstype: String::new(), options: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_whose_container_did_not_come_back_are_named() {
        let known = Known::with_uuid("11111111-aaaa-4111-8111-111111111111");
        let text = "root UUID=11111111-AAAA-4111-8111-111111111111 none luks\nquoted UUID=\"11111111-aaaa-4111-8111-111111111111\" none luks\n\
                    gone UUID=22222222-aaaa-4111-8111-111111111111 none luks\nid /dev/disk/by-id/ata-X-part3 /dev/urandom swap\n\
                    lv /dev/mapper/vg-secret none luks\n";
        let missed: Vec<String> =
            parse(text).iter().filter(|entry| misses(&known, entry)).map(|entry| entry.name.clone()).collect();
        assert_eq!(missed, ["gone", "id"]);
    }
}
