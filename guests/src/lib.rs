//! Guests of a hypervisor: what their archives, configurations and lists say.
//!
//! Owns the reading of guests' archives ([`archive`]), the inventory that every platform fills ([`inventory`]), the judgement of what no
//! backup of a guest holds ([`coverage`]), and one module for each platform: Proxmox VE ([`proxmox`]), libvirt ([`libvirt`]), LXC
//! ([`lxc`]), Incus ([`incus`]), and Docker and Podman ([`engine`]), whose tools print the same. Bytes and strings come in (archives as
//! streams, for they are large), typed values go out. It opens no file, starts no program, and knows nothing of vaults, of the host's
//! storage or of the rescue.

pub mod archive;
pub mod coverage;
pub mod engine;
pub mod incus;
pub mod inventory;
pub mod libvirt;
pub mod lxc;
pub mod printable;
pub mod proxmox;
pub mod qcow2;
