//! The stick that this host made: is it there, is it whole, is it of this system still.

use jiff::Timestamp;

use super::Finding;
use super::secure_boot;
use crate::cli::Doctor;
use crate::commands::Context;
use crate::exit::{Exit, exit_of};
use crate::{medium, stick};

const AREA: &str = "stick";
/// Days after which a stick that nothing was written to deserves a look.
const OLD: i64 = 180;

/// Looks at the stick that is named, configured, or was made last.
pub fn look(context: &Context, args: &Doctor) -> Vec<Finding> {
    let named = args.stick.clone().or_else(|| context.config.stick.clone());
    let target = match named.map_or_else(|| medium::find_known(context), Ok) {
        Ok(target) => target,
        // A host that keeps its backups in a vault alone may well have none; it still needs one to come back.
        Err(error) => {
            return vec![Finding::warning(AREA, format!("{error:#}"), "make a stick, or plug it in and look again")];
        }
    };
    let trusted = context.state.trusted().unwrap_or_default();
    let look = match stick::look(&target, &trusted) {
        Ok(look) => look,
        Err(error) => {
            return vec![Finding::warning(
                AREA,
                format!("{}: {error:#}", target.display()),
                "make it anew with `lifeboat create`",
            )];
        }
    };
    let mut findings = Vec::new();
    for (slot, state) in &look.slots {
        match state {
            Ok(description) => {
                let days = Timestamp::now().duration_since(description.created).as_hours() / 24;
                let what = format!("boot slot {slot} is whole: kernel {}, written {days} days ago", description.kernel);
                findings.push(if days > OLD && *slot == look.active {
                    Finding::note(AREA, what + "; boot it once to see that the machine still starts from it")
                } else {
                    Finding::good(AREA, what)
                });
            }
            Err(error) if exit_of(error) == Exit::Corrupt || *slot == look.active => {
                let what = format!("boot slot {slot}: {error:#}");
                findings.push(Finding::warning(
                    AREA,
                    what,
                    "make the stick anew with `lifeboat create`, on another medium if this one fails",
                ));
            }
            Err(error) => findings.push(Finding::note(AREA, format!("boot slot {slot}: {error:#}"))),
        }
    }
    findings.extend(secure_boot::of_stick(&args.live.root, &look.loaders));
    findings
}
