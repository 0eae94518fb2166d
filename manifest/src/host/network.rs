//! A machine's network as it was in effect. Its configuration files are in the archive.

use serde::{Deserialize, Serialize};

/// Interfaces, routes, names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// All interfaces but the loopback, by name.
    pub interfaces: Vec<Interface>,
    /// Routes of the main table, as the kernel lists them.
    pub routes: Vec<Route>,
    /// Name servers of `/etc/resolv.conf`.
    pub nameservers: Vec<String>,
    /// Search domains of `/etc/resolv.conf`.
    pub search: Vec<String>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The hardware address that it has; a bond's members keep their own in `permanent_mac`.
    pub mac: Option<String>,
    /// The hardware address that the card was made with, where it differs.
    pub permanent_mac: Option<String>,
    /// The driver of the card; none for what is made in software.
    pub driver: Option<String>,
    /// Where the card is: `0000:00:03.0`.
    pub bus: Option<String>,
    /// What it is: `physical`, or the kernel's name for a kind made in software (`bridge`, `vlan`, `bond`, `wireguard`).
    pub kind: String,
    /// The bridge or bond that it belongs to.
    pub master: Option<String>,
    /// Largest packet.
    pub mtu: u32,
    /// Whether it was up.
    pub up: bool,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<String>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Destination: `default` or a prefix.
    pub to: String,
    /// Gateway, where there is one.
    pub via: Option<String>,
    /// Interface.
    pub dev: Option<String>,
    /// Metric, where one is set.
    pub metric: Option<u32>,
}
