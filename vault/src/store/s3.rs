//! Reaching S3-compatible storage: where it is, who we are, and how patient to be. Credentials come as values; where they are from is
//! for others to know, and they are never shown.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::{BackoffConfig, Certificate, ClientOptions, HeaderMap, HeaderValue, RetryConfig};

use super::BucketStore;
use crate::error::{Error, Result};

/// How to reach a vault in an S3 bucket.
#[derive(Clone, Default)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// What the vault's names begin with; may be empty.
    pub prefix: String,
    /// URL of the server; none for Amazon's own.
    pub endpoint: Option<String>,
    /// Region [default: us-east-1].
    pub region: Option<String>,
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
    /// Token of a session, for keys that need one.
    pub token: Option<String>,
    /// Certificates of authorities to trust beside the system's, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// The bucket is part of the server's name, not of the path.
    pub virtual_hosted: bool,
    /// Until when nobody can remove what is put, RFC 3339 in UTC; none leaves it to the bucket's own rule. The bucket must have object
    /// lock.
    pub retain_until: Option<String>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3(s3://{}/{} at {:?})", self.bucket, self.prefix, self.endpoint)
    }
}

impl S3 {
    /// A store below the prefix; nothing is asked of the server yet.
    ///
    /// # Errors
    /// When the endpoint or the certificates cannot be used.
    pub fn store(&self) -> Result<BucketStore> {
        // Fails only when a provider is installed already, which then serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Each request is signed over the SHA-256 of its body.
        let store = BucketStore::new(Arc::new(self.bucket(HeaderMap::new())?), &self.prefix)?.proven();
        let Some(until) = &self.retain_until else { return Ok(store) };
        let until = HeaderValue::from_str(until).map_err(|_| self.invalid(format!("retention until {until:?}")))?;
        let mode = HeaderValue::from_static("COMPLIANCE");
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-object-lock-mode", mode);
        headers.insert("x-amz-object-lock-retain-until-date", until);
        // These go with every request of a client, so what retains is a client of its own.
        Ok(store.retaining(Arc::new(self.bucket(headers)?)))
    }

    fn invalid(&self, what: String) -> Error {
        Error::invalid(format!("s3://{}", self.bucket), what)
    }

    fn bucket(&self, headers: HeaderMap) -> Result<AmazonS3> {
        let invalid = |what: String| self.invalid(what);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(self.region.as_deref().unwrap_or("us-east-1"))
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key)
            .with_virtual_hosted_style_request(self.virtual_hosted)
            // Storage with object lock demands a checksum of what is put.
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(retries())
            .with_client_options(self.client().map_err(invalid)?.with_default_headers(headers));
        if let Some(endpoint) = &self.endpoint {
            if !endpoint.starts_with("https://") && !is_local(endpoint) {
                return Err(invalid(format!(
                    "the endpoint {endpoint} does not begin with https://; without TLS anybody on the way reads the access key's \
                     use and can replay it, so that is allowed on this machine only"
                )));
            }
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(token) = &self.token {
            builder = builder.with_token(token);
        }
        builder.build().map_err(|error| invalid(error.to_string()))
    }

    fn client(&self) -> std::result::Result<ClientOptions, String> {
        // A segment may take long on a thin line, so the limits are wide; a connection whose other end is gone is noticed by the kernel much earlier.
        let mut options = ClientOptions::new()
            .with_timeout(Duration::from_secs(3600))
            .with_read_timeout(Duration::from_secs(600))
            .with_connect_timeout(Duration::from_secs(10))
            .with_allow_http(self.endpoint.as_deref().is_some_and(is_local));
        for authority in self.authorities.iter().flat_map(|pem| Certificate::from_pem_bundle(pem).unwrap_or_default()) {
            options = options.with_root_certificate(authority);
        }
        match &self.authorities {
            Some(pem) if Certificate::from_pem_bundle(pem).is_ok_and(|found| found.is_empty()) => {
                Err("the file of certificate authorities holds no certificate in PEM".into())
            }
            _ => Ok(options),
        }
    }
}

/// Plain HTTP to this machine is for tests and for tunnels.
fn is_local(endpoint: &str) -> bool {
    ["http://127.0.0.1", "http://localhost", "http://[::1]"]
        .iter()
        .any(|local| endpoint.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])))
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(120),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        let at = |endpoint: &str| S3 { bucket: "b".into(), endpoint: Some(endpoint.into()), ..S3::default() }.store();
        assert!(at("http://127.0.0.1:9000").is_ok());
        assert!(at("https://s3.example.org").is_ok());
        for far in ["http://s3.example.org", "http://127.0.0.1.example.org", "ftp://127.0.0.1"] {
            assert!(at(far).unwrap_err().to_string().contains("https://"), "{far}");
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let s3 = S3 { access_key: "AKIA".into(), secret_key: "secret".into(), ..S3::default() };
        assert!(!format!("{s3:?}").contains("secret") && !format!("{s3:?}").contains("AKIA"));
    }
}
