//! Vaults behind rclone: on its local files, and over SFTP to a real server.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod copies;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use copies::{Site, files};

/// OpenSSH's server on a port of this machine, for this user, with keys of its own; gone with this value.
struct Sftp {
    server: Child,
}

impl Sftp {
    /// Starts it, and sets up rclone's remote `nas`, whose home is the site's folder.
    fn start(site: &Site) -> Self {
        let folder = site.path("sftp");
        fs::create_dir(&folder).unwrap();
        let key = |name: &str| {
            let file = folder.join(name);
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).status();
            assert!(made.unwrap().success());
            file
        };
        let (host, user) = (key("host"), key("user"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}.pub\nPidFile none\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nForceCommand internal-sftp -d {}\n",
            host.display(),
            user.display(),
            site.path("").display()
        );
        fs::write(folder.join("sshd_config"), config).unwrap();
        // Where the server drops its rights; made by the system's start, which a container has not had.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(folder.join("log")).unwrap();
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(folder.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd is among scripts/s3/packages.txt");
        let sftp = Self { server };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                let public = fs::read_to_string(folder.join("host.pub")).unwrap();
                fs::write(folder.join("known_hosts"), format!("[127.0.0.1]:{port} {public}")).unwrap();
                let me = Command::new("id").arg("-un").output().unwrap().stdout;
                let remote = format!(
                    "[nas]\ntype = sftp\nhost = 127.0.0.1\nport = {port}\nuser = {}\nkey_file = {}\nknown_hosts_file = {}\n\
                     shell_type = none\n",
                    String::from_utf8(me).unwrap().trim(),
                    user.display(),
                    folder.join("known_hosts").display()
                );
                fs::write(folder.join("rclone.conf"), remote).unwrap();
                let config = format!("version = 1\n[rclone]\nconfig = \"{}\"\n", folder.join("rclone.conf").display());
                fs::write(site.path("config.toml"), config).unwrap();
                return sftp;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("sshd does not answer: {}", fs::read_to_string(folder.join("log")).unwrap());
    }
}

impl Drop for Sftp {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The rclone remote for a local path of the site.
fn local(site: &Site, name: &str) -> String {
    format!("rclone::{}", site.path(name).display())
}

#[test]
fn a_vault_on_rclones_own_files_takes_backups_and_gives_them_back() {
    let site = Site::new();
    let vault = local(&site, "far");
    site.ok(&["init", "--vault", &vault, "--identity", "id.txt", "--yes"]);
    site.ok(&["backup", "--vault", &vault, "--source", "tree"]);
    site.write("etc/new", b"new");
    site.ok(&["backup", "--vault", &vault, "--source", "tree"]);
    site.ok(&["verify", "--vault", &vault]);
    site.restores(&vault);
    // The same folder, read without rclone.
    site.ok(&["verify", "--vault", "far", "--level", "data", "--identity", "id.txt"]);
    assert!(!site.path("far/lock").exists() && fs::read_dir(site.path("far/tmp")).unwrap().count() == 0);
}

#[test]
fn a_copy_over_sftp_and_back_is_the_same_vault() {
    let site = Site::new();
    site.backups(2);
    let _server = Sftp::start(&site);
    let report = site.json(&["copy", "--from", "vault", "--to", "rclone:nas:copy"]);
    assert!(report["proven_by"] == "read-back" && report["read_back"].as_u64().unwrap() >= 6, "{report}");
    assert_eq!(files(&site.path("vault")), files(&site.path("copy")));
    assert_eq!(site.json(&["copy", "--from", "vault", "--to", "rclone:nas:copy"])["objects"], 0);
    site.ok(&["verify", "--vault", "rclone:nas:copy"]);
    site.ok(&["copy", "--from", "rclone:nas:copy", "--to", "back"]);
    assert_eq!(files(&site.path("vault")), files(&site.path("back")));
    site.restores("rclone:nas:copy");
}

#[test]
fn a_copy_whose_server_goes_away_is_finished_by_the_next() {
    let site = Site::new();
    site.backups(2);
    let server = Sftp::start(&site);
    site.ok(&["copy", "--from", "vault", "--to", "rclone:nas:copy", "--snapshots", "1"]);
    drop(server);
    site.refused(41, &["rclone", "connect"], &["copy", "--from", "vault", "--to", "rclone:nas:copy"]);
    fs::remove_dir_all(site.path("sftp")).unwrap();
    let _server = Sftp::start(&site);
    site.ok(&["copy", "--from", "vault", "--to", "rclone:nas:copy"]);
    assert_eq!(files(&site.path("vault")), files(&site.path("copy")));
}

#[test]
fn a_missing_program_and_a_missing_remote_are_named() {
    let site = Site::new();
    let config = |program: &str| {
        fs::write(site.path("config.toml"), format!("version = 1\n[rclone]\n{program}\n")).unwrap();
    };
    config("program = \"/no/such/rclone\"");
    site.refused(2, &["/no/such/rclone"], &["list", "--vault", "rclone:nas:x", "--config", "config.toml"]);
    config("config = \"/no/such/config\"");
    site.refused(41, &["nas"], &["list", "--vault", "rclone:nas:x", "--config", "config.toml"]);
    site.refused(2, &["REMOTE"], &["list", "--vault", "rclone:nas"]);
}

#[test]
fn a_writer_elsewhere_locks_us_out() {
    let site = Site::new();
    site.backups(1);
    let copy = local(&site, "copy");
    site.ok(&["copy", "--from", "vault", "--to", &copy]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let lease = format!("{{\"writer\":\"x\",\"host\":\"elsewhere\",\"process\":77,\"renewed\":{now},\"holds\":120}}");
    let file: PathBuf = site.path("copy/lock");
    fs::write(&file, lease).unwrap();
    site.refused(11, &["process 77 on elsewhere"], &["copy", "--from", "vault", "--to", &copy]);
}
