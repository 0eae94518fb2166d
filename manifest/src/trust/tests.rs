//! Lines of allowed signers files: what counts, for whom, and when; ssh-keygen says the same.

use super::*;
use crate::HostKey;

fn key() -> PublicKey {
    HostKey::generate("x").unwrap().public()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_line_says_who_for_whom_for_what_and_when() {
    let key = key();
    let line = format!(
        "node1,web-* namespaces=\"lifeboat-*,!lifeboat-order\",valid-after=\"20260102\",valid-before=\"202601031200Z\" {key} a comment"
    );
    let signer: Signer = line.replace("20260102\"", "20260102Z\"").parse().unwrap();
    assert_eq!(signer.key, key);
    for (host, speaks) in [("node1", true), ("web-7", true), ("node2", false)] {
        assert_eq!(signer.speaks_for(&host.parse().unwrap()), speaks, "{host}");
    }
    assert!(signer.serves("lifeboat-manifest") && !signer.serves("lifeboat-order") && !signer.serves("git"));
    for (time, counts) in [
        ("2026-01-01T23:59:59Z", false),
        ("2026-01-02T00:00:00Z", true),
        ("2026-01-03T12:00:00.9Z", true),
        ("2026-01-03T12:00:01Z", false),
    ] {
        assert_eq!(signer.counts_at(at(time)), counts, "{time}");
    }
    assert_eq!(signer.to_string().parse::<Signer>().unwrap(), signer);
}

#[test]
fn a_bare_key_has_no_limits() {
    let key = key();
    let signer: Signer = key.to_string().parse().unwrap();
    assert_eq!(signer, Signer::from(&key));
    assert!(signer.speaks_for(&"any".parse().unwrap()) && signer.serves("x") && signer.counts_at(Timestamp::MIN));
}

#[test]
fn what_could_widen_trust_is_refused_and_other_kinds_are_passed_over() {
    let key = key();
    for (options, error) in [
        ("novelty", "novelty"),
        ("namespaces=lifeboat", "namespaces=lifeboat"),
        ("namespaces=\"a\",namespaces=\"b\"", "namespaces"),
        ("valid-before=\"soon\"", "soon"),
        ("valid-before=\"20261301Z\"", "20261301Z"),
        ("valid-before=\"20260101Z", "valid-before"),
        ("valid-after=\"20260101Z\",valid-before=\"20260101Z\"", "valid-before"),
    ] {
        let refused = Signer::read_all(&format!("# a comment\nnode {options} {key}\n")).unwrap_err();
        assert_eq!(refused.0, 2);
        assert!(refused.1.to_string().contains(error), "{options}: {}", refused.1);
    }
    assert_eq!(Signer::read_all("node\n").unwrap_err(), (1, TrustError::NoKey));
    assert!(matches!(Signer::read_all("node ssh-ed25519 AAAA\n").unwrap_err(), (1, TrustError::Key(_))));
    let others = format!("ca cert-authority {key}\nnode ecdsa-sha2-nistp256 AAAA\n\n");
    assert_eq!(Signer::read_all(&others).unwrap(), vec![]);
}

#[test]
fn patterns_match_as_those_of_openssh() {
    for (patterns, text, fits) in [
        ("*", "", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("*b*d", "abcbd", true),
        ("*b*d", "abcb", false),
        ("a*,!ab", "ab", false),
        ("!ab", "x", false),
        ("", "x", false),
    ] {
        assert_eq!(pattern::matches_list(patterns, text), fits, "{patterns} {text}");
    }
}
