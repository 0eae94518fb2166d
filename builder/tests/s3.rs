//! Vaults in object storage, against a real server with TLS; a second client looks at what lies there.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

#[path = "../../vault/tests/contract/mod.rs"]
mod contract;
mod copies;
mod server;

use std::fs;
use std::process::Command;
use std::sync::Arc;

use copies::{Site, files};
use server::{Server, server};
use vault::Store as _;

/// A host that has the server's credentials in its environment.
fn site() -> Site {
    let (mut site, server) = (Site::new(), server());
    site.set("AWS_ACCESS_KEY_ID", &server.access);
    site.set("AWS_SECRET_ACCESS_KEY", &server.secret);
    site.set("AWS_ENDPOINT_URL", &server.endpoint);
    site.set("AWS_CA_BUNDLE", &server.ca);
    site
}

fn md5(bytes: &[u8], folder: &Site) -> String {
    fs::write(folder.path("summed"), bytes).unwrap();
    let output = Command::new("md5sum").arg(folder.path("summed")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..32].to_owned()
}

#[test]
fn a_real_server_keeps_the_contract() {
    let server = server();
    let bucket = server.bucket(&[]);
    for prefix in ["", "some/prefix"] {
        contract::holds(&|| Arc::new(server.s3(&bucket, prefix).store().unwrap()));
    }
}

/// The server gives 100 names at a time.
#[test]
fn lists_that_come_in_pages_are_whole() {
    let bucket = server().bucket(&[]);
    let store = server().s3(&bucket, "vault").store().unwrap();
    let names: Vec<String> = (0..230).map(|at| format!("segments/ab/{at:03}")).collect();
    for name in &names {
        store.write_new(name, b"x").unwrap();
    }
    assert_eq!(store.list("segments").unwrap(), names);
}

#[test]
fn every_command_works_on_a_vault_in_a_bucket() {
    let site = site();
    let vault = format!("s3://{}/hosts/one", server().bucket(&[]));
    site.ok(&["init", "--vault", &vault, "--identity", "id.txt", "--yes"]);
    site.refused(30, &["already"], &["init", "--vault", &vault, "--identity", "id.txt", "--yes"]);
    site.ok(&["backup", "--vault", &vault, "--source", "tree"]);
    site.write("etc/new", b"new");
    let second = site.json(&["backup", "--vault", &vault, "--source", "tree"]);
    assert!(second["stored_bytes"].as_u64().unwrap() < 10_000, "{second}");
    assert_eq!(site.json(&["list", "--vault", &vault])["snapshots"].as_array().unwrap().len(), 2);
    site.ok(&["show", "--vault", &vault]);
    site.ok(&["verify", "--vault", &vault]);
    site.ok(&["verify", "--vault", &vault, "--level", "data", "--identity", "id.txt"]);
    site.restores(&vault);
    let config = format!("version = 1\nvault = \"{vault}\"\n");
    fs::write(site.path("config.toml"), config).unwrap();
    site.ok(&["list", "--config", "config.toml"]);
}

#[test]
fn a_copy_to_a_bucket_and_back_is_the_same_vault_and_nothing_is_carried_twice() {
    let site = site();
    site.backups(2);
    let bucket = server().bucket(&[]);
    let there = format!("s3://{bucket}/copy");
    let report = site.json(&["copy", "--from", "vault", "--to", &there]);
    assert_eq!((&report["proven_by"], &report["read_back"]), (&"checksum".into(), &0.into()));
    // The other client's view: names, and the MD5 that the server has computed of each.
    let here = files(&site.path("vault"));
    let listed = server().request(&["GET", &format!("{bucket}?list-type=2")]).unwrap();
    let keys = Server::values(&listed, "Key");
    assert_eq!(keys, here.keys().map(|name| format!("copy/{name}")).collect::<Vec<_>>());
    for (tag, bytes) in Server::values(&listed, "ETag").iter().zip(here.values()) {
        assert_eq!(tag.trim_matches('"').replace("&quot;", ""), md5(bytes, &site));
    }
    site.backups(1);
    assert!(site.json(&["copy", "--from", "vault", "--to", &there])["objects"].as_u64().unwrap() < 6);
    assert_eq!(site.json(&["copy", "--from", "vault", "--to", &there, "--verify"])["objects"], 0);
    site.ok(&["copy", "--from", &there, "--to", "back"]);
    assert_eq!(files(&site.path("vault")), files(&site.path("back")));
}

#[test]
fn verify_downloads_each_object_once() {
    let site = site();
    site.backups(3);
    let bucket = server().bucket(&[]);
    let there = format!("s3://{bucket}/copy");
    site.ok(&["copy", "--from", "vault", "--to", &there]);
    site.ok(&["verify", "--vault", &there]);
    let log = fs::read_to_string(server().folder.join("client.admin.log")).unwrap();
    for name in files(&site.path("vault")).keys().filter(|name| name.starts_with("segments/")) {
        let wanted = format!("\"GET /{bucket}/copy/{name} ");
        assert_eq!(log.matches(&wanted).count(), 1, "{name}");
    }
}

