//! Credentials for S3, from where Amazon's own tools take them: the environment, or profiles in `~/.aws/credentials` and `~/.aws/config`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::exit::{Exit, refusal};

/// An access key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
    /// Token of a session.
    pub token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// One profile, of the credentials file and the configuration file together.
#[derive(Debug)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The credentials file.
    pub file: PathBuf,
    /// The keys in it.
    pub keys: Option<Keys>,
    /// URL of the server.
    pub endpoint: Option<String>,
    /// Region.
    pub region: Option<String>,
}

/// `AWS_ACCESS_KEY_ID` and its companions.
pub fn from_environment() -> Option<Keys> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(Keys {
        access_key: env("AWS_ACCESS_KEY_ID")?,
        secret_key: env("AWS_SECRET_ACCESS_KEY")?,
        token: env("AWS_SESSION_TOKEN"),
    })
}

impl Profile {
    /// Finds the profile `named`, else `default`. Files that are not there hold nothing; a profile that was named must be there.
    ///
    /// # Errors
    /// Exit 2 when a file cannot be read or the named profile is in none.
    pub fn find(named: Option<&str>, file: Option<&Path>) -> anyhow::Result<Self> {
        let name = named.unwrap_or("default");
        let home = |rest: &str| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(rest);
        let env = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
        let credentials = file.map(Path::to_owned).or_else(|| env("AWS_SHARED_CREDENTIALS_FILE"));
        let credentials = credentials.unwrap_or_else(|| home(".aws/credentials"));
        let config = env("AWS_CONFIG_FILE").unwrap_or_else(|| home(".aws/config"));
        let secret = read(&credentials, file.is_some())?;
        let public = read(&config, false)?;
        let settings = match section(&public, &format!("profile {name}")) {
            found if found.is_empty() => section(&public, name),
            found => found,
        };
        let keys = section(&secret, name);
        if named.is_some() && keys.is_empty() && settings.is_empty() {
            let message = format!("there is no profile [{name}] in {}", credentials.display());
            return Err(refusal(Exit::Usage, message));
        }
        let all: Vec<_> = keys.into_iter().chain(settings).collect();
        let value = |key: &str| all.iter().find(|(found, _)| found == key).map(|(_, value)| value.clone());
        let keys = match (value("aws_access_key_id"), value("aws_secret_access_key")) {
            (Some(access_key), Some(secret_key)) => {
                Some(Keys { access_key, secret_key, token: value("aws_session_token") })
            }
            _ => None,
        };
        Ok(Self {
            name: name.into(),
            file: credentials,
            keys,
            endpoint: value("endpoint_url"),
            region: value("region"),
        })
    }
}

fn read(file: &Path, needed: bool) -> anyhow::Result<String> {
    match std::fs::read_to_string(file) {
        Err(error) if !needed && error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other
            .map_err(|error| refusal(Exit::Usage, format!("reading the credentials in {}: {error}", file.display()))),
    }
}

/// The keys and values below `[name]`.
fn section(text: &str, name: &str) -> Vec<(String, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = title.trim() == name;
        } else if let (true, Some((key, value))) = (inside && !line.starts_with(['#', ';']), line.split_once('=')) {
            found.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[default]\naws_access_key_id = A\naws_secret_access_key=S=1\n\n# other\n[far]\n\
                        aws_access_key_id=B\naws_secret_access_key = T\nendpoint_url = https://s3.example.org\n";

    #[test]
    fn a_profile_is_read_as_amazons_tools_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        std::fs::write(&file, FILE).unwrap();
        let far = Profile::find(Some("far"), Some(&file)).unwrap();
        assert_eq!(far.keys, Some(Keys { access_key: "B".into(), secret_key: "T".into(), token: None }));
        assert_eq!(far.endpoint.as_deref(), Some("https://s3.example.org"));
        let usual = Profile::find(None, Some(&file)).unwrap();
        assert_eq!(usual.keys.as_ref().map(|keys| keys.secret_key.as_str()), Some("S=1"));
        assert!(Profile::find(Some("near"), Some(&file)).unwrap_err().to_string().contains("[near]"));
        assert!(!format!("{usual:?}").contains("S=1"));
    }
}
