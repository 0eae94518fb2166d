//! A machine that is restored twice keeps one boot entry of its host: what piled up goes, what is somebody else's stays, and so does the order.

use std::time::Duration;

use anyhow::Context;
use qemu_tests::host::Host;
use qemu_tests::layouts::{SECURE, SECURE_STATE};
use qemu_tests::place;
use qemu_tests::rescue::{Patient, follow, nobody, plugged};
use qemu_tests::scenario::say;
use vm::{Bus, Running};

const LIMIT: Duration = Duration::from_secs(120);

/// What a machine collects: another system on another disk, a second entry for the host's loader, one of its label for a disk that is gone
/// at the next start (what is written here to disks is thrown away). Then the stick is chosen for the next start, as `efibootmgr` does it.
const COLLECT: &str = "set -e
root=$(lsblk -no pkname $(findmnt -no SOURCE /))
other=$(readlink -e /dev/disk/by-id/ata-*LBOTHER)
sgdisk --new=1:0:0 --typecode=1:ef00 $other >/dev/null
udevadm settle
efibootmgr -q -c -d $other -p 1 -L debian -l '\\EFI\\debian\\shimx64.efi' 2>/dev/null
efibootmgr -q -c -d $other -p 1 -L 'Other system' -l '\\EFI\\other\\boot.efi'
efibootmgr -q -c -d /dev/$root -p 2 -L 'debian again' -l '\\EFI\\debian\\shimx64.efi'
stick=$(efibootmgr | sed -n 's/^Boot\\([0-9A-F]\\{4\\}\\).*LBSTICK01.*/\\1/p' | head -n 1)
[ -n \"$stick\" ] || stick=$(efibootmgr | sed -n 's/^Boot\\([0-9A-F]\\{4\\}\\).*USB.*/\\1/p' | head -n 1)
efibootmgr -q -n $stick
efibootmgr";

#[test]
fn a_machine_that_is_restored_twice_has_one_entry_of_its_host() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario boot_entries");
    let host = Host::get(SECURE)?.secured();
    let captured = host.captured(SECURE_STATE)?;
    let folder = place::scratch("boot-entries")?;
    let patient = Patient::new("boot-entries", host.accel(), &folder, Bus::Sata, "LBENTRIES", SECURE.size())?
        .and("LBOTHER", 64 << 20)?
        .uefi();
    let (stick, key) = (&captured.stick, Some(captured.key.as_path()));
    let outcome = follow(&mut patient.boot_stick(stick, key)?, nobody, |_| ())?;
    say(&format!("    restored after {} s: {}", outcome.ended.as_secs(), outcome.report()?["loaders"]));

    let mut running = patient.boot_beside("collects", plugged(stick, key))?;
    let before = Entries::parse(&running.output(COLLECT, LIMIT)?);
    running.quit()?;
    say(&format!("    before: {before:?}"));
    assert_eq!(before.of("debian").len(), 3, "{before:?}");
    let other = before.of("Other system")[0];

    let mut running = patient.boot_stick_by_variables(stick, key).context("starting the stick by BootNext")?;
    let outcome = follow(&mut running, nobody, |_| ())?;
    let loaders = outcome.report()?["loaders"].to_string();
    say(&format!("    restored again after {} s: {loaders}", outcome.ended.as_secs()));
    assert!(loaders.contains("for a disk that is gone, removed"), "{loaders}");
    assert_eq!(loaders.matches(" starts ").count(), 1, "{loaders}");

    let after = Entries::of_machine(&mut patient.boot("restored")?)?;
    say(&format!("    after: {after:?}"));
    assert_eq!((after.of("debian").len(), after.of("Other system")), (1, vec![other]), "{after:?}");
    assert_eq!(after.order[0], after.of("debian")[0], "{after:?}");
    // The sticks are not plugged in any more; the firmware forgets its own entries for them.
    let kept = |order: &[u16], others: &Entries| -> Vec<u16> {
        let debian = [before.of("debian"), after.of("debian")].concat();
        order.iter().copied().filter(|number| others.has(*number) && !debian.contains(number)).collect()
    };
    assert_eq!(kept(&after.order, &before), kept(&before.order, &after));
    say("scenario boot_entries holds");
    Ok(())
}

/// What `efibootmgr` prints.
#[derive(Debug)]
struct Entries {
    order: Vec<u16>,
    entries: Vec<(u16, String)>,
}

impl Entries {
    fn of_machine(running: &mut Running) -> anyhow::Result<Self> {
        Ok(Self::parse(&running.output("efibootmgr", LIMIT)?))
    }

    fn parse(text: &str) -> Self {
        let number = |digits: &str| u16::from_str_radix(digits, 16).ok();
        let order = text.lines().find_map(|line| line.strip_prefix("BootOrder: ")).unwrap_or_default();
        let entries = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("Boot")?;
            let label = rest.get(4..)?.trim_start_matches(['*', ' ']);
            Some((number(rest.get(..4)?)?, label.split('\t').next()?.to_owned()))
        });
        Self { order: order.split(',').filter_map(number).collect(), entries: entries.collect() }
    }

    /// Numbers of the entries whose labels begin so.
    fn of(&self, label: &str) -> Vec<u16> {
        self.entries.iter().filter(|(_, own)| own.starts_with(label)).map(|(number, _)| *number).collect()
    }

    fn has(&self, number: u16) -> bool {
        self.entries.iter().any(|(own, _)| *own == number)
    }
}
