//! Guests of a hypervisor: what their archives, configurations and lists say.
//!
//! Owns the reading of guests' archives ([`archive`]), the inventory that every platform fills ([`inventory`]), the judgement of what no
//! backup of a guest holds ([`coverage`]), and one module for each platform: so far Proxmox VE ([`proxmox`]). Bytes and strings come in
//! (archives as streams, for they are large), typed values go out. It opens no file, starts no program, and knows nothing of vaults,
//! of the host's storage or of the rescue.

pub mod archive;
pub mod coverage;
pub mod inventory;
pub mod proxmox;
