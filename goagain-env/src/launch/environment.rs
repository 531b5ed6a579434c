//! Selects the variables of this process that a new image gets.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::{Pid, VARIABLES};

/// systemd passes descriptors by these variables (`sd_listen_fds(3)`). They describe the numbers from 3 on, in one
/// process. Adopted descriptors are in the handoff, and those numbers can be anything in the new image.
const ACTIVATION: &[&str] = &["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID"];

/// These variables name the process that a supervisor started or watches.
const PIDS: &[&str] = &["MAINPID", "SYSTEMD_EXEC_PID", "WATCHDOG_PID"];

/// Returns the variables of `environment` for the image that process `own` starts, or becomes if it stays the
/// `same_process`.
///
/// A variable that names a process other than this one stays true in the new image, so it is kept.
pub(super) fn passed_on(
    environment: impl Iterator<Item = (OsString, OsString)>,
    own: Pid,
    same_process: bool,
) -> BTreeMap<OsString, OsString> {
    let own = own.to_string();
    let names = |names: &[&str], name: &OsString| names.iter().any(|each| name == each);
    let is_passed_on = |(name, value): &(OsString, OsString)| {
        let names_this_process = names(PIDS, name) && value.as_os_str() == own.as_str();
        !names(VARIABLES, name) && !names(ACTIVATION, name) && (same_process || !names_this_process)
    };
    environment.filter(is_passed_on).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(own: i32, same_process: bool, environment: &[(&str, &str)]) -> Vec<String> {
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        let passed_on = passed_on(environment, Pid::new(own).unwrap(), same_process);
        passed_on.into_keys().map(|name| name.into_string().unwrap()).collect()
    }

    const SYSTEMD: &[(&str, &str)] = &[
        ("INVOCATION_ID", "0c2d"),
        ("JOURNAL_STREAM", "8:4711"),
        ("LISTEN_FDNAMES", "http"),
        ("LISTEN_FDS", "1"),
        ("LISTEN_PID", "77"),
        ("LISTEN_PIDFDID", "5"),
        ("MAINPID", "77"),
        ("NOTIFY_SOCKET", "/run/systemd/notify"),
        ("PATH", "/bin"),
        ("SYSTEMD_EXEC_PID", "77"),
        ("WATCHDOG_PID", "77"),
        ("WATCHDOG_USEC", "30000000"),
    ];

    #[test]
    fn a_new_process_does_not_get_variables_that_name_this_one() {
        let kept = ["INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET", "PATH", "WATCHDOG_USEC"];
        assert_eq!(of(77, false, SYSTEMD), kept);
    }

    #[test]
    fn an_exec_in_place_keeps_variables_that_name_this_process() {
        let kept = [
            "INVOCATION_ID",
            "JOURNAL_STREAM",
            "MAINPID",
            "NOTIFY_SOCKET",
            "PATH",
            "SYSTEMD_EXEC_PID",
            "WATCHDOG_PID",
            "WATCHDOG_USEC",
        ];
        assert_eq!(of(77, true, SYSTEMD), kept);
    }

    #[test]
    fn variables_that_name_another_process_are_kept() {
        assert_eq!(of(78, false, &[("WATCHDOG_PID", "77"), ("LISTEN_PID", "77")]), ["WATCHDOG_PID"]);
    }

    #[test]
    fn the_handoff_is_not_passed_on() {
        let ours = VARIABLES.iter().map(|name| (*name, "1")).collect::<Vec<_>>();
        assert_eq!(of(77, true, &ours), Vec::<String>::new());
    }
}
