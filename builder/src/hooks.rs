//! What the configuration has run around a capture: `before` in order, `still` and `after` in reverse order, `failed` when it failed.
//!
//! What a command says goes to standard error, for whoever runs the backup. Manifest and audit log, which lie in clear, have its
//! name and how it ended: neither its words, which may hold a password, nor its output, which may hold anything.

use std::cell::{Cell, RefCell};

use exec::ExecError;
use manifest::Problem;

use crate::commands::Context;
use crate::config::{Hook, Line, OnFailure};
use crate::exit::{Exit, refusal};
use crate::interrupt::{self, Flag};

/// The hooks of one run, and which of them have begun.
pub struct Hooks<'a> {
    hooks: &'a [Hook],
    environment: Vec<(&'static str, String)>,
    stop: Option<Flag>,
    /// Those whose `before` is done, and whose `after` is owed.
    begun: RefCell<Vec<&'a Hook>>,
    /// Their `still` is done.
    stood: Cell<bool>,
    /// Those of which it failed.
    late: RefCell<Vec<(Problem, OnFailure)>>,
}

/// What the `still` and `after` commands did.
pub struct Ending {
    /// Those that failed.
    pub problems: Vec<Problem>,
    /// How the run ends, all in all.
    pub exit: Exit,
}

impl Ending {
    fn add(&mut self, problem: Problem, on: OnFailure) {
        self.problems.push(problem);
        self.exit = match (self.exit, on) {
            (Exit::Done | Exit::Warnings, OnFailure::Fail) => Exit::Failed,
            (Exit::Done, OnFailure::Warn) => Exit::Warnings,
            (exit, _) => exit,
        };
    }
}

impl<'a> Hooks<'a> {
    /// The hooks of a run into the vault at `place`, none where they are switched `off`. From here on signals are taken note of.
    ///
    /// # Errors
    /// When the host has no name, or signals cannot be taken note of.
    pub fn new(context: &'a Context, place: String, off: bool) -> anyhow::Result<Self> {
        let host = context.config.host_name()?.to_string();
        Ok(Self {
            hooks: if off { &[] } else { &context.config.hook },
            environment: vec![("LIFEBOAT_HOST", host), ("LIFEBOAT_VAULT", place)],
            stop: Some(interrupt::watch()?),
            begun: RefCell::default(),
            stood: Cell::default(),
            late: RefCell::default(),
        })
    }

    /// Becomes true when the run is to end early.
    pub fn stop(&self) -> Option<&Flag> {
        self.stop.as_ref()
    }

    /// Runs `before` of all. What failed and may fail.
    ///
    /// # Errors
    /// When one failed that may not: then nothing is to be captured.
    pub fn before(&self) -> anyhow::Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for hook in self.hooks {
            let Some(line) = &hook.before else {
                self.begun.borrow_mut().push(hook);
                continue;
            };
            match self.run(hook, "before", line, &[]) {
                Ok(()) => self.begun.borrow_mut().push(hook),
                Err(error) if matches!(error.failure, exec::Failure::Stopped) => {
                    return Err(refusal(Exit::Failed, "interrupted by a signal; nothing was captured"));
                }
                Err(error) if hook.on == OnFailure::Fail => {
                    return Err(refusal(Exit::Failed, format!("{error}; nothing was captured")));
                }
                Err(error) => {
                    eprintln!("warning: {error}; the capture goes on");
                    problems.push(problem(&error));
                }
            }
        }
        Ok(problems)
    }

    /// What is captured changes no more for this run: it stands still, or all of it is read. Runs `still` of all that have begun, once.
    pub fn still(&self) {
        if self.stood.replace(true) {
            return;
        }
        for hook in self.begun.borrow().iter().rev() {
            let Some(line) = &hook.still else { continue };
            if let Err(error) = self.run(hook, "still", line, &[]) {
                eprintln!("warning: {error}");
                self.late.borrow_mut().push((problem(&error), hook.on));
            }
        }
    }

    /// Runs what is owed at the end of a run that gave `snapshot` and ends with `exit`, and then `failed` when it failed.
    pub fn end(&self, snapshot: Option<u64>, exit: Exit) -> Ending {
        let mut environment = vec![("LIFEBOAT_EXIT", (exit as u8).to_string())];
        environment.extend(snapshot.map(|serial| ("LIFEBOAT_SNAPSHOT", serial.to_string())));
        let mut ending = Ending { problems: Vec::new(), exit };
        self.still();
        for (problem, on) in self.late.take() {
            ending.add(problem, on);
        }
        for hook in self.begun.take().into_iter().rev() {
            let Some(line) = &hook.after else { continue };
            if let Err(error) = self.run(hook, "after", line, &environment) {
                eprintln!("warning: {error}");
                ending.add(problem(&error), hook.on);
            }
        }
        let failed = self.hooks.iter().filter_map(|hook| Some((hook, hook.failed.as_ref()?)));
        for (hook, line) in failed.filter(|_| !matches!(exit, Exit::Done | Exit::Warnings)) {
            if let Err(error) = self.run(hook, "failed", line, &environment) {
                eprintln!("warning: {error}");
            }
        }
        ending
    }

    fn run(
        &self,
        hook: &Hook,
        phase: &'static str,
        line: &Line,
        environment: &[(&'static str, String)],
    ) -> Result<(), ExecError> {
        let name = format!("hook {}: {phase}", hook.name);
        let known = self.environment.iter().chain(environment);
        let mut command = line.command(&name).limit(hook.limit.0).env("LIFEBOAT_PHASE", phase);
        command = known.fold(command, |command, (name, value)| command.env(name, value));
        // What puts things back in order is not stopped by what stops the run.
        command.group(self.stop.clone().filter(|_| phase == "before"))?.wait()
    }
}

fn problem(error: &ExecError) -> Problem {
    Problem { object: error.command.clone(), what: error.failure.without_words() }
}
