//! Every variable, with every kind of wrong value.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use super::Expected::{self, Afresh, Refused};

/// Returns what a Go process would set, with a descriptor that is not open, and the stranger as the parent.
pub(super) fn of_a_go_process(stranger: i32) -> Vec<(&'static str, OsString)> {
    vec![
        ("GOAGAIN_FD", "99".into()),
        ("GOAGAIN_NAME", "tcp:127.0.0.1:1->".into()),
        ("GOAGAIN_PID", "".into()),
        ("GOAGAIN_PPID", stranger.to_string().into()),
        ("GOAGAIN_SIGNAL", "12".into()),
    ]
}

/// The same with a channel, which is not open either.
pub(super) fn of_ours(stranger: i32) -> Vec<(&'static str, OsString)> {
    let mut variables = of_a_go_process(stranger);
    variables.push(("GOAGAIN_CHANNEL", channel(98, stranger).into()));
    variables.push(("GOAGAIN_DESCRIPTORS", "99,http,tcp,127.0.0.1:1".into()));
    variables
}

/// Returns the text for a channel of the process that created it.
pub(super) fn channel(fd: i32, maker: i32) -> String {
    format!("1 fd={fd} attempt=1 generation=2 ready_timeout=1000 predecessor={maker}")
}

/// A variable, its value or none, and the expected result.
pub(super) type Row = (&'static str, Option<OsString>, Expected);

pub(super) fn rows(stranger: i32) -> Vec<Row> {
    [first(), numbers(stranger), names(), ours(stranger)].concat()
}

fn rows_of(variable: &'static str, refused: bool, values: &[&str]) -> Vec<Row> {
    let expected = if refused { Refused(variable) } else { Afresh };
    values.iter().map(|value| (variable, Some(OsString::from(value)), expected)).collect()
}

/// What is wrong for every variable except one: not UTF-8, and longer than any value.
fn first() -> Vec<Row> {
    let all = ["GOAGAIN_FD", "GOAGAIN_NAME", "GOAGAIN_PID", "GOAGAIN_PPID", "GOAGAIN_SIGNAL"];
    let ours = ["GOAGAIN_CHANNEL", "GOAGAIN_DESCRIPTORS"];
    let bad = all.into_iter().chain(ours).flat_map(|variable| {
        let bytes = OsStr::from_bytes(b"\xff\xfe9").to_owned();
        let long = OsString::from("9".repeat(130_000));
        [(variable, Some(bytes), Refused(variable)), (variable, Some(long), Refused(variable))]
    });
    let missing = [
        // Without a descriptor there is nothing to take over from a Go process.
        ("GOAGAIN_FD", Afresh),
        ("GOAGAIN_NAME", Refused("GOAGAIN_NAME")),
        ("GOAGAIN_PID", Afresh),
        ("GOAGAIN_PPID", Refused("GOAGAIN_PPID")),
        ("GOAGAIN_SIGNAL", Afresh),
        ("GOAGAIN_CHANNEL", Refused("GOAGAIN_CHANNEL")),
        ("GOAGAIN_DESCRIPTORS", Refused("GOAGAIN_DESCRIPTORS")),
    ];
    bad.chain(missing.map(|(variable, expected)| (variable, None, expected))).collect()
}

fn numbers(stranger: i32) -> Vec<Row> {
    let (own, group) = (stranger.to_string(), format!("-{stranger}"));
    const NO_NUMBER: [&str; 9] =
        ["x", "-1", "+9", " 9", "9 ", "0x9", "9.0", "2147483648", "99999999999999999999"];
    [
        rows_of("GOAGAIN_FD", true, &NO_NUMBER),
        rows_of("GOAGAIN_FD", true, &["", &group]),
        // Open or not, the process that hands it over is not our parent.
        rows_of("GOAGAIN_FD", false, &["0", "2", "007", "2147483647"]),
        rows_of("GOAGAIN_PPID", true, &NO_NUMBER),
        rows_of("GOAGAIN_PPID", true, &["", "0", &group]),
        rows_of("GOAGAIN_PPID", false, &["1", "2", "2147483647", &own]),
        rows_of("GOAGAIN_PID", true, &NO_NUMBER),
        rows_of("GOAGAIN_PID", true, &["0", "1", &group]),
        rows_of("GOAGAIN_PID", false, &["", "2147483647", &own]),
        rows_of("GOAGAIN_SIGNAL", true, &NO_NUMBER),
        // KILL, STOP, TERM, and the null signal.
        rows_of("GOAGAIN_SIGNAL", true, &["0", "9", "15", "19", "64", "65"]),
        rows_of("GOAGAIN_SIGNAL", false, &["", "3"]),
    ]
    .concat()
}

fn names() -> Vec<Row> {
    let bad = [
        "",
        "x",
        "tcp",
        "tcp:",
        "tcp:127.0.0.1",
        "tcp:127.0.0.1:99999",
        "tcp:127.0.0.1:-1",
        "tcp:localhost:80",
        "unix:",
        "sctp:127.0.0.1:80",
        "127.0.0.1:80",
    ];
    let good = ["tcp:[::1]:80->", "unix:/run/x.sock->", "unix:/run/a,b;c d"];
    [rows_of("GOAGAIN_NAME", true, &bad), rows_of("GOAGAIN_NAME", false, &good)].concat()
}

fn ours(stranger: i32) -> Vec<Row> {
    let rest = format!("attempt=1 generation=2 ready_timeout=1000 predecessor={stranger}");
    let channels = |values: &[String], refused| -> Vec<Row> {
        rows_of("GOAGAIN_CHANNEL", refused, &values.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let bad = [
        String::new(),
        "x".into(),
        "0 fd=98".into(),
        "2 fd=98".into(),
        "1".into(),
        "1 fd=98".into(),
        format!("1 fd=-98 {rest}"),
        format!("1 fd=2147483648 {rest}"),
        format!("1 fd=98 fd=98 {rest}"),
        format!("1 fd=98 {rest} leaving=1"),
        format!("1 fd=98 {rest} leaving=-{stranger}"),
        format!("1 fd=98 {rest} signals=-97"),
        format!(
            "1 fd=98 attempt=99999999999999999999 generation=2 ready_timeout=1000 predecessor={stranger}"
        ),
        format!("1 fd=98 attempt=1 generation=2 ready_timeout=-1 predecessor={stranger}"),
        "1 fd=98 attempt=1 generation=2 ready_timeout=1000".into(),
        "1 fd=98 attempt=1 generation=2 ready_timeout=1000 predecessor=-1".into(),
    ];
    let good = [
        format!("1 fd=98 {rest} leaving={stranger}"),
        format!("1 fd=98 {rest} successor={stranger}"),
        format!("1 fd=98 {rest} unknown=1"),
        format!("1 fd=98 {rest} signals=97"),
        format!("1 fd=0 {rest}"),
        {
            let most = u64::MAX;
            format!("1 fd=98 attempt={most} generation={most} ready_timeout={most} predecessor={stranger}")
        },
        // Variables of another handoff than the five.
        channel(98, stranger + 1),
    ];
    let described = [
        "x",
        "99",
        ";",
        ",,,",
        "99,http,tcp",
        "99,a,b,tcp,127.0.0.1:1",
        "99,a;b,tcp,127.0.0.1:1",
        "-1,http,tcp,127.0.0.1:1",
        "2147483648,http,tcp,127.0.0.1:1",
        "99,,tcp,127.0.0.1:1",
        "99,a,tcp,127.0.0.1:1;99,b,tcp,127.0.0.1:2",
        "99,a,tcp,127.0.0.1:1;97,a,tcp,127.0.0.1:2",
        "98,the-channel-itself,fd,",
        "99,%FF,tcp,127.0.0.1:1",
        "99,a%2,tcp,127.0.0.1:1",
    ];
    let escaped = ["", "99,a%2Cb%3Bc%20d,tcp,127.0.0.1:1", "99,%00,fd,"];
    // As short as possible, since this many hardly fit into a string; 98 is the channel's descriptor.
    let many = |count: usize| {
        let mut text = String::new();
        for number in (0..).filter(|number| *number != 98).take(count) {
            let digits = [number / 36 / 36, number / 36 % 36, number % 36];
            let name: String = digits.iter().filter_map(|digit| char::from_digit(*digit, 36)).collect();
            // Writing to a string cannot fail.
            let _ = write!(text, "{number},{name},fd,;");
        }
        OsString::from(text.trim_end_matches(';'))
    };
    // As many as a variable can contain.
    let count = [("GOAGAIN_DESCRIPTORS", Some(many(10_001)), Afresh)];
    [
        channels(&bad, true),
        channels(&good, false),
        rows_of("GOAGAIN_DESCRIPTORS", true, &described),
        rows_of("GOAGAIN_DESCRIPTORS", false, &escaped),
        count.into(),
    ]
    .concat()
}
