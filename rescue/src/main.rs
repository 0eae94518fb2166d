//! `lifeboat-rescue`: PID 1 of the stick.
//!
//! The stages are [`run`]'s, one file each: [`wake`], [`trust`], [`unlock`], [`planning`], [`consent`], [`apply`], [`restore`], [`adapt`],
//! [`prove`]. They talk to a [`screen`] and end in a [`stop::Stop`] or in the machine's [`kernel::End`]. PID 1 must not
//! end and must not die: a panic is caught and reported like any other failure, and the machine powers off; it never starts over by itself.
//!
//! Children that lose their parent are not reaped: a restore starts a few dozen, and waiting for all of them would take the exit
//! codes of those that are being waited for.

mod adapt;
mod apply;
mod blocks;
mod btrfs;
mod cards;
mod consent;
mod console;
mod containers;
mod disks;
mod dos;
mod events;
mod extra;
mod failing;
#[cfg(test)]
mod features_tests;
mod guard;
mod hardware;
mod journal;
mod kernel;
mod keyboard;
mod line;
mod membership;
mod modules;
mod offline;
mod planning;
mod prove;
mod report;
mod restore;
mod resume;
mod run;
mod saved;
mod screen;
mod signature;
mod stick;
mod stop;
mod system;
mod table;
mod trust;
mod unlock;
mod wake;
mod zfs;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use kernel::End;
use screen::Screen;
use stop::{Code, DiskState, Stop};

/// How long nobody has to answer before the answer is no.
const SILENCE: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let mut args = std::env::args();
    let name = args.next().unwrap_or_default();
    if name.rsplit('/').next() == Some("modprobe") {
        return ExitCode::from(modules::as_modprobe(args));
    }
    if std::process::id() != 1 {
        println!(
            "lifeboat-rescue {}: the first program of a Lifeboat stick. Boot the stick to use it.",
            env!("CARGO_PKG_VERSION")
        );
        return ExitCode::from(2);
    }
    let error = pid1().now();
    loop {
        // The kernel refused to end the machine; PID 1 must not return.
        eprintln!("The machine cannot be switched off from here ({error}). Hold its power button.");
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn pid1() -> End {
    if let Err(error) = kernel::mount_own() {
        eprintln!("lifeboat-rescue: {error}");
    }
    kernel::quiet();
    let silence = kernel::parameter(&kernel::cmdline(), "lifeboat.silence").and_then(|text| text.parse().ok());
    let screen = Screen::open(silence.map_or(SILENCE, Duration::from_secs));
    // The place of a panic is known to the hook only.
    let place: &'static Mutex<Option<String>> = Box::leak(Box::default());
    std::panic::set_hook(Box::new(move |info| {
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.to_string());
    }));
    let end = match catch_unwind(AssertUnwindSafe(|| run::run(&screen))) {
        Ok(Ok(end)) => end,
        Ok(Err(stop)) => failed(&screen, &stop),
        Err(_) => {
            let place = place.lock().unwrap_or_else(PoisonError::into_inner).take();
            let message = format!("the rescue program has a mistake: {}", place.as_deref().unwrap_or("no place known"));
            failed(&screen, &Stop::new(Code::Failed, message, "Report these lines. Start the restore again."))
        }
    };
    screen.event(end.word(), json!({"uptime": kernel::uptime()}));
    screen.say(match end {
        End::Reboot => "Restarting.",
        End::PowerOff => "Powering off.",
    });
    screen.flush();
    rustix::fs::sync();
    end
}

/// Says what failed, in which state the disks are and what to do next; then waits for somebody, and powers off.
fn failed(screen: &Screen, stop: &Stop) -> End {
    let state = DiskState::now();
    if state != DiskState::Untouched {
        journal::note_failure(&stop.message);
    }
    let refusal = state == DiskState::Untouched && stop.is_refusal();
    screen.say(&format!("\n{}: {}", if refusal { "REFUSED" } else { "FAILED" }, stop.message));
    screen.say(state.sentence());
    screen.say(&stop.next);
    let name = if refusal { "refused" } else { "failed" };
    screen.event(
        name,
        json!({
            "code": stop.code as u8, "message": stop.message, "disk_state": state.word(), "next": stop.next,
        }),
    );
    screen.flush();
    let seconds = screen.silence.as_secs();
    let prompt = format!("Enter powers off, s is a shell. Without a key: power off in {seconds} seconds.");
    screen.wait_or_shell(&prompt, screen.silence);
    End::PowerOff
}
