//! Clients of other projects: curl, and nghttp2's.

use std::io::Read as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::drills::Context;

/// The examples' certificate.
const CERTIFICATE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../goagain/examples/serve/tls/certificate.pem");

/// Returns whether this program can be executed. If not, that is noted. In CI it is an error.
pub(super) fn is_there(context: &Context, program: &str, package: &str) -> anyhow::Result<bool> {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Ok(true);
    }
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        bail!("{program}: expected it on PATH; install the package {package}");
    }
    context.note(format!("left out: {program} is not installed (package {package})"));
    Ok(false)
}

/// Returns curl, silent except for errors, without its configuration file.
pub(super) fn curl(socket: &[String]) -> Command {
    let mut curl = Command::new("curl");
    curl.args([
        "-q",
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "60",
        "--cacert",
        CERTIFICATE,
    ]);
    curl.args(socket).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    curl
}

/// Returns nghttp, which prints only the body, and receives no more than 1 MiB at a time.
pub(super) fn nghttp() -> Command {
    let mut nghttp = Command::new("nghttp");
    nghttp.args(["--no-verify-peer", "--timeout=60", "--window-bits=20", "--connection-window-bits=20"]);
    nghttp.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    nghttp
}

/// A running client. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Running(Child);

impl Running {
    pub(super) fn new(child: Child) -> Running {
        Running(child)
    }

    pub(super) fn stdin(&mut self) -> anyhow::Result<ChildStdin> {
        self.0.stdin.take().context("stdin: expected a pipe")
    }

    pub(super) fn stdout(&mut self) -> anyhow::Result<&mut ChildStdout> {
        self.0.stdout.as_mut().context("stdout: expected a pipe")
    }

    /// Waits for its end, after everything that it writes was read.
    pub(super) fn succeeds(mut self) -> anyhow::Result<()> {
        let mut said = String::new();
        self.0.stderr.take().context("stderr: expected a pipe")?.read_to_string(&mut said)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "{status}: {}", said.trim());
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
