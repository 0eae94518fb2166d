//! `ssh-keygen` is the judge: what we sign it accepts, what it signs we accept, and neither accepts a change.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use layout::Guid;
use manifest::{
    BootSlot, Digest, DocumentError, HostKey, HostName, PublicKey, RestoreOrder, SignatureError, Signer, SlotName,
    Unverified, seal,
};

fn slot() -> BootSlot {
    BootSlot {
        format: 1,
        slot: SlotName::A,
        stick: Guid::new("0FC63DAF-8483-4772-8E79-3D69D8477DE4").unwrap(),
        host_name: "node".parse().unwrap(),
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
        tool: "0.1.0".into(),
        kernel: "6.1.0-1-amd64".into(),
        inputs: Digest::of(b"inputs"),
        files: Vec::new(),
    }
}

fn keygen_accepts(folder: &Path, key: &HostKey, namespace: &str, json: &[u8], signature: &[u8]) -> bool {
    let line = format!("host {}", key.public());
    keygen_trusts(folder, &line, "host", "20260102030405Z", namespace, json, signature)
}

/// Whether `ssh-keygen` accepts a signature as that of `host` at `time`, if `line` is all that it trusts.
fn keygen_trusts(
    folder: &Path,
    line: &str,
    host: &str,
    time: &str,
    namespace: &str,
    json: &[u8],
    signature: &[u8],
) -> bool {
    let signers = folder.join("allowed_signers");
    fs::write(&signers, format!("{line}\n")).unwrap();
    let file = folder.join("document.sig");
    fs::write(&file, signature).unwrap();
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-I", host, "-n", namespace, "-O", &format!("verify-time={time}"), "-f"])
        .arg(&signers)
        .arg("-s")
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn ssh_keygen_accepts_our_signatures_and_refuses_a_changed_document() {
    let folder = tempfile::tempdir().unwrap();
    let key = HostKey::generate("host").unwrap();
    let (mut json, signature) = seal(&slot(), &key).unwrap();
    assert!(keygen_accepts(folder.path(), &key, "lifeboat-slot", &json, &signature));
    assert!(!keygen_accepts(folder.path(), &key, "lifeboat-manifest", &json, &signature));
    json[20] ^= 1;
    assert!(!keygen_accepts(folder.path(), &key, "lifeboat-slot", &json, &signature));
}

#[test]
fn we_accept_a_signature_and_a_key_that_ssh_keygen_made() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    let run = |args: &[&str]| {
        let status = Command::new("ssh-keygen").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.unwrap().success(), "{args:?}");
    };
    let key_path = key_file.to_str().unwrap();
    run(&["-q", "-t", "ed25519", "-N", "", "-f", key_path]);
    let key = HostKey::from_openssh(&fs::read_to_string(&key_file).unwrap()).unwrap();
    let (json, _) = seal(&slot(), &key).unwrap();
    let document = folder.path().join("slot.json");
    fs::write(&document, &json).unwrap();
    run(&["-Y", "sign", "-q", "-n", "lifeboat-slot", "-f", key_path, document.to_str().unwrap()]);
    let signature = fs::read(folder.path().join("slot.json.sig")).unwrap();
    let verified = Unverified { json: &json, signature: &signature }.verify::<BootSlot>(&[key.public()]).unwrap();
    assert_eq!(*verified, slot());
}

#[test]
fn a_private_key_that_we_write_is_one_that_ssh_keygen_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let key = HostKey::generate("host").unwrap();
    let file = folder.path().join("key");
    fs::write(&file, key.to_openssh().unwrap()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let output = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&file).output().unwrap();
    let public = String::from_utf8(output.stdout).unwrap();
    assert!(public.starts_with(&key.public().to_string()), "{public}");
}

