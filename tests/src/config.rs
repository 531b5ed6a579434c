//! The configuration of a drill server: one variable of JSON, and a sidecar file next to the image that overrides it.
//!
//! Every generation inherits the variable. The sidecar belongs to the image, so that a deployment can
//! change what the next generation does without affecting the running one. Either can configure a single generation. Then
//! no image has to be deployed at the right moment.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The variable that holds a [`ServerConfig`] as JSON.
pub const VARIABLE: &str = "DRILL_SERVER";

/// The strategy that a drill server restarts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StrategyKind {
    /// Exec once; the child becomes the owner.
    #[default]
    Single,
    /// Exec twice; the pid stays the same.
    Double,
    /// The custom example: the old process stays as a warm standby until it is dismissed.
    Standby,
}

impl StrategyKind {
    /// Returns the name used in the configuration and in the names of drills.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Double => "double",
            Self::Standby => "standby",
        }
    }
}

impl std::fmt::Display for StrategyKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

/// The configuration of a drill server. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The strategy to restart with.
    pub strategy: StrategyKind,
    /// The sockets, each a name and an address: `127.0.0.1:0`, `[::1]:0`, `unix:/path`, or another kind, as listed
    /// in `bin/drill-server/sockets.rs`.
    pub listen: Vec<(String, String)>,
    /// The number of additional listeners, at abstract names, which are only carried over.
    pub extra: usize,
    /// The directory that a new image starts in; empty for the default.
    pub directory: PathBuf,
    /// The path of the harness's datagram socket; empty for none.
    pub events: PathBuf,
    /// How long a successor may take to send READY.
    pub ready_ms: u64,
    /// How long a drain may take.
    pub drain_ms: u64,
    /// The grace period of an idle keep-alive connection, after which it is asked to close.
    pub idle_ms: u64,
    /// How long long-lived connections may take after they were asked to close; 0 for half of the drain.
    pub long_lived_ms: u64,
    /// The time over which the requests to close are distributed.
    pub drain_jitter_ms: u64,
    /// What happens to connections that are left when a drain ends: `close` or `reset`; empty for nothing.
    pub unfinished: String,
    /// How many processes may drain at the same time; 0 for any number.
    pub max_draining: usize,
    /// The probation period: the least time after commit for which the predecessor stays the fallback.
    pub probation_ms: u64,
    /// How long SERVING may take after commit.
    pub serving_ms: u64,
    /// How long Double's re-exec'd parent may take to send READY.
    pub reexec_ms: u64,
    /// The time from ABORT, or the end of a channel, to SIGKILL.
    pub abort_timeout_ms: u64,
    /// Heap that is allocated and touched at start, in MiB.
    pub heap_mib: u64,
    /// The items of state that it saves, each a name and its size in bytes.
    pub state: Vec<(String, u64)>,
    /// The version of these items. The server can read version 1 only.
    pub state_version: u32,
    /// What goes wrong on purpose with the last item: `fail`, `panic`, `large` or `late`; empty for nothing.
    pub state_fault: String,
    /// How long saving the state may take.
    pub state_ms: u64,
    /// Whether idle connections are migrated to the successor.
    pub migrate: bool,
    /// What this image does wrong on purpose; empty for nothing.
    pub behavior: String,
    /// The fault to arm in the library, as `point: fault`; empty for none.
    pub fault: String,
    /// The fields that have other values in one generation.
    pub generations: BTreeMap<u64, Map<String, Value>>,
}

/// Deadlines that a drill does not set are longer than anything it waits for.
impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            strategy: StrategyKind::Single,
            listen: vec![("http".into(), "127.0.0.1:0".into())],
            extra: 0,
            directory: PathBuf::new(),
            events: PathBuf::new(),
            ready_ms: 60_000,
            drain_ms: 30_000,
            idle_ms: 2_000,
            long_lived_ms: 0,
            drain_jitter_ms: 0,
            unfinished: String::new(),
            max_draining: 0,
            probation_ms: 100,
            serving_ms: 60_000,
            reexec_ms: 60_000,
            abort_timeout_ms: 5_000,
            heap_mib: 0,
            state: Vec::new(),
            state_version: 1,
            state_fault: String::new(),
            state_ms: 60_000,
            migrate: false,
            behavior: String::new(),
            fault: String::new(),
            generations: BTreeMap::new(),
        }
    }
}

impl ServerConfig {
    /// Sets the field `name` to another value for images of this generation.
    pub fn in_generation(&mut self, generation: u64, name: &str, value: impl Into<Value>) {
        self.generations.entry(generation).or_default().insert(name.to_owned(), value.into());
    }

