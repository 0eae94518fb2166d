//! The rows of what is signed beside the snapshots: the signature of `vault.json`, and the audit log. The host remembers the log's
//! head in each place, so that a log that was cut off shows.

use super::action::{ALL, Action, swap};
use super::lab::{HOST, Lab, Left};
use super::{REFUSED, WHOLE, fault};

/// A cell whose log the host knows in its place.
fn known_cell() -> Lab {
    let lab = Lab::cell();
    assert!(lab.run(&["audit", "accept", "--vault", "vault", "--yes"]).status.success());
    lab
}

#[test]
fn damage_to_the_signature_of_vault_json_is_named_and_costs_nothing() {
    for action in ALL {
        let lab = Lab::cell();
        action.apply(&lab.object("vault.json.sig"));
        let expected = fault(REFUSED, "vault.json", [(Left::All, REFUSED); 2]);
        lab.check(&format!("{action:?} vault.json.sig"), &expected);
    }
}

#[test]
fn damage_to_the_audit_log_is_named_and_costs_nothing() {
    let log = format!("audit/{HOST}.log");
    for action in ALL {
        let lab = known_cell();
        action.apply(&lab.object(&log));
        // What is left of a log that was cut holds, but it is not the one that the host knows.
        let verify = if matches!(action, Action::Delete | Action::Truncate) { 22 } else { REFUSED };
        lab.check(&format!("{action:?} {log}"), &fault(verify, &log, [WHOLE, WHOLE]));
    }
    let lab = known_cell();
    assert!(lab.run(&["init", "--vault", "other", "--identity", "id2.txt", "--yes"]).status.success());
    swap(&lab.object(&log), &lab.path(&format!("other/audit/{HOST}.log")));
    lab.check("swap audit log", &fault(22, &log, [WHOLE, WHOLE]));
}
