//! A member of a hypervisor's cluster: in which way it comes back. A member that the cluster has removed does harm with its old database, so without
//! a word it does not come back at all.

use manifest::host::Platform;
use manifest::{Host, Membership};

use crate::screen::{Answer, Screen};
use crate::stop::{Code, Result, Stop};

/// Wrong answers before the rescue stops.
const TRIES: usize = 3;

/// The platform whose cluster the captured machine belonged to.
pub fn clustered(host: &Host) -> Option<&Platform> {
    host.guests.iter().find(|platform| !platform.cluster.is_empty())
}

/// The way that an order names.
///
/// # Errors
/// Why there is none: the machine was a member, and the order says nothing of it.
pub fn by_order(host: Option<&Host>, named: Option<Membership>) -> std::result::Result<Option<Membership>, String> {
    match host.and_then(clustered) {
        Some(platform) if named.is_none() => {
            Err(format!("{}, and it does not say in which way the machine comes back (--cluster)", told(platform)))
        }
        Some(_) => Ok(named),
        None => Ok(None),
    }
}

/// Asks, where the machine was a member. None: nobody answered.
///
/// # Errors
/// 31 after too many answers that are none.
pub fn ask(screen: &Screen, host: Option<&Host>) -> Result<Option<Option<Membership>>> {
    let Some(platform) = host.and_then(clustered) else { return Ok(Some(None)) };
    screen.say(&format!("{}.", told(platform)));
    screen.say("  same     the cluster runs, or will, and still counts this machine in: it comes back as the member that it was");
    screen.say(
        "  removed  the cluster has removed it (`pvecm delnode`): it comes back on its own, and can be joined anew",
    );
    screen.say("  seed     the other members are lost: it comes back on its own with all that the cluster knew");
    for _ in 0..TRIES {
        match screen.ask("cluster", "Which of the three? ", false) {
            Answer::Silence => return Ok(None),
            Answer::Line(line) => match line.trim() {
                "same" => return Ok(Some(Some(Membership::Same))),
                "removed" => return Ok(Some(Some(Membership::Removed))),
                "seed" => return Ok(Some(Some(Membership::Seed))),
                _ => screen.say("Type same, removed or seed. Nothing has been written."),
            },
        }
    }
    let message = "it is not known in which way this member of a cluster is to come back";
    Err(Stop::new(
        Code::Approval,
        message,
        "Ask whoever runs the cluster, look at `pvecm status` on another member, and start again.",
    ))
}

fn told(platform: &Platform) -> String {
    format!("the machine is the member {} of a cluster of {}", platform.node, platform.cluster.join(", "))
}
