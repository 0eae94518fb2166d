//! What a guest had before it was restored, kept outside `/etc/pve`: its configuration and its firewall.
//!
//! It lies on the disk before the configuration leaves `/etc/pve`, and a run that was cut finds it there: what it finds in `/etc/pve` by
//! then may be half of something. The record's `kept_aside` says that what lies aside is this attempt's; anything else that lies there is
//! given a number and kept.

use std::fs;
use std::io::ErrorKind;

use super::compare::{Options, is_being_made, without_start};
use super::files::Files;
use super::tools::Tools;
use crate::revival::Run;
use crate::revival::record::{Difference, Phase, Record};

/// What lies aside.
#[derive(Clone, Debug)]
pub struct Aside {
    original: Option<String>,
    firewall: Option<String>,
    /// The configuration to put back: the original, or a later one by somebody's hand.
    base: Option<String>,
}

/// Where an earlier attempt has left the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There was none.
    Fresh,
    /// It was cut, and the guest is half there at most.
    Cut,
    /// It was cut after the guest was back.
    Back,
    /// It failed, and the configuration is the one that was put back.
    PutBack,
    /// It failed, and somebody has changed the configuration since.
    Changed,
}

impl Standing {
    /// Looks at what is there.
    ///
    /// # Errors
    /// In words.
    pub fn look(run: &Run, files: &Files, record: &Record) -> Result<Self, String> {
        if !record.kept_aside {
            return Ok(Self::Fresh);
        }
        let live = files.config()?.filter(|text| !is_being_made(text));
        Ok(match (record.phase, live) {
            // The configuration was gone before this phase began, so what is there now was restored.
            (Phase::Restoring | Phase::Comparing, Some(_)) => Self::Back,
            (Phase::Failed, Some(live)) => {
                let original = Aside::kept(run, files)?.original;
                if original.is_some_and(|original| is_of(&original, &live)) { Self::PutBack } else { Self::Changed }
            }
            _ => Self::Cut,
        })
    }
}

/// `live` is the original, or what was made of it to put it back.
fn is_of(original: &str, live: &str) -> bool {
    live == original || live == without_start(original)
}

impl Aside {
    /// Puts aside what the guest has, unless a run that did not finish has done so already.
    ///
    /// # Errors
    /// When it cannot be read or kept; then nothing is gone.
    pub fn take(run: &Run, files: &Files, record: &mut Record) -> anyhow::Result<Self> {
        let live = files.config().map_err(anyhow::Error::msg)?;
        if record.kept_aside {
            let mut kept = Self::kept(run, files).map_err(anyhow::Error::msg)?;
            let foreign =
                live.filter(|live| !is_being_made(live) && !kept.original.as_ref().is_some_and(|one| is_of(one, live)));
            if let Some(foreign) = foreign {
                run.locked.put_beside(files.name(), foreign.as_bytes())?;
                kept.base = Some(foreign);
            }
            run.enter(record, Phase::Aside, "an earlier attempt did not finish; what was put aside then is kept")?;
            return Ok(kept);
        }
        let firewall = files.firewall().map_err(anyhow::Error::msg)?;
        for (name, content) in [(files.name(), &live), (&files.firewall_name(), &firewall)] {
            match content {
                Some(text) => run.locked.put_aside(name, text.as_bytes())?,
                None => run.locked.number_aside(name)?,
            }
        }
        record.kept_aside = true;
        let text = format!("its configuration is kept as {}", run.locked.folder.aside(files.name()).display());
        if let Err(error) = run.enter(record, Phase::Aside, text) {
            record.kept_aside = false;
            return Err(error);
        }
        Ok(Self { base: live.clone(), original: live, firewall })
    }

    /// What an attempt has put aside.
    ///
    /// # Errors
    /// In words.
    pub fn kept(run: &Run, files: &Files) -> Result<Self, String> {
        let read = |name: &str| {
            let path = run.locked.folder.aside(name);
            match fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(format!("reading {}: {error}", path.display())),
            }
        };
        let original = read(files.name())?;
        Ok(Self { base: original.clone(), original, firewall: read(&files.firewall_name())? })
    }

    /// The configuration as it was.
    pub fn original(&self) -> Option<&str> {
        self.original.as_deref()
    }

    /// Puts back what was there, so that the guest does not start with the host; what was done, in words.
    pub fn put_back(&self, files: &Files) -> String {
        let config = match &self.base {
            Some(text) => {
                files.write_config(&without_start(text)).map(|()| "its configuration was put back with onboot: 0")
            }
            None => Ok("it had no configuration before"),
        };
        match (config, self.put_back_firewall(files)) {
            (Ok(told), Ok(_)) => told.to_owned(),
            (Ok(told), Err(why)) => {
                format!("{told}, but its firewall was not: {why}; it lies in /var/lib/lifeboat/guests/aside")
            }
            (Err(why), _) => {
                format!(
                    "its configuration could NOT be put back: {why}; it lies in /var/lib/lifeboat/guests/aside, copy it by hand"
                )
            }
        }
    }

    /// Whether it had to be.
    fn put_back_firewall(&self, files: &Files) -> Result<bool, String> {
        match &self.firewall {
            Some(text) if files.firewall()?.as_ref() != Some(text) => files.write_firewall(text).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Makes a guest that is back start as the host had it, gives it its firewall, and writes down what differs.
    ///
    /// # Errors
    /// When the configurations cannot be compared; in words.
    pub fn settle(&self, files: &Files, tools: &Tools, record: &mut Record) -> Result<(), String> {
        match self.put_back_firewall(files) {
            Ok(true) => record.notes.push("its firewall is the host's newest, not the archive's".to_owned()),
            Ok(false) => {}
            Err(why) => record.notes.push(format!("its firewall was not put back: {why}")),
        }
        let original = self.original.as_deref().ok_or("it had none")?;
        let parse = |text: &str| Options::parse(files.name(), files.kind(), text);
        let host = parse(original)?;
        let restored = parse(&files.config()?.unwrap_or_default())?;
        for (option, value) in host.starts(&restored) {
            if let Err(why) = tools.set(option, value) {
                record.notes.push(format!("{option} is not as it was: {why}"));
            }
        }
        let restored = parse(&files.config()?.unwrap_or_default())?;
        record.differences = host.differences(&restored);
        if self.firewall.is_none() && files.firewall()?.is_some() {
            let (option, restored) = ("firewall".to_owned(), Some("rules of the archive".to_owned()));
            record.differences.push(Difference { option, host: None, restored });
        }
        Ok(())
    }
}
