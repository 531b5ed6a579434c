//! The end of a service: the regular one, or by force.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::ensure;
use nix::sys::signal::Signal;

use super::{DEADLINE, Service};
use crate::process::Process;
use crate::procfs;

/// The file in the service's folder that holds the standard error of all its generations.
pub(super) const STDERR: &str = "stderr";

impl Service {
    /// Ends the service gracefully (QUIT to the owner) and checks what is left, as [`end_by`](Self::end_by) does.
    ///
    /// # Errors
    /// - as [`end_by`](Self::end_by).
    pub fn end(self) -> anyhow::Result<()> {
        self.end_by(Signal::SIGQUIT)
    }

    /// Sends the owner a signal that ends the service, waits until all of its processes are gone, and checks that none is
    /// left, including zombies.
    ///
    /// # Errors
    /// - a process is still alive, or a zombie or an unknown process is left.
    pub fn end_by(self, signal: Signal) -> anyhow::Result<()> {
        self.signal(self.owner()?, signal)?;
        self.ended()
    }

    /// Waits until every process is gone, without sending a signal, and checks what is left.
    ///
    /// # Errors
    /// - as [`end_by`](Self::end_by).
    pub fn ended(mut self) -> anyhow::Result<()> {
        for pid in self.pids() {
            self.await_gone(pid)?;
        }
        let known = self.pids();
        let all = procfs::all();
        let zombies: Vec<i32> = all
            .iter()
            .filter(|stat| stat.state == 'Z' && known.contains(&stat.pid))
            .map(|stat| stat.pid)
            .collect();
        ensure!(zombies.is_empty(), "zombies: expected none, found {zombies:?}");
        let left = self.living();
        ensure!(left.is_empty(), "processes: expected none left, found {left:?}");
        self.ended = true;
        Ok(())
    }

    /// Kills and reaps everything at once, and returns everything that is known.
    pub fn give_up(mut self) -> String {
        let story = self.story(0);
        self.kill_all();
        self.ended = true;
        story
    }

    /// Returns what the servers have written to standard error.
    pub fn stderr(&self) -> String {
        fs::read(self.folder.path().join(STDERR))
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }

    /// Returns the events from number `from` on, one in each line, and the standard error, for the message of a failure.
    pub fn story(&self, from: usize) -> String {
        let events = self.inbox.events(from);
        let begin = events.first().map_or(0, |event| event.t);
        let mut story = format!("{} events:\n", events.len());
        for event in events {
            let ms = event.t.saturating_sub(begin) as f64 / 1e6;
            // Writing to a string cannot fail.
            let _ = writeln!(
                story,
                "  {ms:9.3} ms pid {} generation {} attempt {} {} {}",
                event.pid, event.generation, event.attempt, event.name, event.detail
            );
        }
        let stderr = self.stderr();
        if !stderr.is_empty() {
            let _ = writeln!(story, "stderr:\n{stderr}");
        }
        story
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !self.ended {
            // A drill that fails shows everything it knows. An error of standard error cannot be reported.
            let _ = write!(io::stderr(), "not ended regularly: {}", self.story(0));
            self.kill_all();
        }
    }
}

impl Service {
    /// Kills everything that runs from the service's folder, and reaps its own children.
    fn kill_all(&self) {
        let processes = self.inbox.processes();
        loop {
            let running = procfs::running_in(self.folder.path());
            let mut killed = false;
            for pid in running {
                let Ok(Some(process)) = Process::open(pid) else { continue };
                // Checked again now that the pidfd refers to it: another process may have got the pid.
                if procfs::running_in(self.folder.path()).contains(&pid) {
                    killed |= process.signal(Signal::SIGKILL).unwrap_or(false);
                    let _ = process.await_death(DEADLINE);
                    let _ = process.reap();
                }
            }
            // Checked once more, for processes that were spawned meanwhile.
            if !killed {
                break;
            }
        }
        for process in processes {
            if process.await_death(Duration::ZERO).unwrap_or(false) {
                let _ = process.reap();
            }
        }
    }
}
