//! What a service uses at a given moment, to check that it uses no more after many restarts than after the first.

use std::fs;

use anyhow::{Context as _, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use crate::procfs;
use crate::service::Service;

/// What the owner uses, and how many processes the service has. Dead processes that are not reaped are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The owner's resident memory, in KiB (VmRSS of `proc_pid_status(5)`).
    pub resident_kib: u64,
    /// The owner's descriptors.
    pub descriptors: u64,
    /// The owner's threads.
    pub threads: u64,
    /// The processes of the service.
    pub processes: u64,
}

impl Usage {
    /// Measures what `service` uses when its owner has done everything that was requested.
    ///
    /// # Errors
    /// - there is no owner, or it is gone.
    pub fn by(service: &Service) -> anyhow::Result<Self> {
        service.quiesce()?;
        let owner = service.owner()?;
        let status = fs::read_to_string(format!("/proc/{owner}/status"))
            .with_context(|| format!("{owner}: status"))?;
        let zombies = procfs::all().into_iter().filter(|stat| {
            let ours = stat.parent == owner || stat.parent == std::process::id() as i32;
            stat.state == 'Z' && ours && service.pids().contains(&stat.pid)
        });
        Ok(Self {
            resident_kib: field(&status, "VmRSS")?,
            descriptors: service.descriptors(owner)?.len() as u64,
            threads: field(&status, "Threads")?,
            processes: (service.living().len() + zombies.count()) as u64,
        })
    }
}

/// Returns the number in the line `name:   123 kB`.
fn field(status: &str, name: &str) -> anyhow::Result<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    match value.and_then(|value| value.split_whitespace().next()?.parse().ok()) {
        Some(number) => Ok(number),
        None => bail!("{name}: expected a number in the status of a process"),
    }
}

/// Raises the harness's limit of descriptors to what the OS allows (`setrlimit(2)`). The harness keeps a pidfd for every process
/// that it has seen. The programs that it starts afterwards have the same limit.
///
/// # Errors
/// - the OS refuses.
pub fn raise_descriptor_limit() -> anyhow::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("RLIMIT_NOFILE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_by_name() {
        let status = "Name:\tx\nVmRSS:\t    5124 kB\nThreads:\t1\n";
        assert_eq!(field(status, "VmRSS").unwrap(), 5124);
        assert_eq!(field(status, "Threads").unwrap(), 1);
        assert!(field(status, "Vm").is_err());
    }
}
