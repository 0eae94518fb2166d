//! A vault that a command writes to: a folder, object storage, or the data partition of a stick, mounted for as long as it takes.

use std::path::Path;

use vault::Vault;

use crate::cli::{self, Reading};
use crate::commands::Context;
use crate::description;
use crate::location::Location;
use crate::medium::Stick;
use crate::reading::Opened;

/// An open vault; [`close`](Self::close) it, so that a stick is unmounted and what was written is on it.
pub struct Writing {
    /// The vault.
    pub vault: Vault,
    place: Location,
    stick: Option<Stick>,
}

impl Writing {
    /// Opens the vault that `named` or `stick` is, else that of the configuration, else the stick made last.
    ///
    /// # Errors
    /// Exit 10 when there is none.
    pub fn open(context: &Context, named: Option<&Location>, stick: Option<&Path>) -> anyhow::Result<Self> {
        match chosen(context, named, stick) {
            Some(Location::Path(path)) if path.exists() && !path.is_dir() => Self::on_stick(context, Some(&path)),
            Some(place) => Ok(Self { vault: place.open(context)?, place, stick: None }),
            None => Self::on_stick(context, stick),
        }
    }

    fn on_stick(context: &Context, named: Option<&Path>) -> anyhow::Result<Self> {
        let stick = Stick::open(context, named)?;
        Ok(Self { vault: stick.vault()?, place: stick.target().to_owned().into(), stick: Some(stick) })
    }

    /// Lets go of it; after that everything is on the medium.
    ///
    /// # Errors
    /// When the kernel cannot write everything out.
    pub fn close(self) -> anyhow::Result<()> {
        drop(self.vault);
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
    /// When there is no vault (10), nobody's signature counts or the recipients are not confirmed (20), or the host is not clear (2).
    pub fn open(context: &Context, args: &cli::Writing) -> anyhow::Result<Self> {
        let Writing { vault, place, stick } = Writing::open(context, args.vault.as_ref(), args.stick.as_deref())?;
        let opened = Opened::of(context, vault, place, &reading(args))?;
        description::check_for_writing(context, &opened.vault)?;
        Ok(Self { opened, stick })
    }

    /// Opens the same to look at it only: nothing is mounted and nothing can be written.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn look(context: &Context, args: &cli::Writing) -> anyhow::Result<Self> {
        let vault = chosen(context, args.vault.as_ref(), args.stick.as_deref());
        let vault = vault.or_else(|| args.stick.clone().or_else(|| context.config.stick.clone()).map(Location::from));
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

/// What was named, else the configured vault; none where a stick was named, or nothing.
fn chosen(context: &Context, named: Option<&Location>, stick: Option<&Path>) -> Option<Location> {
    named.cloned().or_else(|| stick.is_none().then(|| context.config.vault.clone()).flatten())
}

fn reading(args: &cli::Writing) -> Reading {
    Reading { vault: None, signers: args.signers.clone(), host: args.host.clone() }
}
