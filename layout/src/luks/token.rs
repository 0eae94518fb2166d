//! What a LUKS2 header says of TPMs. It is read from the header itself: `luksDump` shows it only where a plugin is installed.

use serde::Deserialize;

/// Where the JSON of a header begins.
const JSON_START: usize = 4096;
const MAGIC: &[u8] = b"LUKS\xba\xbe";

/// How a TPM was bound to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmToken {
    /// Numbers of the registers whose values must be as they were.
    pub pcrs: Vec<u32>,
    /// A number must be typed too.
    pub pin: bool,
    /// A signed policy takes part, whose key only the one who enrolled it has.
    pub signed: bool,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    tokens: std::collections::BTreeMap<String, Token>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "tpm2-pcrs", default)]
    pcrs: Vec<u32>,
    #[serde(rename = "tpm2-pin", default)]
    pin: bool,
    #[serde(rename = "tpm2_pubkey", default)]
    key: Option<serde_json::Value>,
}

/// The TPM tokens of a header as `luksHeaderBackup` writes it, in the order of their numbers; none where it is not version 2 or damaged.
#[must_use]
pub fn tpm_tokens(header: &[u8]) -> Vec<TpmToken> {
    let tokens = json(header).map(|header| header.tokens).unwrap_or_default();
    let of_tpm = tokens.into_values().filter(|token| token.kind == "systemd-tpm2");
    of_tpm.map(|token| TpmToken { pcrs: token.pcrs, pin: token.pin, signed: token.key.is_some() }).collect()
}

fn json(header: &[u8]) -> Option<Header> {
    let length = u64::from_be_bytes(header.get(8..16)?.try_into().ok()?);
    if !header.starts_with(MAGIC) || header.get(6..8)? != [0, 2] {
        return None;
    }
    let text = header.get(JSON_START..usize::try_from(length).ok()?.min(header.len()))?;
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    serde_json::from_slice(&text[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u8, json: &str) -> Vec<u8> {
        let mut header = vec![0; 16384];
        header[..6].copy_from_slice(MAGIC);
        header[7] = version;
        header[8..16].copy_from_slice(&16384_u64.to_be_bytes());
        header[JSON_START..JSON_START + json.len()].copy_from_slice(json.as_bytes());
        header
    }

    const TOKENS: &str = r#"{"keyslots":{},"tokens":{"0":{"type":"systemd-recovery","keyslots":["1"]},
        "1":{"type":"systemd-tpm2","keyslots":["2"],"tpm2-blob":"AA==","tpm2-pcrs":[0,7],"tpm2-pcr-bank":"sha256","tpm2-pin":true}}}"#;

    #[test]
    fn registers_and_pin_of_a_tpm_are_told() {
        let told = tpm_tokens(&header(2, TOKENS));
        assert_eq!(told, [TpmToken { pcrs: vec![0, 7], pin: true, signed: false }]);
    }

    #[test]
    fn other_cut_and_hostile_bytes_have_no_tokens() {
        for bytes in
            [vec![], vec![0; 20000], header(1, TOKENS), header(2, "{\"tokens\":7}"), header(2, TOKENS)[..5000].to_vec()]
        {
            assert!(tpm_tokens(&bytes).len() <= 1);
        }
        assert!(tpm_tokens(&header(1, TOKENS)).is_empty());
        assert!(tpm_tokens(&header(2, "")).is_empty());
        let mut long = header(2, TOKENS);
        long[8..16].copy_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(tpm_tokens(&long).len(), 1, "a length beyond the file ends with the file");
    }
}
