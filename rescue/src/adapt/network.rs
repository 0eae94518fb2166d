//! Network cards: what the restored system expects and this machine does not have is named. Nothing is changed in this version.

use std::collections::BTreeSet;
use std::fs;

use manifest::host::Host;

use super::Adaptation;
use crate::kernel::sysfs;

/// Names every physical interface whose hardware address is not here.
pub fn check(host: &Host, done: &mut Adaptation) {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let here: BTreeSet<String> =
        entries.filter_map(|entry| sysfs(entry.path().join("address"))).map(|mac| mac.to_lowercase()).collect();
    for interface in host.network.interfaces.iter().filter(|interface| interface.kind == "physical") {
        let Some(mac) = interface.permanent_mac.as_ref().or(interface.mac.as_ref()) else { continue };
        if !here.contains(&mac.to_lowercase()) {
            done.not_adapted.push(format!(
                "network interface {} had the address {mac}, which no card here has (cards without a driver on this stick are not \
                 seen): its name or its configuration may have to change",
                interface.name
            ));
        }
    }
}
