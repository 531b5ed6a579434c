//! What is injected at a point.

use nix::errno::Errno;

/// How long a slow step takes, in milliseconds: much less than every deadline of a cell.
const SLOW_MS: u16 = 80;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `exit(1)`.
    Exit,
    /// A panic.
    Panic,
    /// SIGABRT.
    Abort,
    /// SIGKILL.
    Kill,
    /// SIGSTOP: a hang.
    Stop,
    /// A slow step.
    Slow,
    /// Half a message.
    Torn,
    /// A message of an unknown kind.
    Unknown,
    /// A message of another version of the protocol.
    Version,
    /// The system call fails with this error.
    Error(Errno),
}

/// What can be injected at any step.
pub const STEPS: &[Kind] = &[Kind::Exit, Kind::Panic, Kind::Abort, Kind::Kill, Kind::Stop, Kind::Slow];

/// What can be injected where a message is sent.
pub const MESSAGES: &[Kind] = &[Kind::Torn, Kind::Unknown, Kind::Version];

/// What can be injected where an image is executed.
pub const EXECUTING: &[Kind] = &[
    Kind::Error(Errno::ENOENT),
    Kind::Error(Errno::EACCES),
    Kind::Error(Errno::ENOEXEC),
    Kind::Error(Errno::ETXTBSY),
    Kind::Error(Errno::EMFILE),
    Kind::Error(Errno::ENFILE),
    Kind::Error(Errno::ENOMEM),
    Kind::Error(Errno::EAGAIN),
    Kind::Error(Errno::E2BIG),
];

/// What can be injected where a descriptor is created or taken over.
pub const DESCRIBING: &[Kind] =
    &[Kind::Error(Errno::EMFILE), Kind::Error(Errno::ENFILE), Kind::Error(Errno::ENOMEM)];

impl Kind {
    /// Returns every kind, in the order of the matrix.
    pub fn all() -> impl Iterator<Item = Self> {
        [STEPS, MESSAGES, EXECUTING].concat().into_iter()
    }

    /// Returns the name that a server's configuration has for it.
    pub fn text(self) -> String {
        match self {
            Self::Exit => "exit".into(),
            Self::Panic => "panic".into(),
            Self::Abort => "abort".into(),
            Self::Kill => "kill".into(),
            Self::Stop => "stop".into(),
            Self::Slow => format!("slow={SLOW_MS}"),
            Self::Torn => "torn".into(),
            Self::Unknown => "unknown".into(),
            Self::Version => "version".into(),
            Self::Error(errno) => format!("error={}", errno as i32),
        }
    }

    /// Returns the name for people.
    pub fn name(self) -> String {
        match self {
            Self::Slow => "slow".into(),
            Self::Error(errno) => format!("{errno:?}"),
            kind => kind.text(),
        }
    }

    /// Returns its column in the matrix.
    pub fn letter(self) -> char {
        match self {
            Self::Exit => 'x',
            Self::Panic => 'p',
            Self::Abort => 'a',
            Self::Kill => 'k',
            Self::Stop => 'h',
            Self::Slow => 'l',
            Self::Torn => 't',
            Self::Unknown => 'u',
            Self::Version => 'v',
            Self::Error(Errno::ENOENT) => 'N',
            Self::Error(Errno::EACCES) => 'A',
            Self::Error(Errno::ENOEXEC) => 'X',
            Self::Error(Errno::ETXTBSY) => 'B',
            Self::Error(Errno::EMFILE) => 'M',
            Self::Error(Errno::ENFILE) => 'T',
            Self::Error(Errno::ENOMEM) => 'O',
            Self::Error(Errno::EAGAIN) => 'G',
            Self::Error(_) => '2',
        }
    }

    /// Returns whether something waits in vain for the process that is hit, so that only a deadline ends the wait.
    pub fn is_waited_for(self) -> bool {
        self == Self::Stop || MESSAGES.contains(&self)
    }

    /// Returns whether the process that is hit dies by itself.
    pub fn is_deadly(self) -> bool {
        matches!(self, Self::Exit | Self::Panic | Self::Abort | Self::Kill)
    }
}
