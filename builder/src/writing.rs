//! A vault that a command writes to: a folder, or the data partition of a stick, mounted for as long as it takes.

use std::path::{Path, PathBuf};

use vault::Vault;

use crate::cli::{self, Reading};
use crate::commands::Context;
use crate::description;
use crate::medium::{self, Stick};
use crate::reading::Opened;

/// An open vault; [`close`](Self::close) it, so that a stick is unmounted and what was written is on it.
pub struct Writing {
    /// The vault.
    pub vault: Vault,
    stick: Option<Stick>,
}

impl Writing {
    /// Opens the vault that `named` is, else that of the configuration, else the stick made last.
    ///
    /// # Errors
    /// Exit 10 when there is none.
    pub fn open(context: &Context, named: Option<&Path>) -> anyhow::Result<Self> {
        match named.or(context.config.vault.as_deref()) {
            Some(place) if place.is_dir() => Ok(Self { vault: medium::open(place)?, stick: None }),
            other => {
                let stick = Stick::open(context, other)?;
                Ok(Self { vault: stick.vault()?, stick: Some(stick) })
            }
        }
    }

    /// Lets go of it; after that everything is on the medium.
    ///
    /// # Errors
    /// When the kernel cannot write everything out.
    pub fn close(self) -> anyhow::Result<()> {
        self.stick.map_or(Ok(()), Stick::close)
    }
}

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
    pub fn open(context: &Context, args: &cli::Writing) -> anyhow::Result<Self> {
        let (folder, stick) = places(context, args);
        let reading = reading(args);
        match folder {
            Some(place) => {
                let opened = Opened::of(context, medium::open(&place)?, place, &reading)?;
                description::check_for_writing(context, &opened.vault)?;
                Ok(Self { opened, stick: None })
            }
            None => {
                let stick = Stick::open(context, stick.as_deref())?;
                let opened = Opened::of(context, stick.vault()?, stick.target().to_owned(), &reading)?;
                description::check_for_writing(context, &opened.vault)?;
                Ok(Self { opened, stick: Some(stick) })
            }
        }
    }

    /// Opens the same to look at it only: nothing is mounted and nothing can be written.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn look(context: &Context, args: &cli::Writing) -> anyhow::Result<Self> {
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

/// A folder, or a stick; neither where the configuration and the state decide. What `--vault` names and is no folder is a stick.
fn places(context: &Context, args: &cli::Writing) -> (Option<PathBuf>, Option<PathBuf>) {
    let vault = args.vault.clone().or_else(|| args.stick.is_none().then(|| context.config.vault.clone()).flatten());
    match vault {
        Some(place) if place.exists() && !place.is_dir() => (None, Some(place)),
        vault => (vault, args.stick.clone()),
    }
}

fn reading(args: &cli::Writing) -> Reading {
    Reading { vault: None, signers: args.signers.clone(), host: args.host.clone() }
}
