//! The S3 server for tests: started once for a test program, gone with it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use vault::S3;

/// Below which `scripts/` lies.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A server that answers.
pub struct Server {
    /// Where its files lie.
    pub folder: PathBuf,
    /// URL.
    pub endpoint: String,
    /// Certificate of its authority.
    pub ca: String,
    /// Access key of a user without limits.
    pub access: String,
    /// And its secret.
    pub secret: String,
    /// The server ends when this pipe closes, with the test program at the latest.
    _script: Child,
}

/// The server, started now if it is not there yet. One that did not start is not tried again for each test.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(start).as_ref().expect("the S3 server did not start; are scripts/s3/packages.txt installed?")
}

fn start() -> Option<Server> {
    // The one before is gone, for this folder is named after the build; what it left is of no use.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("s3-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let mut script = Command::new("sh")
        .arg(format!("{ROOT}/scripts/s3/start.sh"))
        .arg(&folder)
        .arg(free_ports().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> =
        BufReader::new(script.stdout.take().unwrap()).lines().take(4).map(Result::unwrap).collect();
    let value = |name: &str| Some(lines.iter().find_map(|line| line.strip_prefix(name))?.to_owned());
    let known = || Some((value("endpoint=")?, value("ca=")?, value("access=")?, value("secret=")?));
    let Some((endpoint, ca, access, secret)) = known() else {
        script.wait().unwrap();
        return None;
    };
    Some(Server { endpoint, ca, access, secret, folder, _script: script })
}

/// A port that is free now, and the one after it too.
fn free_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

impl Server {
    /// A new bucket, made with these headers.
    pub fn bucket(&self, headers: &[&str]) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bucket{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.request(&[&["PUT", &name], headers].concat()).unwrap();
        name
    }

    /// One request by the other client, `scripts/s3/request.py`: the answer, or what went wrong.
    pub fn request(&self, args: &[&str]) -> Result<String, String> {
        self.request_as((&self.access, &self.secret), args)
    }

    /// The same as somebody else: access key and secret.
    pub fn request_as(&self, (access, secret): (&str, &str), args: &[&str]) -> Result<String, String> {
        let output = Command::new("python3")
            .arg(format!("{ROOT}/scripts/s3/request.py"))
            .args(args)
            .envs([("S3_ENDPOINT", &self.endpoint), ("S3_CA", &self.ca)])
            .envs([("S3_ACCESS", access), ("S3_SECRET", secret)])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// What the server's own administration says.
    pub fn admin(&self, args: &[&str]) -> String {
        let config = self.folder.join("ceph.conf");
        let output = Command::new("radosgw-admin").arg("-c").arg(config).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// How to reach a bucket from Rust.
    pub fn s3(&self, bucket: &str, prefix: &str) -> S3 {
        S3 {
            bucket: bucket.into(),
            prefix: prefix.into(),
            endpoint: Some(self.endpoint.clone()),
            access_key: self.access.clone(),
            secret_key: self.secret.clone(),
            authorities: Some(fs::read(&self.ca).unwrap()),
            ..S3::default()
        }
    }

    /// What stands between `<tag>` and `</tag>` in an answer, each time.
    pub fn values<'a>(answer: &'a str, tag: &str) -> Vec<&'a str> {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        answer.split(&open).skip(1).filter_map(|rest| Some(rest.split_once(&close)?.0)).collect()
    }
}
