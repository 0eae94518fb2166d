//! A machine that runs: waiting for it, talking to it, ending it.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::{Answer, Assembly, request};
use crate::args::{OVMF_CODE, OVMF_VARS, SECURE_CODE, SECURE_VARS, TPM, arguments, device_id};
use crate::error::VmError;
use crate::machine::{Firmware, Machine};
use crate::qmp::Qmp;
use crate::wire::{Pending, Wire, find, plain};

/// QEMU connects to its sockets before it does anything else.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How often a waiter looks whether QEMU still runs.
const LOOK: Duration = Duration::from_millis(200);
/// Lines of a log that an error shows.
const TAIL_LINES: usize = 25;

/// A running machine. It is killed when this value is dropped or when the thread that started it ends.
#[derive(Debug)]
pub struct Running {
    machine: Machine,
    child: exec::Child,
    tpm: Option<exec::Child>,
    wire: Arc<Wire>,
    console: UnixStream,
    agent: UnixStream,
    qmp: Qmp,
    sockets: PathBuf,
    started: Instant,
}

impl Machine {
    /// Starts the machine.
    ///
    /// # Errors
    /// When QEMU or its firmware is missing, or QEMU refuses the machine.
    pub fn start(self) -> Result<Running, VmError> {
        std::fs::create_dir_all(&self.logs).map_err(VmError::file("making folder", &self.logs))?;
        match &self.firmware {
            Firmware::Uefi { vars } => fresh_variables(OVMF_CODE, OVMF_VARS, vars)?,
            Firmware::SecureBoot { vars } => fresh_variables(SECURE_CODE, SECURE_VARS, vars)?,
            Firmware::Bios | Firmware::Kernel { .. } => {}
        }
        let sockets = socket_folder()?;
        let listen = |name: &str| {
            let path = sockets.join(name);
            let listener = UnixListener::bind(&path).map_err(VmError::file("making socket", &path))?;
            listener.set_nonblocking(true).map_err(VmError::file("making socket", &path))?;
            Ok::<_, VmError>(listener)
        };
        let listeners = [listen("serial")?, listen("events")?, listen("agent")?, listen("qmp")?];
        let tpm = start_tpm(&self, &sockets)?;
        let started = Instant::now();
        let command = exec::Command::new("qemu-system-x86_64").args(arguments(&self, &sockets));
        let child = command.spawn(&self.qemu_log())?;
        let mut streams = Vec::new();
        for listener in &listeners {
            streams.push(accept(listener, &child, &self)?);
        }
        let [console, events, agent, qmp]: [UnixStream; 4] =
            streams.try_into().map_err(|_| VmError::io("connecting QEMU")(std::io::ErrorKind::NotConnected.into()))?;
        let wire = Arc::new(Wire::default());
        let copy = |stream: &UnixStream| stream.try_clone().map_err(VmError::io("sharing a socket"));
        wire.read_console(copy(&console)?);
        wire.read_agent(copy(&agent)?);
        wire.read_events(events, &self.event_log()).map_err(VmError::file("writing", &self.event_log()))?;
        let qmp = Qmp::new(qmp).map_err(VmError::io("QEMU's command port"))?;
        Ok(Running { machine: self, child, tpm, wire, console, agent, qmp, sockets, started })
    }
}

impl Running {
    /// Time since power on.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The newest line on the console, without control bytes.
    #[must_use]
    pub fn newest_line(&self) -> String {
        self.wire.lock().newest.clone()
    }

    /// From now on `sign` on the console does not mean that the guest is lost.
    pub fn allow(&self, sign: &str) {
        let mut pending = self.wire.lock();
        pending.allowed.push(sign.to_owned());
        if pending.lost.as_deref() == Some(sign) {
            pending.lost = None;
        }
    }

    /// Waits until the console shows `text`; the search goes on behind the last match.
    ///
    /// # Errors
    /// When the deadline passes, the guest is lost or QEMU ends.
    pub fn expect(&mut self, text: &str, limit: Duration) -> Result<(), VmError> {
        self.wait_for(&format!("\"{text}\" on the console"), limit, |pending| {
            let at = find(&pending.console, text.as_bytes())?;
            pending.console.drain(..at + text.len());
            Some(())
        })
    }

    /// Types `text` on the serial console.
    ///
    /// # Errors
    /// When QEMU has ended.
    pub fn send(&mut self, text: &str) -> Result<(), VmError> {
        self.console.write_all(text.as_bytes()).map_err(VmError::io("typing on the serial console"))
    }

