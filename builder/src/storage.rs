//! Opening the vault at a [`Location`]: to read, to write, or where a new one is to be. Which credentials and which certificates reach
//! it is decided here; what is done with the vault is not known.

mod credentials;
mod rclone;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use vault::{S3, Store, Vault};

use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::location::{Bucket, Location};
use crate::medium::{self, Stick};

/// What the command line says about reaching object storage.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// URL of the S3 server.
    pub endpoint: Option<String>,
    /// Certificates of authorities, PEM.
    pub ca_file: Option<PathBuf>,
}

/// A store that may be written to; a stick is mounted as long as it lives.
pub struct Writable {
    /// The store.
    pub store: Arc<dyn Store>,
    stick: Option<Stick>,
}

impl Writable {
    /// Makes sure that everything is on the medium.
    ///
    /// # Errors
    /// When a stick cannot be unmounted.
    pub fn close(self) -> anyhow::Result<()> {
        drop(self.store);
        self.stick.map_or(Ok(()), Stick::close)
    }
}

impl Location {
    /// Opens the vault here to read.
    ///
    /// # Errors
    /// Exit 10 when there is none.
    pub fn open(&self, context: &Context) -> anyhow::Result<Vault> {
        let (store, name) = self.store(context)?;
        let vault = Vault::open(store).with_context(|| format!("opening the vault in {self}"))?;
        Ok(vault.named(name))
    }

    /// What lies here, to read, and the name under which it is remembered; whether it is a vault is not looked at.
    ///
    /// # Errors
    /// Exit 10 when there is nothing.
    pub fn store(&self, context: &Context) -> anyhow::Result<(Arc<dyn Store>, String)> {
        match self {
            Self::Path(path) => medium::store(path),
            _ => Ok((self.remote_store(context)?, self.name())),
        }
    }

    /// The name under which a vault here that is no stick is remembered.
    pub fn name(&self) -> String {
        match self {
            Self::Path(path) => medium::place(path),
            other => other.to_string(),
        }
    }

    /// The store of a vault that is to be made: an empty place.
    ///
    /// # Errors
    /// Exit 30 when there is something.
    pub fn new_store(&self, context: &Context) -> anyhow::Result<Arc<dyn Store>> {
        if let Self::Path(path) = self {
            return medium::new_folder(path);
        }
        let store = self.remote_store(context)?;
        match store.size("vault.json") {
            Err(vault::Error::NotFound { object }) if object == "vault.json" => Ok(store),
            Ok(_) => Err(refusal(Exit::Guard, format!("there is a vault in {self} already; nothing was changed"))),
            Err(error) => Err(error).with_context(|| format!("looking into {self}")),
        }
    }

    /// A store to copy to: that of a vault, or a place where one may be made.
    ///
    /// # Errors
    /// Exit 30 when a folder holds something that belongs to no vault.
    pub fn target_store(&self, context: &Context) -> anyhow::Result<Writable> {
        let Self::Path(path) = self else {
            return Ok(Writable { store: self.remote_store(context)?, stick: None });
        };
        if path.exists() && !path.is_dir() {
            let stick = Stick::open(context, Some(path))?;
            let store = stick.vault()?.store().clone();
            return Ok(Writable { store, stick: Some(stick) });
        }
        Ok(Writable { store: medium::vault_folder(path)?, stick: None })
    }

    /// The store of a place that is no path.
    fn remote_store(&self, context: &Context) -> anyhow::Result<Arc<dyn Store>> {
        match self {
            Self::S3(bucket) => Ok(Arc::new(s3(context, bucket)?.store()?)),
            Self::Rclone(remote) => Ok(Arc::new(rclone::RcloneStore::new(remote, context.config.rclone.clone())?)),
            Self::Path(path) => medium::vault_folder(path),
        }
    }
}

/// What the location, the command line, the environment, the configuration and the profile say, in this order.
fn s3(context: &Context, place: &Bucket) -> anyhow::Result<S3> {
    let config = context.config.s3.clone().unwrap_or_default();
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let profile = place.profile.clone().or_else(|| env("AWS_PROFILE")).or(config.profile);
    let profile = credentials::Profile::find(profile.as_deref(), config.credentials_file.as_deref())?;
    let keys = match place.profile {
        // A profile that is named for this very place counts more than what is in the environment for all.
        Some(_) => profile.keys.clone(),
        None => credentials::from_environment().or_else(|| profile.keys.clone()),
    };
    let keys = keys.ok_or_else(|| {
        refusal(
            Exit::NoVault,
            format!(
                "no credentials for s3://{}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put them into {} under [{}]",
                place.bucket, profile.file.display(), profile.name
            ),
        )
    })?;
    let ca_file = context.storage.ca_file.clone().or_else(|| env("AWS_CA_BUNDLE").map(Into::into)).or(config.ca_file);
    let authorities = ca_file.map(|file| {
        std::fs::read(&file)
            .map_err(|error| refusal(Exit::Usage, format!("reading the certificates in {}: {error}", file.display())))
    });
    let endpoint = place.endpoint.clone().or_else(|| context.storage.endpoint.clone());
    let endpoint = endpoint.or_else(|| env("AWS_ENDPOINT_URL_S3")).or_else(|| env("AWS_ENDPOINT_URL"));
    let region = place.region.clone().or_else(|| env("AWS_REGION")).or_else(|| env("AWS_DEFAULT_REGION"));
    Ok(S3 {
        bucket: place.bucket.clone(),
        prefix: place.prefix.clone(),
        endpoint: endpoint.or(config.endpoint).or_else(|| profile.endpoint.clone()),
        region: region.or(config.region).or_else(|| profile.region.clone()),
        access_key: keys.access_key,
        secret_key: keys.secret_key,
        token: keys.token,
        authorities: authorities.transpose()?,
        virtual_hosted: config.virtual_hosted,
        retain_until: config.retention.as_deref().map(retain_until).transpose()?,
    })
}

/// The time until which what is put now is to stay.
fn retain_until(retention: &str) -> anyhow::Result<String> {
    let wrong = |why: String| refusal(Exit::Usage, format!("[s3] retention: {why}"));
    let seconds = crate::size::parse_days(retention).map_err(wrong)?;
    let until =
        Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).map_err(|error| wrong(error.to_string()))?;
    Ok(until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
