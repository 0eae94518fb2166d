//! Reads entry lines in any form that JSON allows, with unknown fields refused. Slower than [`crate::scan`], which leaves to it
//! what is not written as this program writes it.

use std::borrow::Cow;

use serde::Deserialize;

use super::base64::base64_decode;
use super::place::{RawMember, member_of};
use super::{Blocks, Entry, EntryKind, Extent, Time};
use crate::contents::Digest;
use crate::path::{EntryPath, escape, unescape};

/// An entry line as it is in JSON, before the checks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    mode: Cow<'a, str>,
    uid: u32,
    gid: u32,
    #[serde(default)]
    size: u64,
    mtime: (i64, u32),
    atime: (i64, u32),
    ctime: (i64, u32),
    inode: u64,
    #[serde(borrow, default)]
    link: Option<Cow<'a, str>>,
    #[serde(default)]
    rdev: Option<(u32, u32)>,
    #[serde(borrow, default)]
    xattrs: Option<RawXattrs<'a>>,
    #[serde(default)]
    flags: u32,
    #[serde(default)]
    project: u32,
    #[serde(default, borrow)]
    blake3: Option<Cow<'a, str>>,
    #[serde(default)]
    member: Option<RawMember>,
    #[serde(default)]
    extents: Option<Vec<Extent>>,
    #[serde(default)]
    block_size: Option<u64>,
    #[serde(default)]
    blocks: Option<u64>,
}

type RawXattrs<'a> = std::collections::BTreeMap<Cow<'a, str>, Cow<'a, str>>;

fn time_of((sec, nsec): (i64, u32)) -> Result<Time, String> {
    if nsec < 1_000_000_000 { Ok(Time { sec, nsec }) } else { Err(format!("{nsec} nanoseconds")) }
}

impl Entry {
    /// Parses a line in any form that JSON allows; the rules between fields are not yet checked.
    pub(crate) fn parse_any(line: &[u8], block_size: u64) -> Result<(Entry, u64), String> {
        let raw: RawEntry<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let path = unescape(&raw.path).and_then(EntryPath::new).ok_or("path leaves the snapshot or is malformed")?;
        let kind = EntryKind::from_letter(&raw.kind).ok_or_else(|| format!("entry type {:?}", raw.kind))?;
        let mode = u32::from_str_radix(&raw.mode, 8).ok().filter(|m| *m <= 0o7777).ok_or("mode")?;
        let content = raw.blake3.map(|t| Digest::parse(&t).ok_or("blake3")).transpose()?;
        let link =
            raw.link.map(|t| unescape(&t).filter(|l| !l.is_empty() && !l.contains(&0)).ok_or("link")).transpose()?;
        if raw.block_size.is_some() && raw.blocks.is_none() {
            return Err("a block size and no blocks".into());
        }
        let mut xattrs = Vec::new();
        for (name, value) in raw.xattrs.into_iter().flatten() {
            let name = unescape(&name).filter(|name| (1..=255).contains(&name.len()) && !name.contains(&0));
            xattrs.push((name.ok_or("xattr name")?, base64_decode(&value).ok_or("xattr value")?));
        }
        xattrs.sort();
        if let Some(pair) = xattrs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("the xattr {} comes twice", escape(&pair[0].0)));
        }
        let entry = Entry {
            path,
            kind,
            mode,
            uid: raw.uid,
            gid: raw.gid,
            size: raw.size,
            mtime: time_of(raw.mtime)?,
            atime: time_of(raw.atime)?,
            ctime: time_of(raw.ctime)?,
            inode: raw.inode,
            link,
            rdev: raw.rdev,
            xattrs,
            flags: raw.flags,
            project: raw.project,
            content,
            member: member_of(raw.member)?,
            extents: raw.extents,
            blocks: raw.blocks.map(|_| Blocks { size: raw.block_size.unwrap_or(block_size), list: Vec::new() }),
        };
        Ok((entry, raw.blocks.unwrap_or(0)))
    }
}
