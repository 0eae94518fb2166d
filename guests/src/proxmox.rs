//! Proxmox VE: its archives and their names, its configuration files, its cluster database.
//!
//! Written from the documentation and from looking at files, not from the sources of pmxcfs, vma or qemu-server.
//!
//! - [`vma`], archives of virtual machines; those of containers are plain tars
//! - [`names`], which file in a dump folder is what
//! - [`storage`], the file `storage.cfg`
//! - [`config`], configurations of guests
//! - [`cluster`], the database below `/etc/pve`
//! - [`inventory`], all guests of a cluster, from that database

pub mod cluster;
pub mod config;
pub mod inventory;
pub mod names;
pub mod storage;
mod text;
pub mod vma;

pub use self::text::ConfigError;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Number of a guest: 100 to 999999999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VmId(u32);

impl FromStr for VmId {
    type Err = ();

    /// As names are written: no sign, no zero in front.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        match text.parse() {
            Ok(number) if digits && (3..=9).contains(&text.len()) => Ok(Self(number)),
            _ => Err(()),
        }
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_guests_have_three_to_nine_digits() {
        for good in ["100", "999", "123456789", "999999999"] {
            assert_eq!(good.parse::<VmId>().unwrap().to_string(), good);
        }
        for bad in ["", "99", "0100", "1000000000", "+100", "10a", "-100", " 100"] {
            assert!(bad.parse::<VmId>().is_err(), "{bad:?}");
        }
    }
}