    /// Reads [`VARIABLE`] from the environment and the sidecar `<image path>.json`, if there is one.
    ///
    /// The image path is `argv[0]` as it was called (a symbolic link is not resolved). If that is a bare
    /// name, it is the running executable.
    ///
    /// # Errors
    /// - the variable or the sidecar holds anything else than the fields of a [`ServerConfig`];
    /// - the sidecar cannot be read.
    pub fn load() -> anyhow::Result<Self> {
        let variable = env::var_os(VARIABLE);
        let path = sidecar()?;
        let sidecar = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", path.display())),
        };
        Self::parse(variable, sidecar.as_deref(), generation())
    }

    /// Parses the variable. The fields of the sidecar override it, and those of `generation` override both. Pure.
    ///
    /// # Errors
    /// - either is not a JSON object with the fields of a [`ServerConfig`], or the variable is not UTF-8.
    pub fn parse(variable: Option<OsString>, sidecar: Option<&str>, generation: u64) -> anyhow::Result<Self> {
        let mut fields = match variable {
            None => Value::Object(serde_json::Map::new()),
            Some(text) => {
                let text = text
                    .into_string()
                    .map_err(|text| anyhow::anyhow!("{VARIABLE}: expected UTF-8, found {text:?}"))?;
                serde_json::from_str(&text)
                    .with_context(|| format!("{VARIABLE}: expected JSON, found `{text}`"))?
            }
        };
        if let Some(text) = sidecar {
            let over: serde_json::Map<String, Value> = serde_json::from_str(text)
                .with_context(|| format!("sidecar: expected a JSON object, found `{text}`"))?;
            let fields =
                fields.as_object_mut().with_context(|| format!("{VARIABLE}: expected a JSON object"))?;
            fields.extend(over);
        }
        let over = fields["generations"][generation.to_string()].as_object().cloned();
        if let (Some(over), Some(fields)) = (over, fields.as_object_mut()) {
            fields.extend(over);
        }
        serde_json::from_value(fields).with_context(|| format!("{VARIABLE}: expected the fields of a server"))
    }

    /// Returns the value for [`VARIABLE`].
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Returns [`ready_ms`](Self::ready_ms) as a duration.
    pub fn ready_timeout(&self) -> Duration {
        Duration::from_millis(self.ready_ms)
    }

    /// Returns [`drain_ms`](Self::drain_ms) as a duration.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }

    /// Returns [`idle_ms`](Self::idle_ms) as a duration.
    pub fn idle_grace(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }

    /// Returns [`long_lived_ms`](Self::long_lived_ms) as a duration.
    pub fn long_lived_timeout(&self) -> Duration {
        Duration::from_millis(if self.long_lived_ms == 0 { self.drain_ms / 2 } else { self.long_lived_ms })
    }

    /// Returns [`drain_jitter_ms`](Self::drain_jitter_ms) as a duration.
    pub fn drain_jitter(&self) -> Duration {
        Duration::from_millis(self.drain_jitter_ms)
    }

    /// Returns [`probation_ms`](Self::probation_ms) as a duration.
    pub fn probation(&self) -> Duration {
        Duration::from_millis(self.probation_ms)
    }

    /// Returns [`serving_ms`](Self::serving_ms) as a duration.
    pub fn serving_timeout(&self) -> Duration {
        Duration::from_millis(self.serving_ms)
    }

    /// Returns [`reexec_ms`](Self::reexec_ms) as a duration.
    pub fn reexec_timeout(&self) -> Duration {
        Duration::from_millis(self.reexec_ms)
    }

    /// Returns [`state_ms`](Self::state_ms) as a duration.
    pub fn state_timeout(&self) -> Duration {
        Duration::from_millis(self.state_ms)
    }

    /// Returns [`abort_timeout_ms`](Self::abort_timeout_ms) as a duration.
    pub fn abort_timeout(&self) -> Duration {
        Duration::from_millis(self.abort_timeout_ms)
    }
}

/// Returns the generation that this image will have, as its predecessor set it; the first one without a predecessor.
fn generation() -> u64 {
    let channel = env::var("GOAGAIN_CHANNEL").unwrap_or_default();
    channel.split(' ').find_map(|pair| pair.strip_prefix("generation=")?.parse().ok()).unwrap_or(1)
}

/// Returns the path of the sidecar of this process's image.
fn sidecar() -> anyhow::Result<PathBuf> {
    let called = env::args_os().next().map(PathBuf::from).filter(|path| path.components().count() > 1);
    let image = match called {
        Some(path) => path,
        None => env::current_exe().context("the path of the running image")?,
    };
    let mut name = image.into_os_string();
    name.push(".json");
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_gives_the_defaults() {
        assert_eq!(ServerConfig::parse(None, None, 1).unwrap(), ServerConfig::default());
    }

    #[test]
    fn a_configuration_survives_json() {
        let config = ServerConfig { strategy: StrategyKind::Double, heap_mib: 7, ..ServerConfig::default() };
        assert_eq!(ServerConfig::parse(Some(config.to_json().into()), None, 1).unwrap(), config);
    }

    #[test]
    fn a_sidecar_overrides_only_its_fields() {
        let text = r#"{"strategy":"standby","listen":[["http","unix:/x"]],"behavior":"panic"}"#;
        let config = ServerConfig::parse(Some(text.into()), Some(r#"{"behavior":""}"#), 1).unwrap();
        assert_eq!(config.strategy, StrategyKind::Standby);
        assert_eq!(config.listen, [("http".to_owned(), "unix:/x".to_owned())]);
        assert_eq!(config.behavior, "");
    }

    #[test]
    fn one_generation_can_be_configured_differently() {
        let mut config = ServerConfig { ready_ms: 1, ..ServerConfig::default() };
        config.in_generation(2, "ready_ms", 2);
        let of = |generation, sidecar| {
            ServerConfig::parse(Some(config.to_json().into()), sidecar, generation).unwrap().ready_ms
        };
        assert_eq!([of(1, None), of(2, None), of(3, None)], [1, 2, 1]);
        assert_eq!(of(2, Some(r#"{"generations":{}}"#)), 1);
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let error = ServerConfig::parse(None, Some(r#"{"behaviors":"panic"}"#), 1).unwrap_err();
        assert!(format!("{error:#}").contains("unknown field `behaviors`"), "{error:#}");
    }
}
