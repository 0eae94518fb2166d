//! Where a vault lies, as people write it: a folder, a stick, `s3://BUCKET/PREFIX`, `rclone:REMOTE:PATH`. Parsed once, by the command line
//! or the configuration; opening is another step. Holds no secret, so it may be printed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

/// A place for a vault.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Location {
    /// A vault folder, or a stick: a device or an image file.
    Path(PathBuf),
    /// S3-compatible object storage.
    S3(Bucket),
    /// Whatever `rclone` reaches.
    Rclone(Remote),
}

/// A prefix in a bucket, and what it takes to reach it beside the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The bucket's name.
    pub bucket: String,
    /// What the vault's objects begin with; may be empty.
    pub prefix: String,
    /// URL of the server.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Profile in the credentials file.
    pub profile: Option<String>,
}

/// A folder on one of rclone's remotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Name of the remote in rclone's configuration; empty for rclone's own local files.
    pub remote: String,
    /// The folder on it.
    pub path: String,
}

impl Location {
    /// The path, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            _ => None,
        }
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl FromStr for Location {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("s3://") {
            return Bucket::parse(rest).map(Self::S3);
        }
        if let Some(rest) = text.strip_prefix("rclone:") {
            return Remote::parse(rest).map(Self::Rclone);
        }
        match text.split_once("://") {
            _ if text.is_empty() => Err("a folder, a stick, s3://BUCKET/PREFIX or rclone:REMOTE:PATH is wanted".into()),
            Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                Err(format!(
                    "vaults on {scheme}:// are not known; there are s3://BUCKET/PREFIX and rclone:REMOTE:PATH (for a folder of this name write ./{text})"
                ))
            }
            _ => Ok(Self::Path(text.into())),
        }
    }
}

impl TryFrom<String> for Location {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Bucket {
    fn parse(text: &str) -> Result<Self, String> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let sound = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b));
        if !sound {
            return Err(format!("{bucket:?} is no name of a bucket (3 to 63 lower-case letters, digits, '.', '-')"));
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && prefix.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(format!("the prefix {prefix:?} has an empty part, or '.' or '..'"));
        }
        let mut parsed = Self { bucket: bucket.into(), prefix: prefix.into(), ..Self::default() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("endpoint", url)) => parsed.endpoint = Some(url.into()),
                Some(("region", name)) => parsed.region = Some(name.into()),
                Some(("profile", name)) => parsed.profile = Some(name.into()),
                _ => {
                    return Err(format!("{pair:?} is not known; there are endpoint=URL, region=NAME and profile=NAME"));
                }
            }
        }
        Ok(parsed)
    }
}

impl Remote {
    fn parse(text: &str) -> Result<Self, String> {
        let Some((remote, path)) = text.split_once(':') else {
            return Err("rclone:REMOTE:PATH is wanted, with a remote's name as `rclone listremotes` shows it".into());
        };
        // With a comma rclone would read options, secrets among them, out of the name.
        if !remote.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-. +@".contains(&b)) || remote.starts_with('-') {
            return Err(format!("{remote:?} is no name of a remote; options belong into rclone's configuration"));
        }
        Ok(Self { remote: remote.into(), path: path.trim_end_matches('/').into() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::S3(bucket) => write!(f, "s3://{}/{}", bucket.bucket, bucket.prefix),
            Self::Rclone(remote) => write!(f, "rclone:{}:{}", remote.remote, remote.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, String> {
        text.parse()
    }

    #[test]
    fn each_kind_of_place_is_told_by_how_it_is_written() {
        assert_eq!(parse("/srv/vault"), Ok(Location::Path("/srv/vault".into())));
        assert_eq!(parse("./s3://x"), Ok(Location::Path("./s3://x".into())));
        let bucket = Bucket { bucket: "backups".into(), prefix: "hosts/a".into(), ..Bucket::default() };
        assert_eq!(parse("s3://backups/hosts/a/"), Ok(Location::S3(bucket.clone())));
        let full = Bucket { endpoint: Some("https://s3:9000".into()), profile: Some("far".into()), ..bucket };
        assert_eq!(parse("s3://backups/hosts/a?endpoint=https://s3:9000&profile=far"), Ok(Location::S3(full)));
        let remote = Remote { remote: "nas".into(), path: "backup/vault".into() };
        assert_eq!(parse("rclone:nas:backup/vault"), Ok(Location::Rclone(remote)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_can() {
        for (text, word) in [
            ("", "s3://BUCKET"),
            ("s3://", "bucket"),
            ("s3://Back Ups/x", "bucket"),
            ("s3://backups/a/../b", "prefix"),
            ("s3://backups/a?secret=x", "secret"),
            ("http://host/vault", "http://"),
            ("rclone:nas", "REMOTE"),
            ("rclone:nas,pass=x:vault", "remote"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_location_reads_as_it_was_written() {
        for text in ["/srv/vault", "s3://backups/hosts/a", "rclone:nas:backup/vault"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }
}