#[test]
fn each_way_of_giving_credentials_works_and_a_profile_may_name_the_server() {
    let site = Site::new();
    site.backups(1);
    let server = server();
    let place = format!("s3://{}/copy", server.bucket(&[]));
    let secrets = format!("aws_access_key_id = {}\naws_secret_access_key = {}\n", server.access, server.secret);
    fs::write(site.path("credentials"), format!("[far]\n{secrets}endpoint_url = {}\n", server.endpoint)).unwrap();
    let config = format!(
        "version = 1\n[s3]\nprofile = \"far\"\ncredentials_file = \"{}\"\nca_file = \"{}\"\n",
        site.path("credentials").display(),
        server.ca
    );
    fs::write(site.path("far.toml"), config).unwrap();
    site.ok(&["copy", "--from", "vault", "--to", &place, "--config", "far.toml"]);
    fs::create_dir_all(site.path("home/.aws")).unwrap();
    fs::rename(site.path("credentials"), site.path("home/.aws/credentials")).unwrap();
    site.ok(&["verify", "--vault", &format!("{place}?profile=far"), "--ca-file", &server.ca]);
    fs::write(site.path("home/.aws/credentials"), format!("[default]\n{secrets}")).unwrap();
    site.ok(&["verify", "--vault", &format!("{place}?endpoint={}", server.endpoint), "--ca-file", &server.ca]);
    site.ok(&["verify", "--vault", &place, "--endpoint", &server.endpoint, "--ca-file", &server.ca]);
}

#[test]
fn what_is_wrong_is_said_with_its_exit_code_and_secrets_never() {
    let mut site = site();
    let bucket = server().bucket(&[]);
    let place = format!("s3://{bucket}/copy");
    let verify = ["verify", "--vault", &place];
    site.refused(10, &["vault.json", "not found"], &verify);
    site.refused(10, &["NoSuchBucket"], &["verify", "--vault", "s3://no-such-bucket/copy"]);
    site.refused(41, &["localhost:1"], &["verify", "--vault", &place, "--endpoint", "https://localhost:1"]);
    site.refused(1, &["https://"], &["verify", "--vault", &place, "--endpoint", "http://example.org"]);
    site.set("AWS_SECRET_ACCESS_KEY", "not-the-secret");
    site.refused(41, &["SignatureDoesNotMatch", "secret key"], &verify);
    let said = String::from_utf8_lossy(&site.run(&verify).stderr).into_owned();
    assert!(!said.contains("not-the-secret"), "{said}");
    site.set("AWS_ACCESS_KEY_ID", "NOBODY");
    site.refused(41, &["InvalidAccessKeyId"], &verify);
    site.set("AWS_ACCESS_KEY_ID", "");
    site.refused(10, &["no credentials", "AWS_ACCESS_KEY_ID"], &verify);
}

#[test]
fn a_server_whose_certificate_nobody_vouches_for_gets_no_request() {
    let mut site = site();
    let place = format!("s3://{}/copy", server().bucket(&[]));
    let other = site.path("other.pem");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout", "/dev/null", "-out"])
        .arg(&other)
        .output();
    assert!(made.unwrap().status.success());
    site.set("AWS_CA_BUNDLE", other.to_str().unwrap());
    site.refused(41, &["certificate"], &["verify", "--vault", &place]);
}

#[test]
fn a_quota_that_is_used_up_is_no_space() {
    let mut site = site();
    site.backups(1);
    let keys = ["--access-key=SMALLKEY", "--secret-key=smallsecret"];
    server().admin(&[&["user", "create", "--uid=small", "--display-name=small"][..], &keys].concat());
    server().admin(&["quota", "set", "--quota-scope=user", "--uid=small", "--max-size=1M"]);
    server().admin(&["quota", "enable", "--quota-scope=user", "--uid=small"]);
    site.set("AWS_ACCESS_KEY_ID", "SMALLKEY");
    site.set("AWS_SECRET_ACCESS_KEY", "smallsecret");
    let small = ("SMALLKEY", "smallsecret");
    server().request_as(small, &["PUT", "small"]).unwrap();
    site.refused(40, &["no space"], &["copy", "--from", "vault", "--to", "s3://small/copy"]);
}

fn lease(renewed: u64) -> String {
    format!("{{\"writer\":\"x\",\"host\":\"elsewhere\",\"process\":77,\"renewed\":{renewed},\"holds\":120}}")
}

