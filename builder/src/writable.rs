//! Opening a vault to change what is in it: a folder, or the data partition of a stick, mounted for the time of the run.

use std::path::PathBuf;

use crate::cli::{Reading, Writing};
use crate::commands::Context;
use crate::medium::{self, Stick};
use crate::reading::Opened;

/// A vault that may be changed, with what reading it needs.
pub struct Writable {
    /// The vault, its host, and whose signatures count.
    pub opened: Opened,
    stick: Option<Stick>,
}

impl Writable {
    /// Opens what the arguments name, else what the configuration does, else the stick made last.
    ///
    /// # Errors
    /// When there is no vault (10), nobody's signature counts (20), or the host is not clear (2).
    pub fn open(context: &Context, args: &Writing) -> anyhow::Result<Self> {
        let (folder, stick) = places(context, args);
        let reading = reading(args);
        match folder {
            Some(place) => {
                let opened = Opened::of(context, medium::open(&place)?, place, &reading)?;
                Ok(Self { opened, stick: None })
            }
            None => {
                let stick = Stick::open(context, stick.as_deref())?;
                let opened = Opened::of(context, stick.vault()?, stick.target().to_owned(), &reading)?;
                Ok(Self { opened, stick: Some(stick) })
            }
        }
    }

    /// Opens the same to look at it only: nothing is mounted and nothing can be written.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn look(context: &Context, args: &Writing) -> anyhow::Result<Self> {
        let (folder, stick) = places(context, args);
        let vault = folder.or(stick).or_else(|| context.config.stick.clone());
        let opened = Opened::open(context, &Reading { vault, ..reading(args) })?;
        Ok(Self { opened, stick: None })
    }

    /// Lets go of the vault; only after that has returned is everything on the medium.
    ///
    /// # Errors
    /// When a stick cannot be unmounted.
    pub fn close(self) -> anyhow::Result<()> {
        drop(self.opened);
        self.stick.map_or(Ok(()), Stick::close)
    }
}

/// A folder, or a stick; neither where the configuration and the state decide. What `--vault` names and is no folder
/// is a stick.
fn places(context: &Context, args: &Writing) -> (Option<PathBuf>, Option<PathBuf>) {
    let vault = args.vault.clone().or_else(|| args.stick.is_none().then(|| context.config.vault.clone()).flatten());
    match vault {
        Some(place) if place.exists() && !place.is_dir() => (None, Some(place)),
        vault => (vault, args.stick.clone()),
    }
}

fn reading(args: &Writing) -> Reading {
    Reading { vault: None, signers: args.signers.clone(), host: args.host.clone() }
}
