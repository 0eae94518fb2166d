//! `lifeboat key`: who can open a vault, whose signatures count, and that nobody slips himself in. Judges are `age` and `ssh-keygen`.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod holder;

use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use holder::{Site, copy, files, overwrite};

const TOKEN_RECIPIENT: &str = "age1lifeboattest1vysxsctjv3mkzun9yp6x76m9dc7tugtq";
const TOKEN_IDENTITY: &str = "AGE-PLUGIN-LIFEBOATTEST-1VYSXSCTJV3MKZUN9YP6X76M9DCPDN72Z";
const PASSPHRASE: &str = "correct horse battery staple";

/// Whether stock age opens `file` with `identity`.
fn age_opens(site: &Site, identity: &Path, file: &Path) -> bool {
    let path = format!("{}:{}", site.text("bin"), std::env::var("PATH").unwrap());
    let opened = Command::new("age").arg("-d").arg("-i").arg(identity).arg(file).env("PATH", path).output().unwrap();
    opened.status.success()
}

/// Stock age asks for passphrases on its terminal: `script` gives it one.
fn age_opens_by_passphrase(file: &Path, passphrase: &str) -> bool {
    let out = file.with_extension("opened");
    let command = format!("age -d -o {} {}", out.display(), file.display());
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{passphrase}\n").as_bytes()).unwrap();
    let opened = child.wait().unwrap().success();
    let holds_key = fs::read_to_string(&out).is_ok_and(|text| text.contains("AGE-SECRET-KEY-1"));
    let _ = fs::remove_file(&out);
    opened && holds_key
}