#[test]
fn a_writer_elsewhere_locks_us_out_until_its_lease_has_lapsed() {
    let site = site();
    let bucket = server().bucket(&[]);
    let vault = format!("s3://{bucket}/vault");
    site.ok(&["init", "--vault", &vault, "--identity", "id.txt", "--yes"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let put = |renewed| {
        fs::write(site.path("lease"), lease(renewed)).unwrap();
        let object = format!("{bucket}/vault/lock");
        server().request(&["PUT", &object, site.path("lease").to_str().unwrap()]).unwrap();
    };
    put(now);
    site.refused(11, &["process 77 on elsewhere"], &["backup", "--vault", &vault, "--source", "tree"]);
    put(now - 600);
    site.ok(&["backup", "--vault", &vault, "--source", "tree"]);
    let gone = server().request(&["GET", &format!("{bucket}/vault/lock")]).unwrap_err();
    assert!(gone.contains("NoSuchKey"), "{gone}");
}

/// Whoever has the host's credentials can hide objects, and put others in front of them; what lies behind stays for its time.
#[test]
fn a_bucket_with_object_lock_keeps_what_a_thief_of_the_credentials_deletes() {
    let site = site();
    site.backups(1);
    let server = server();
    let bucket = server.bucket(&["x-amz-bucket-object-lock-enabled=true"]);
    let rule = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                <Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    fs::write(site.path("rule.xml"), rule).unwrap();
    server.request(&["PUT", &format!("{bucket}?object-lock"), site.path("rule.xml").to_str().unwrap()]).unwrap();
    let vault = format!("s3://{bucket}/copy");
    site.ok(&["copy", "--from", "vault", "--to", &vault]);
    let pruned = site.json(&["prune", "--vault", &vault, "--keep-last", "1", "--dry-run"]);
    assert_eq!(pruned["kept_as_versions"], true, "{pruned}");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let before = jiff::Timestamp::now();
    std::thread::sleep(std::time::Duration::from_secs(2));
    for (at, name) in files(&site.path("vault")).keys().enumerate() {
        let object = format!("{bucket}/copy/{name}");
        let answer = server.request(&["GET", &format!("{bucket}?versions&prefix=copy/{name}")]).unwrap();
        let version = &answer[answer.find("<Version>").unwrap()..];
        let locked = format!("{object}?versionId={}", Server::values(version, "VersionId")[0]);
        let refused = server.request(&["DELETE", &locked]).unwrap_err();
        assert!(refused.contains("AccessDenied"), "{refused}");
        let spoil: &[&str] = if at % 2 == 0 { &["DELETE", &object] } else { &["PUT", &object, "rule.xml"] };
        let spoil: Vec<_> =
            spoil.iter().map(|arg| arg.replace("rule.xml", site.path("rule.xml").to_str().unwrap())).collect();
        server.request(&spoil.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    }
    let spoiled = site.run(&["verify", "--vault", &vault]);
    assert!([10, 20, 21].contains(&spoiled.status.code().unwrap()), "{spoiled:?}");
    // The bucket as it was before that, through rclone.
    let remote = format!(
        "[before]\ntype = s3\nprovider = Ceph\nenv_auth = true\nendpoint = {}\nversion_at = {before}\n",
        server.endpoint
    );
    fs::write(site.path("rclone.conf"), remote).unwrap();
    let config = format!("version = 1\n[rclone]\nconfig = \"{}\"\n", site.path("rclone.conf").display());
    fs::write(site.path("config.toml"), config).unwrap();
    let mut site = site;
    site.set("RCLONE_CA_CERT", &server.ca);
    let vault = format!("rclone:before:{bucket}/copy");
    let verify = ["verify", "--config", "config.toml", "--level", "data", "--identity", "id.txt", "--vault", &vault];
    site.ok(&verify);
}

#[test]
fn a_retention_of_ones_own_keeps_each_object_in_a_bucket_that_has_no_rule() {
    let site = site();
    site.backups(1);
    let server = server();
    let bucket = server.bucket(&["x-amz-bucket-object-lock-enabled=true"]);
    let config = fs::read_to_string(site.path("config.toml")).unwrap_or_else(|_| "version = 1\n".to_owned());
    fs::write(site.path("retaining.toml"), config + "[s3]\nretention = \"1d\"\n").unwrap();
    let vault = format!("s3://{bucket}/copy");
    site.ok(&["copy", "--config", "retaining.toml", "--from", "vault", "--to", &vault]);
    for name in files(&site.path("vault")).keys().filter(|name| *name != "lock") {
        let answer = server.request(&["GET", &format!("{bucket}?versions&prefix=copy/{name}")]).unwrap();
        let version = &answer[answer.find("<Version>").unwrap()..];
        let one = format!("{bucket}/copy/{name}?versionId={}", Server::values(version, "VersionId")[0]);
        let deleted = server.request(&["DELETE", &one]);
        // The log grows: of it only what the bucket's rule keeps is kept, and here is none.
        assert_eq!(deleted.is_ok(), name.starts_with("audit/"), "{name}: {deleted:?}");
    }
}