    /// Waits for the next event, whatever it is.
    ///
    /// # Errors
    /// When the deadline passes, the guest is lost or QEMU ends.
    pub fn event(&mut self, limit: Duration) -> Result<Value, VmError> {
        self.wait_for("event", limit, |pending| pending.events.pop_front())
    }

    /// Waits until the guest's agent says that it is there.
    ///
    /// # Errors
    /// When the deadline passes, the guest is lost or QEMU ends.
    pub fn await_agent(&mut self, limit: Duration) -> Result<(), VmError> {
        self.wait_for("word from the guest's agent", limit, |pending| {
            let at = pending.agent.iter().position(|line| line == b"hello")?;
            pending.agent.drain(..=at);
            Some(())
        })
    }

    /// Runs a shell command in the guest and waits for its end.
    ///
    /// # Errors
    /// When the deadline passes, the guest is lost or QEMU ends; not when the command fails.
    pub fn run(&mut self, command: &str, limit: Duration) -> Result<Answer, VmError> {
        self.run_watched(command, limit, |_| ())
    }

    /// As [`run`](Self::run), and gives each line of output to `watch` as it comes.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_watched(
        &mut self,
        command: &str,
        limit: Duration,
        mut watch: impl FnMut(&str),
    ) -> Result<Answer, VmError> {
        self.wire.lock().agent.clear();
        self.agent.write_all(request(command).as_bytes()).map_err(VmError::io("asking the guest's agent"))?;
        let mut assembly = Assembly::default();
        self.wait_for(&format!("end of `{command}` in the guest"), limit, |pending| {
            while let Some(line) = pending.agent.pop_front() {
                if let Some(answer) = assembly.line(&line) {
                    return Some(answer);
                }
                watch(&plain(line.strip_prefix(b"o:").unwrap_or(&line)));
            }
            None
        })
    }

    /// Runs a shell command in the guest and gives its output; a failure of the command is an error.
    ///
    /// # Errors
    /// As [`run`](Self::run), and when the command ends with another status than 0.
    pub fn output(&mut self, command: &str, limit: Duration) -> Result<String, VmError> {
        let answer = self.run(command, limit)?;
        if answer.status == 0 {
            return Ok(answer.text());
        }
        let (machine, command) = (self.machine.name.clone(), command.to_owned());
        Err(VmError::Command { machine, command, status: answer.status, output: tail(&answer.text()) })
    }

    /// Writes a picture of the screen to `file`, as PNG. The machine must have a screen.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn picture(&mut self, file: &Path) -> Result<(), VmError> {
        self.qmp("screendump", &json!({"filename": file, "format": "png"}))
    }

    /// Pulls out a disk, counted from 0 in the order in which disks were added: a USB stick that somebody stumbles over.
    ///
    /// # Errors
    /// When QEMU refuses: its bus has no hot plug.
    pub fn unplug(&mut self, disk: usize) -> Result<(), VmError> {
        self.qmp("device_del", &json!({"id": device_id(disk)}))
    }

    /// Waits until the guest has switched itself off, or has restarted, which ends QEMU as well.
    ///
    /// # Errors
    /// When the deadline passes or the guest is lost.
    pub fn await_end(&mut self, limit: Duration) -> Result<(), VmError> {
        match self.wait_for::<()>("end of the machine", limit, |_| None) {
            Err(VmError::Ended { status: 0, .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    /// Pulls the plug: what the guest has written to its disks is in the image files.
    ///
    /// # Errors
    /// When QEMU does not end.
    pub fn quit(mut self) -> Result<(), VmError> {
        self.qmp("quit", &json!({}))?;
        self.await_end(Duration::from_secs(60))
    }

    fn qmp(&mut self, command: &str, arguments: &Value) -> Result<(), VmError> {
        self.qmp.command(command, arguments).map(drop).map_err(|error| VmError::Qmp {
            machine: self.machine.name.clone(),
            command: command.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Waits until `take` finds what it seeks among the pending things. What is already there counts before any
    /// trouble does: a guest that says its verdict and ends is not one that ended too early.
    fn wait_for<T>(
        &mut self,
        awaited: &str,
        limit: Duration,
        mut take: impl FnMut(&mut Pending) -> Option<T>,
    ) -> Result<T, VmError> {
        let deadline = Instant::now() + limit;
        let mut ended = None;
        let mut pending = self.wire.lock();
        loop {
            if let Some(found) = take(&mut pending) {
                return Ok(found);
            }
            let lost = pending.lost.clone();
            if let Some(sign) = lost {
                drop(pending);
                return Err(self.trouble(awaited, |machine, awaited, log, tail| VmError::Lost {
                    machine,
                    sign,
                    awaited,
                    log,
                    tail,
                }));
            }
            // The readers get one more look after QEMU's end: its last words may still be in the sockets.
            if let Some(status) = ended {
                drop(pending);
                return Err(self.trouble(awaited, |machine, awaited, log, tail| VmError::Ended {
                    machine,
                    status,
                    awaited,
                    log,
                    tail,
                }));
            }
            if Instant::now() >= deadline {
                drop(pending);
                return Err(self.trouble(awaited, |machine, awaited, log, tail| VmError::Late {
                    machine,
                    awaited,
                    limit,
                    log,
                    tail,
                }));
            }
            pending = self.wire.wait(pending, LOOK.min(deadline.saturating_duration_since(Instant::now())));
            ended = self.child.ended()?;
            if ended.is_some() {
                pending = self.wire.wait(pending, LOOK);
            }
        }
    }

    fn trouble(&self, awaited: &str, make: impl FnOnce(String, String, PathBuf, String) -> VmError) -> VmError {
        let log = self.machine.console_log();
        let mut text = tail(&plain(&std::fs::read(&log).unwrap_or_default()));
        let qemu = tail(&std::fs::read_to_string(self.machine.qemu_log()).unwrap_or_default());
        if !qemu.is_empty() {
            text = format!("{text}\nQEMU: {qemu}");
        }
        make(self.machine.name.clone(), awaited.to_owned(), log, text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill();
        self.tpm.iter().for_each(exec::Child::kill);
        // Sockets in the temporary folder; nothing depends on their going.
        let _ = std::fs::remove_dir_all(&self.sockets);
    }
}

/// Starts the program that is a machine's TPM, and waits until it listens.
fn start_tpm(machine: &Machine, sockets: &Path) -> Result<Option<exec::Child>, VmError> {
    let Some(state) = &machine.tpm else { return Ok(None) };
    std::fs::create_dir_all(state).map_err(VmError::file("making folder", state))?;
    let socket = sockets.join(TPM);
    let command = exec::Command::new("swtpm").args(["socket", "--tpm2", "--terminate", "--tpmstate"]);
    let command = command.arg(format!("dir={}", state.display())).arg("--ctrl");
    let child = command.arg(format!("type=unixio,path={}", socket.display())).spawn(&machine.tpm_log())?;
    let deadline = Instant::now() + START_LIMIT;
    while !socket.exists() {
        if Instant::now() > deadline {
            return Err(VmError::file("waiting for the TPM's socket", &socket)(std::io::ErrorKind::TimedOut.into()));
        }
        std::thread::sleep(LOOK);
    }
    Ok(Some(child))
}

/// A new folder with a short name: the path of a socket has 108 bytes at most.
fn socket_folder() -> Result<PathBuf, VmError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("lifeboat-vm-{}-{number}", std::process::id()));
    // What is there by that name was left by a dead process with our number.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).map_err(VmError::file("making folder", &folder))?;
    Ok(folder)
}

fn fresh_variables(code: &str, shipped: &str, vars: &Path) -> Result<(), VmError> {
    for file in [code, shipped] {
        if !Path::new(file).exists() {
            return Err(VmError::NoFirmware(file.into()));
        }
    }
    if !vars.exists() {
        std::fs::copy(shipped, vars).map_err(VmError::file("writing", vars))?;
    }
    Ok(())
}

fn accept(listener: &UnixListener, child: &exec::Child, machine: &Machine) -> Result<UnixStream, VmError> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(VmError::io("connecting QEMU"))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(VmError::io("connecting QEMU")(error)),
        }
        let (name, log) = (machine.name.clone(), machine.qemu_log());
        let awaited = "connection to QEMU".to_owned();
        let words = || tail(&std::fs::read_to_string(machine.qemu_log()).unwrap_or_default());
        if let Some(status) = child.ended()? {
            return Err(VmError::Ended { machine: name, status, awaited, log, tail: words() });
        }
        if Instant::now() >= deadline {
            return Err(VmError::Late { machine: name, awaited, limit: START_LIMIT, log, tail: words() });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
