//! What of a host differs from its recorded description, beside its storage (that is `layout::drift`): boot chain and fstab.

use std::collections::BTreeSet;

use layout::drift::{Drift, compare};
use manifest::Host;
use manifest::host::{BootChain, EfiBoot, EfiEntry};

/// Everything that differs.
pub fn between(was: &Host, is: &Host) -> Vec<Drift> {
    let mut drifts = compare(&was.layout, &is.layout);
    let line = |entry: &layout::fstab::FstabEntry| {
        format!("line of /etc/fstab `{} {} {} {}`", entry.spec, entry.path, entry.fstype, entry.options)
    };
    drifts.extend(sets(was.fstab.iter().map(line), is.fstab.iter().map(line)));
    let swap = |file: &manifest::host::SwapFile| format!("swap file {} of {}", file.path, file.size);
    drifts.extend(sets(was.swap_files.iter().map(swap), is.swap_files.iter().map(swap)));
    drifts.extend(sets(guests(was), guests(is)));
    drifts.extend(boot(&was.boot, &is.boot));
    drifts
}

/// Guests, and members of clusters.
fn guests(host: &Host) -> impl Iterator<Item = String> {
    host.guests.iter().flat_map(|platform| {
        let guests = platform.guests.iter();
        let guests = guests.map(|guest| format!("guest {} {} of {}", guest.id, guest.name, platform.kind));
        guests.chain(platform.cluster.iter().map(|node| format!("node {node} of the cluster of {}", platform.kind)))
    })
}

fn boot(was: &BootChain, is: &BootChain) -> Vec<Drift> {
    let secure = |chain: &BootChain| match chain.secure_boot {
        Some(true) => "enforced",
        Some(false) => "off",
        None => "unknown",
    };
    let mut drifts: Vec<Drift> = [
        ("firmware", was.firmware.to_string(), is.firmware.to_string()),
        ("Secure Boot", secure(was).to_owned(), secure(is).to_owned()),
        ("running kernel", was.kernel.release.clone(), is.kernel.release.clone()),
        ("installed kernels", was.kernel.installed.join(" "), is.kernel.installed.join(" ")),
        ("kernel command line", words(&was.command_line), words(&is.command_line)),
    ]
    .iter()
    .filter_map(|(property, was, is)| Drift::changed("boot chain", property, was, is))
    .collect();
    let loader = |loader: &manifest::host::Loader| format!("boot loader {}", loader.path);
    drifts.extend(sets(was.loaders.iter().map(loader), is.loaders.iter().map(loader)));
    if let (Some(was), Some(is)) = (&was.efi, &is.efi) {
        drifts.extend(sets(was.entries.iter().map(entry), is.entries.iter().map(entry)));
        drifts.extend(Drift::changed("boot chain", "order of EFI boot entries", &order(was), &order(is)));
    }
    drifts
}

/// The command line without the words that name the kernel's own files: those change with every kernel, which is named by itself.
fn words(command_line: &str) -> String {
    let named = |word: &&str| !word.starts_with("BOOT_IMAGE=") && !word.starts_with("initrd=");
    command_line.split_ascii_whitespace().filter(named).collect::<Vec<_>>().join(" ")
}

/// An entry by what it starts: firmware gives out the numbers as it likes.
fn entry(entry: &EfiEntry) -> String {
    let file = entry.file.as_deref().unwrap_or("no file");
    let partition = entry.partition.as_ref().map_or(String::new(), |guid| format!(" on partition {guid}"));
    format!("EFI boot entry {:?} ({file}{partition})", entry.label)
}

fn order(boot: &EfiBoot) -> String {
    let label = |number: &u16| {
        let entry = boot.entries.iter().find(|entry| entry.number == *number);
        entry.map_or_else(|| format!("{number:04X}"), |entry| entry.label.clone())
    };
    boot.order.iter().map(label).collect::<Vec<_>>().join(", ")
}

fn sets(was: impl Iterator<Item = String>, is: impl Iterator<Item = String>) -> Vec<Drift> {
    let (was, is): (BTreeSet<String>, BTreeSet<String>) = (was.collect(), is.collect());
    let gone = was.difference(&is).map(|name| Drift::gone(name.as_str()));
    gone.chain(is.difference(&was).map(|name| Drift::new(name.as_str()))).collect()
}