#[test]
fn strangers_other_namespaces_and_changes_are_refused_with_their_reason() {
    let key = HostKey::generate("host").unwrap();
    let stranger = HostKey::generate("stranger").unwrap();
    let (json, signature) = seal(&slot(), &key).unwrap();
    let document = Unverified { json: &json, signature: &signature };
    let refusal = |result: Result<_, DocumentError>| match result {
        Err(DocumentError::Signature(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("accepted"),
    };
    let by_stranger = refusal(document.verify::<BootSlot>(&[stranger.public()]).map(drop));
    assert!(matches!(by_stranger, SignatureError::Stranger(_)));
    let as_order = refusal(document.verify::<RestoreOrder>(&[key.public()]).map(drop));
    assert!(matches!(as_order, SignatureError::Namespace { .. }));
    for position in 0..json.len() {
        let mut changed = json.clone();
        changed[position] ^= 1;
        let changed = Unverified { json: &changed, signature: &signature };
        assert!(matches!(refusal(changed.verify::<BootSlot>(&[key.public()]).map(drop)), SignatureError::Mismatch(_)));
    }
    let unsigned = Unverified { json: &json, signature: b"" };
    assert!(matches!(refusal(unsigned.verify::<BootSlot>(&[key.public()]).map(drop)), SignatureError::Format(_)));
}

#[test]
fn later_formats_and_unknown_fields_are_refused_by_name() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Later(serde_json::Value);
    impl manifest::Document for Later {
        const NAME: &'static str = "boot slot";
        const NAMESPACE: &'static str = "lifeboat-slot";
        fn host_name(&self) -> &HostName {
            unreachable!("it is sealed here, and read as a boot slot")
        }
        fn signed_at(&self) -> Timestamp {
            unreachable!("it is sealed here, and read as a boot slot")
        }
    }
    let key = HostKey::generate("host").unwrap();
    let refused = |change: fn(&mut serde_json::Value)| {
        let mut value = serde_json::to_value(slot()).unwrap();
        change(&mut value);
        let (json, signature) = seal(&Later(value), &key).unwrap();
        let document = Unverified { json: &json, signature: &signature };
        document.verify::<BootSlot>(&[key.public()]).unwrap_err().to_string()
    };
    let later = refused(|value| {
        value["format"] = 2.into();
        value["novelty"] = 1.into();
    });
    assert_eq!(later, "the boot slot has format 2; this version reads format 1: use a newer lifeboat");
    let unknown = refused(|value| value["novelty"] = 1.into());
    assert!(unknown.contains("`novelty`"), "{unknown}");
}

#[test]
fn keys_of_other_kinds_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rsa");
    let status = Command::new("ssh-keygen").args(["-q", "-t", "rsa", "-N", "", "-f"]).arg(&file).status().unwrap();
    assert!(status.success());
    let public = fs::read_to_string(folder.path().join("rsa.pub")).unwrap();
    let error = public.parse::<PublicKey>().unwrap_err().to_string();
    assert_eq!(error, "a key of kind ssh-rsa, where ssh-ed25519 is needed");
}

/// Host, time and kind within and without every limit that a line can set: we and `ssh-keygen` say the same.
#[test]
fn limits_of_trust_are_those_of_ssh_keygen() {
    let folder = tempfile::tempdir().unwrap();
    let key = HostKey::generate("host").unwrap();
    let (json, signature) = seal(&slot(), &key).unwrap();
    for (limits, trusted) in [
        ("node", true),
        ("other,no*", true),
        ("other", false),
        ("*,!node", false),
        ("* namespaces=\"lifeboat-*\"", true),
        ("* namespaces=\"lifeboat-order\"", false),
        ("* valid-after=\"20260102030405Z\",valid-before=\"20260102030406Z\"", true),
        ("* valid-after=\"20260102030404Z\",valid-before=\"20260102030405Z\"", true),
        ("* valid-after=\"20260102030406Z\"", false),
        ("* valid-before=\"20260102030404Z\"", false),
        ("* valid-before=\"202601020304Z\"", false),
        ("* valid-before=\"20260103Z\"", true),
        ("* cert-authority", false),
    ] {
        let line = format!("{limits} {}", key.public());
        let signers = Signer::read_all(&line).unwrap();
        let ours = Unverified { json: &json, signature: &signature }.verify::<BootSlot>(&signers);
        assert_eq!(ours.is_ok(), trusted, "{limits}: {:?}", ours.err());
        let theirs = keygen_trusts(folder.path(), &line, "node", "20260102030405Z", "lifeboat-slot", &json, &signature);
        assert_eq!(theirs, trusted, "{limits}");
        for signer in signers {
            let written = signer.to_string();
            let again =
                keygen_trusts(folder.path(), &written, "node", "20260102030405Z", "lifeboat-slot", &json, &signature);
            assert_eq!(again, trusted, "{written}");
        }
    }
}