fn install_token(site: &Site) {
    fs::create_dir_all(site.path("bin")).unwrap();
    let program = site.path("bin/age-plugin-lifeboattest");
    fs::write(&program, include_str!("holder/age-plugin-lifeboattest")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(site.path("token"), format!("# a token\n{TOKEN_IDENTITY}\n")).unwrap();
}

fn recipients(site: &Site) -> Vec<Value> {
    site.json(&["key", "list", "--vault", "VAULT"])["vault"]["recipients"].as_array().unwrap().clone()
}

#[test]
fn recipients_of_every_kind_open_what_is_backed_up_with_us_and_with_stock_age() {
    let site = Site::new("node1");
    install_token(&site);
    site.ssh_key("ed25519", "ssh", "");
    site.ssh_key("rsa", "rsa", "");
    site.ssh_key("ed25519", "locked", PASSPHRASE);
    fs::write(site.path("words"), format!("{PASSPHRASE}\n")).unwrap();
    let keys = ["--recipient", &site.text("ssh.pub"), "--recipient", &site.text("rsa.pub"), "--recipient"];
    let rest = [&site.text("locked.pub"), "--recipient", TOKEN_RECIPIENT, "--passphrase-file", "WORDS", "--yes"];
    site.ok(&[&["init", "--vault", "VAULT", "--identity", "ID"], &keys[..], &rest[..]].concat());
    site.backup();

    let kinds: Vec<(String, String)> = recipients(&site)
        .iter()
        .map(|row| (row["kind"].as_str().unwrap().to_owned(), row["name"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        ("ssh", "admin@laptop"),
        ("ssh", ""),
        ("ssh", ""),
        ("plugin lifeboattest", ""),
        ("passphrase", "passphrase"),
        ("age", ""),
    ];
    assert_eq!(kinds, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())));

    let run_key = files(&site.path("vault/keys")).remove(0);
    for identity in ["ID", "SSH", "RSA", "TOKEN"] {
        site.extracts(identity);
        let file = if identity == "ID" { "id.txt".into() } else { identity.to_ascii_lowercase() };
        assert!(age_opens(&site, &site.path(&file), &run_key), "age -d -i {file}");
    }
    for identity in ["LOCKED", "passphrase", &site.text("vault/identities/passphrase.age")] {
        let _ = fs::remove_dir_all(site.path("out"));
        let extract = ["extract", "--vault", "VAULT", "--identity", identity, "latest", "--to", "OUT"];
        let with =
            |file: &str| site.command(&extract).env("LIFEBOAT_PASSPHRASE_FILE", site.path(file)).output().unwrap();
        let opened = with("words");
        assert!(opened.status.success(), "{identity}: {}", String::from_utf8_lossy(&opened.stderr));
        fs::write(site.path("other words"), "something else entirely\n").unwrap();
        assert_eq!(with("other words").status.code(), Some(12), "{identity}");
    }
    let sealed = site.path("vault/identities/passphrase.age");
    assert!(age_opens_by_passphrase(&sealed, PASSPHRASE) && !age_opens_by_passphrase(&sealed, "something else"));
}

#[test]
fn a_recipient_that_cannot_be_used_is_refused_before_anything_is_written() {
    let site = Site::new("node1");
    let init = |recipient: &str, words: &[&str]| {
        site.refused(2, words, &["init", "--vault", "VAULT", "--recipient", recipient, "--yes"]);
        assert!(!site.path("vault/vault.json").exists());
    };
    init(TOKEN_RECIPIENT, &["age-plugin-lifeboattest", "install"]);
    init("age1nonsense", &["age1nonsense"]);
    init("ssh-dss AAAAB3NzaC1kc3MAAACB", &["ssh-dss"]);
    fs::write(site.path("words"), "too short\n").unwrap();
    site.refused(2, &["12 characters"], &["init", "--vault", "VAULT", "--passphrase-file", "WORDS", "--yes"]);
    site.refused(31, &["no terminal"], &["init", "--vault", "VAULT", "--passphrase", "--yes"]);
    site.refused(2, &["nobody could open"], &["init", "--vault", "VAULT", "--yes"]);
}

#[test]
fn a_new_recipient_opens_new_runs_and_a_removed_one_old_runs_only() {
    let site = Site::ready();
    site.backup();
    let made = site.json(&["key", "identity", "new", "SECOND"]);
    let second = made["recipient"].as_str().unwrap();
    assert_eq!(fs::metadata(site.path("second")).unwrap().permissions().mode() & 0o777, 0o600);
    let said = site.ok(&["key", "add-recipient", second, "--name", "second admin", "--vault", "VAULT"]);
    assert!(said.contains("runs before stay closed to it"), "{said}");
    site.refused(30, &["already"], &["key", "add-recipient", second, "--vault", "VAULT"]);
    fs::write(site.path("tree/etc/new"), "new").unwrap();
    site.backup();
    site.refused(12, &["snapshots 1"], &["key", "check", "--vault", "VAULT", "--identity", "SECOND"]);
    assert_eq!(site.extract_code("SECOND", "1"), Some(12));
    let first = recipients(&site)[0]["recipient"].as_str().unwrap().to_owned();
    let said = site.ok(&["key", "remove-recipient", &first, "--vault", "VAULT"]);
    assert!(said.contains("runs before stay open to it"), "{said}");
    fs::write(site.path("tree/etc/newer"), "newer").unwrap();
    site.ok(&["backup", "--full", "--vault", "VAULT", "--source", "TREE"]);
    assert_eq!(site.extract_code("ID", "3"), Some(12));
    site.extracts("SECOND");
    for snapshot in ["1", "2"] {
        assert_eq!(site.extract_code("ID", snapshot), Some(0), "{snapshot}");
    }
    let checked = site.run(&["key", "check", "--vault", "VAULT", "--identity", "ID", "--json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(checked["closed"][0]["snapshots"], serde_json::json!([3]));
    site.refused(30, &["last recipient"], &["key", "remove-recipient", "second admin", "--vault", "VAULT"]);
    site.refused(2, &["no recipient"], &["key", "remove-recipient", "nobody", "--vault", "VAULT"]);
    assert_eq!(recipients(&site).len(), 1);
    let data = ["verify", "--vault", "VAULT", "--level", "data", "--identity", "SECOND"];
    assert_eq!(site.run(&data).status.code(), Some(12), "what it cannot open it cannot check");
}

/// Whoever can write to the vault tries everything: nothing is ever sealed to him.
#[test]
fn nobody_makes_himself_a_recipient_by_writing_to_the_vault() {
    let site = Site::ready();
    site.backup();
    let thief = Site::ready();
    let thief_recipient = recipients(&thief)[0]["recipient"].as_str().unwrap().to_owned();
    let description = fs::read_to_string(site.path("vault/vault.json")).unwrap();
    let own = recipients(&site)[0]["recipient"].as_str().unwrap().to_owned();
    let doctored = description.replace(&own, &thief_recipient);
    let sign = |key: &Site, file: &Path| {
        let _ = fs::remove_file(file.with_extension("json.sig"));
        let args = ["-Y", "sign", "-q", "-n", "lifeboat-vault", "-f", &key.text("state/host_ed25519")];
        let signed = key.ssh_keygen(&[&args[..], &[file.to_str().unwrap()]].concat());
        assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    };
    copy(&site.path("vault"), &site.path("clean"));
    let attempt = |what: &str, code: i32, change: &dyn Fn(PathBuf)| {
        fs::remove_dir_all(site.path("vault")).unwrap();
        copy(&site.path("clean"), &site.path("vault"));
        change(site.path("vault"));
        let before = files(&site.path("vault"));
        for command in [
            &["backup", "--vault", "VAULT", "--source", "TREE"][..],
            &["verify", "--vault", "VAULT"],
            &["list", "--vault", "VAULT"],
            &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT"],
            &["key", "add-recipient", &thief_recipient, "--vault", "VAULT"],
        ] {
            let ended = site.run(command);
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status.code(), Some(code), "{what}: {command:?}: {said}");
        }
        assert_eq!(files(&site.path("vault")), before, "{what}: something was written");
    };
    attempt("changed in place", 20, &|vault| overwrite(&vault.join("vault.json"), &doctored));
    attempt("without a signature", 20, &|vault| fs::remove_file(vault.join("vault.json.sig")).unwrap());
    attempt("signed by the thief", 20, &|vault| {
        overwrite(&vault.join("vault.json"), &doctored);
        sign(&thief, &vault.join("vault.json"));
    });
    let second = |description: &str| {
        let mut value: Value = serde_json::from_str(description).unwrap();
        value["number"] = 2.into();
        let digest = Command::new("sha256sum").arg(site.path("clean/vault.json")).output().unwrap();
        value["previous"] = String::from_utf8(digest.stdout).unwrap()[..64].into();
        value.to_string()
    };
    attempt("a second description by the thief", 20, &|vault| {
        fs::create_dir(vault.join("recipients")).unwrap();
        overwrite(&vault.join("recipients/2.json"), second(&doctored));
        sign(&thief, &vault.join("recipients/2.json"));
    });
    attempt("a second description under the first one's signature", 20, &|vault| {
        fs::create_dir(vault.join("recipients")).unwrap();
        overwrite(&vault.join("recipients/2.json"), second(&doctored));
        fs::copy(vault.join("vault.json.sig"), vault.join("recipients/2.json.sig")).unwrap();
    });
    attempt("another vault's description", 20, &|vault| {
        for file in ["vault.json", "vault.json.sig"] {
            overwrite(&vault.join(file), fs::read(thief.path("vault").join(file)).unwrap());
        }
    });
    // A host that makes the same number twice has been cloned, or robbed of its key.
    let mut other: Value = serde_json::from_str(&description).unwrap();
    other["created"] = "2026-01-01T00:00:00Z".into();
    attempt("replaced under the host's own key", 20, &|vault| {
        overwrite(&vault.join("vault.json"), other.to_string());
        sign(&site, &vault.join("vault.json"));
    });
}

#[test]
fn a_removed_recipient_does_not_come_back_with_the_old_description() {
    let site = Site::ready();
    let second = site.json(&["key", "identity", "new", "SECOND"])["recipient"].as_str().unwrap().to_owned();
    site.ok(&["key", "add-recipient", &second, "--name", "second", "--vault", "VAULT"]);
    site.ok(&["key", "remove-recipient", "second", "--vault", "VAULT"]);
    site.backup();
    assert_eq!(site.extract_code("SECOND", "latest"), Some(12));
    for file in ["recipients/3.json", "recipients/3.json.sig"] {
        fs::remove_file(site.path("vault").join(file)).unwrap();
    }
    site.refused(22, &["recipients were taken back"], &["backup", "--vault", "VAULT", "--source", "TREE"]);
    site.refused(22, &["recipients were taken back"], &["verify", "--vault", "VAULT"]);
    fs::remove_file(site.path("vault/recipients/2.json")).unwrap();
    site.refused(22, &[], &["backup", "--vault", "VAULT", "--source", "TREE"]);
}

#[test]
fn a_cut_change_of_recipients_leaves_the_old_ones_and_is_done_again() {
    let site = Site::ready();
    let second = site.json(&["key", "identity", "new", "SECOND"])["recipient"].as_str().unwrap().to_owned();
    fs::create_dir(site.path("vault/recipients")).unwrap();
    fs::write(site.path("vault/recipients/2.json.sig"), "cut").unwrap();
    site.backup();
    site.ok(&["key", "add-recipient", &second, "--vault", "VAULT"]);
    assert_eq!(recipients(&site).len(), 2);
}

/// What `ssh-keygen` says of a manifest, if the keys in `signers` count, at the manifest's own time.
fn ssh_keygen_accepts(site: &Site, signers: &str, serial: u64) -> bool {
    let manifest = site.path(&format!("vault/manifests/node1/{serial}.json"));
    let value: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let digits: String = value["finished"].as_str().unwrap()[..19].chars().filter(char::is_ascii_digit).collect();
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-I", "node1", "-n", "lifeboat-manifest", "-f"]).arg(site.path(signers)).arg("-s");
    command.arg(manifest.with_extension("json.sig")).args(["-O", &format!("verify-time={digits}Z")]);
    command.stdin(fs::File::open(&manifest).unwrap()).output().unwrap().status.success()
}

#[test]
fn after_a_rotation_old_and_new_signatures_count_in_their_time() {
    let site = Site::ready();
    fs::write(site.path("before"), site.ok(&["key", "export"])).unwrap();
    site.backup();
    copy(&site.path("state/host_ed25519"), &site.path("stolen"));
    let rotated = site.json(&["key", "rotate", "--vault", "VAULT", "--yes"]);
    assert_ne!(rotated["old"], rotated["new"]);
    assert_eq!(rotated["recorded"], true);
    // The old key is accepted until the second after the rotation; what comes now comes after it.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    site.backup();
    site.ok(&["verify", "--vault", "VAULT"]);
    site.ok(&["audit", "verify", "--vault", "VAULT"]);
    fs::write(site.path("after"), site.ok(&["key", "export"])).unwrap();
    assert_eq!(fs::read_to_string(site.path("after")).unwrap().lines().count(), 2);

    for (signers, serial, accepted) in
        [("before", 1, true), ("before", 2, false), ("after", 1, true), ("after", 2, true)]
    {
        assert_eq!(ssh_keygen_accepts(&site, signers, serial), accepted, "{signers} {serial}");
    }
    let stranger = Site::new("elsewhere");
    for (signers, code) in [("before", 20), ("after", 0)] {
        let verify = ["verify", "--vault", &site.text("vault"), "--signers", &site.text(signers), "--host", "node1"];
        assert_eq!(stranger.run(&verify).status.code(), Some(code), "{signers}");
    }

    // Stock recovery knows the periods too.
    for (signers, serial, code) in [("after", "1", 0), ("after", "2", 0), ("before", "1", 0), ("before", "2", 20)] {
        let out = site.path(&format!("{signers}-{serial}"));
        fs::create_dir(&out).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../templates/recover/recover.sh");
        let mut recover = Command::new("sh");
        recover.arg(script).arg("--vault").arg(site.path("vault")).arg("--identity").arg(site.path("id.txt"));
        recover.arg("--signers").arg(site.path(signers)).args(["--serial", serial]).arg("--to").arg(&out);
        let ended = recover.output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{signers} {serial}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    // A host that is new to the vault takes the recipients by the new key, which confirmed them.
    let newcomer = Site::new("node2");
    newcomer.ok(&["init", "--vault", "OWN", "--identity", "ID", "--yes"]);
    newcomer.ok(&["key", "trust", &site.text("after")]);
    newcomer.ok(&["backup", "--vault", &site.text("vault"), "--source", "TREE"]);
    site.ok(&["key", "confirm", "--vault", "VAULT"]);
    site.ok(&["verify", "--vault", "VAULT", "--host", "node1"]);

    // The thief of the old key signs a third snapshot: with today's date it is too late, with an earlier one this host remembers better.
    let second = fs::read_to_string(site.path("vault/manifests/node1/2.json")).unwrap();
    let mut forged: Value = serde_json::from_str(&second).unwrap();
    forged["serial"] = 3.into();
    let digest = Command::new("sha256sum").arg(site.path("vault/manifests/node1/2.json")).output().unwrap();
    forged["previous"] = String::from_utf8(digest.stdout).unwrap()[..64].into();
    for (date, words) in [(None, "until"), (Some("2026-01-01T00:00:00Z"), "dated it back")] {
        if let Some(date) = date {
            forged["finished"] = date.into();
        }
        let file = site.path("vault/manifests/node1/3.json");
        overwrite(&file, forged.to_string());
        let _ = fs::remove_file(file.with_extension("json.sig"));
        let sign = ["-Y", "sign", "-q", "-n", "lifeboat-manifest", "-f", "stolen", "vault/manifests/node1/3.json"];
        assert!(site.ssh_keygen(&sign).status.success());
        site.refused(20, &[words], &["backup", "--vault", "VAULT", "--source", "TREE"]);
    }
}

#[test]
fn hosts_that_share_a_vault_trust_each_other_by_name_only() {
    let (one, two) = (Site::ready(), Site::new("node2"));
    one.backup();
    let vault = one.text("vault");
    let backup = ["backup", "--vault", &vault, "--source", "TREE"];
    two.ok(&["init", "--vault", "OWN", "--identity", "ID", "--yes"]);
    two.refused(20, &["not trusted", "nothing was written"], &backup);
    fs::write(two.path("one"), one.ok(&["key", "export"])).unwrap();
    two.ok(&["key", "trust", "ONE"]);
    two.ok(&backup);
    assert_eq!(two.extract_code("ID", "latest"), Some(10), "its own vault is elsewhere");
    // One's key counts for one's snapshots; in two's name it is a stranger's.
    let (one_folder, two_folder) = (one.path("vault/manifests/node1"), one.path("vault/manifests/node2"));
    let text = fs::read_to_string(one_folder.join("1.json")).unwrap().replace("node1", "node2");
    overwrite(&two_folder.join("1.json"), text);
    fs::remove_file(two_folder.join("1.json.sig")).unwrap();
    let sign =
        ["-Y", "sign", "-q", "-n", "lifeboat-manifest", "-f", "state/host_ed25519", "vault/manifests/node2/1.json"];
    assert!(one.ssh_keygen(&sign).status.success());
    two.refused(20, &["in the name of node2"], &["list", "--vault", &vault, "--host", "node2"]);
}

/// Everything that the host keeps, tried as a key, and searched for one.
#[test]
fn the_host_cannot_read_its_own_backups() {
    let site = Site::ready();
    site.backup();
    let key = files(&site.path("vault/keys")).remove(0);
    let run_key = Command::new("age").arg("-d").arg("-i").arg(site.path("id.txt")).arg(&key).output().unwrap().stdout;
    let run_key = String::from_utf8(run_key).unwrap().trim().to_owned();
    assert_eq!(run_key.len(), 64);
    let raw: Vec<u8> = (0..64).step_by(2).map(|at| u8::from_str_radix(&run_key[at..at + 2], 16).unwrap()).collect();
    let identity = fs::read_to_string(site.path("id.txt")).unwrap();
    let secret = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).unwrap();

    let mut kept = files(&site.path("state"));
    kept.push(site.path("config.toml"));
    assert!(kept.len() > 4, "{kept:?}");
    for file in kept {
        let mut bytes = fs::read(&file).unwrap();
        // The cache is compressed: what it holds counts, not how.
        let plain = Command::new("zstd").args(["-dcq"]).arg(&file).output().unwrap();
        if plain.status.success() {
            bytes.extend(plain.stdout);
        }
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        for needle in [run_key.as_bytes(), &raw, secret.as_bytes(), b"AGE-SECRET-KEY"] {
            assert!(!holds(needle), "{} holds a key", file.display());
        }
        assert!(!age_opens(&site, &file, &key), "age opens a run with {}", file.display());
        let code = site.extract_code(file.to_str().unwrap(), "latest");
        assert_eq!(code, Some(12), "{}", file.display());
        assert!(!site.path("out/etc").exists());
    }
}

#[test]
fn an_identity_under_a_passphrase_is_one_that_age_opens() {
    let site = Site::ready();
    fs::write(site.path("words"), PASSPHRASE).unwrap();
    site.ok(&["key", "identity", "new", "SEALED", "--passphrase-file", "WORDS"]);
    assert!(age_opens_by_passphrase(&site.path("sealed"), PASSPHRASE));
    site.refused(1, &["exists"], &["key", "identity", "new", "SEALED"]);
    site.ok(&["key", "add-recipient", "--passphrase-file", "WORDS", "--name", "vicar", "--vault", "VAULT"]);
    assert!(site.path("vault/identities/vicar.age").is_file());
    assert_eq!(recipients(&site)[1]["kind"], "passphrase");
    site.backup();
    let extract = ["extract", "--vault", "VAULT", "--identity", "passphrase", "latest", "--to", "OUT"];
    let opened = site.command(&extract).env("LIFEBOAT_PASSPHRASE_FILE", site.path("words")).status().unwrap();
    assert!(opened.success());
}

/// Reads from a terminal until it says `words`.
fn wait_for(terminal: &mut impl Read, said: &mut String, words: &str) {
    let mut byte = [0];
    while !said.ends_with(words) {
        assert_eq!(terminal.read(&mut byte).unwrap(), 1, "the terminal closed before {words:?}: {said}");
        said.push(byte[0].into());
    }
}

#[test]
fn a_passphrase_is_asked_for_twice_on_the_terminal_and_never_shown() {
    let site = Site::new("node1");
    let typed = |second: &str| {
        let program =
            format!("{} init --vault {} --passphrase --yes", env!("CARGO_BIN_EXE_lifeboat"), site.text("vault"));
        let command = site.command(&[]);
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &program, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = terminal.spawn().unwrap();
        let (mut keys, mut shown, mut said) =
            (child.stdin.take().unwrap(), child.stdout.take().unwrap(), String::new());
        wait_for(&mut shown, &mut said, "New passphrase: ");
        keys.write_all(format!("{PASSPHRASE}\n").as_bytes()).unwrap();
        wait_for(&mut shown, &mut said, "The same again: ");
        keys.write_all(format!("{second}\n").as_bytes()).unwrap();
        shown.read_to_string(&mut said).unwrap();
        assert!(!said.contains("battery"), "{said}");
        child.wait().unwrap().code()
    };
    assert_eq!(typed("another battery"), Some(2));
    assert!(!site.path("vault/vault.json").exists());
    assert_eq!(typed(PASSPHRASE), Some(0));
    assert!(age_opens_by_passphrase(&site.path("vault/identities/passphrase.age"), PASSPHRASE));
}

#[test]
fn key_list_shows_who_signs_and_who_opens() {
    let site = Site::ready();
    let shown = site.ok(&["key", "list", "--vault", "VAULT"]);
    let fingerprint = String::from_utf8(site.ssh_keygen(&["-lf", "state/host_ed25519.pub"]).stdout).unwrap();
    let fingerprint = fingerprint.split_whitespace().nth(1).unwrap();
    assert!(shown.contains(fingerprint) && shown.contains("opened by"), "{shown}");
    let alone = Site::new("node1");
    assert!(alone.ok(&["key", "list"]).contains("signing key   none"));
}
