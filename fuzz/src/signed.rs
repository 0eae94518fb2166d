//! What is signed. The documents are read without their signature here: a signature would keep the fuzzer out.

use jiff::Timestamp;
use manifest::{
    Attempt, AuditLog, BootSlot, DocumentError, Manifest, PublicKey, RestoreOrder, Serial, TrustRoot, Unverified,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault::Contents;

/// Made for this test; what it signed is in the corpus.
const SIGNER: &str = include_str!("../corpus/signer.pub");

/// What is read, written and read again is the same.
fn read_again<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(data).ok()?;
    let text = serde_json::to_vec(&value).unwrap_or_else(|why| panic!("{why}"));
    let again = serde_json::from_slice(&text).unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&text)));
    assert_eq!(value, again);
    Some(value)
}

/// Manifests, boot slots and trust roots.
pub fn manifest(data: &[u8]) {
    read_again::<BootSlot>(data);
    read_again::<TrustRoot>(data);
    let Some(manifest) = read_again::<Manifest<Contents>>(data) else { return };
    for name in manifest.contents.parts().into_iter().map(|part| part.name) {
        assert!(!name.contains("..") || name == manifest.contents.catalogue.object);
    }
    if let Some(host) = &manifest.host {
        super::machine::walk(&host.layout);
        let _ = host.coverage.uncovered().count();
    }
}

/// Restore orders, held against an attempt.
pub fn order(data: &[u8]) {
    let Some(order) = read_again::<RestoreOrder>(data) else { return };
    let targets = order.disks.iter().map(|disk| Some(disk.target.as_str())).collect();
    let attempt = Attempt {
        stick: &order.stick,
        host_name: &order.host_name,
        product: None,
        targets,
        snapshot: Serial(1),
        newest: Serial(1),
        now: Timestamp::UNIX_EPOCH,
        used: false,
    };
    let _ = order.covers(&attempt);
    assert!(order.covers(&Attempt { used: true, ..attempt }).is_err());
}

/// Signature files, keys and audit logs. A signature that counts is over nothing but the document it was made for.
pub fn signature(data: &[u8]) {
    let signer: PublicKey = SIGNER.parse().unwrap_or_else(|why| panic!("{why}"));
    let trusted = [signer];
    let forged = Unverified { json: b"{}", signature: data }.verify::<Manifest<Contents>>(&trusted);
    assert!(matches!(forged, Err(DocumentError::Signature(_))), "a signature over a document that nobody signed");
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = text.parse::<PublicKey>() {
        assert!(key.to_string().parse::<PublicKey>().is_ok_and(|again| again == key));
    }
    if let Ok(log) = AuditLog::verify(text, &trusted) {
        let written = AuditLog::verify(SIGNED_LOG, &trusted).map(|log| log.lines().to_vec()).unwrap_or_default();
        assert!(written.starts_with(log.lines()), "a log that nobody wrote: {log:?}");
    }
}

/// The only audit log that the signer wrote.
const SIGNED_LOG: &str = include_str!("../corpus/signature/audit.log");
