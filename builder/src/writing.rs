//! A vault that a command writes to: a folder, or the data partition of a stick, mounted for as long as it takes.

use std::path::Path;

use vault::Vault;

use crate::commands::Context;
use crate::medium::{self, Stick};

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
