//! Tests the whole codec through a look-up closure: no test touches the real environment.

use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn decode(variables: &[(&str, &str)]) -> Result<Option<Handoff>, HandoffError> {
    let variables: HashMap<_, _> =
        variables.iter().map(|(name, value)| (*name, OsString::from(value))).collect();
    Handoff::decode(|name| variables.get(name).cloned())
}

fn pid(raw: i32) -> Pid {
    Pid::new(raw).unwrap()
}

fn go(variables: &[(&str, &str)]) -> Result<Option<Handoff>, HandoffError> {
    let five = [(FD, "3"), (NAME, "tcp:127.0.0.1:80->"), (PID, ""), (PPID, "77"), (SIGNAL, "3")];
    decode(&[&five, variables].concat())
}

const LIBRARY: [(&str, &str); 2] = [
    (CHANNEL, "1 fd=5 attempt=3 generation=2 ready_timeout=60000 predecessor=77"),
    (DESCRIPTORS, "4,http,tcp,127.0.0.1:81;6,dns,udp,[::1]:53"),
];

#[test]
fn without_variables_there_is_no_handoff() {
    assert_eq!(decode(&[]), Ok(None));
    assert_eq!(decode(&[(PPID, "x"), (PID, ""), (SIGNAL, "9"), (NAME, "")]), Ok(None));
}

#[test]
fn a_go_process_hands_over_one_listener_with_its_label_as_name() {
    let handoff = go(&[(PID, "78"), (SIGNAL, &libc::SIGUSR2.to_string())]).unwrap().unwrap();
    let listener = NamedDescriptor {
        fd: 3,
        name: "tcp:127.0.0.1:80".into(),
        address: Address::Tcp("127.0.0.1:80".parse().unwrap()),
    };
    assert_eq!(handoff.descriptors, std::slice::from_ref(&listener));
    assert_eq!(handoff.go_listener, Some(listener));
    assert_eq!((handoff.predecessor, handoff.successor), (pid(77), Some(pid(78))));
    assert_eq!((handoff.signal, handoff.channel), (GoSignal::Usr2, None));
}

#[test]
fn variables_of_this_library_win_and_those_of_go_are_kept() {
    let handoff = go(&LIBRARY).unwrap().unwrap();
    assert_eq!(handoff.descriptors.iter().map(|each| each.fd).collect::<Vec<_>>(), [4, 6]);
    assert_eq!(handoff.go_listener.unwrap().fd, 3);
    assert_eq!(handoff.channel.unwrap().fd, 5);
}

#[test]
fn a_handoff_without_a_listener_needs_no_variables_of_go() {
    let handoff = decode(&[(PPID, "77"), LIBRARY[0], (DESCRIPTORS, "6,dns,udp,[::1]:53")]).unwrap().unwrap();
    assert_eq!(handoff.predecessor.as_raw(), 77);
    assert_eq!(handoff.go_listener, None);
}

#[test]
fn numbers_are_decimal_digits() {
    for bad in ["", "-1", "+3", " 3", "3 ", "0x10", "12x", "2147483648", "٣", "99999999999999999999"] {
        let error = go(&[(FD, bad)]).unwrap_err();
        assert_eq!(error.to_string(), format!("GOAGAIN_FD: expected a descriptor number, found `{bad}`"));
        assert_eq!(go(&[(PPID, bad)]).unwrap_err().variable(), PPID);
        if !bad.is_empty() {
            assert_eq!(go(&[(PID, bad)]).unwrap_err().variable(), PID);
            assert_eq!(go(&[(SIGNAL, bad)]).unwrap_err().variable(), SIGNAL);
        }
    }
    assert_eq!(go(&[(FD, "0")]).unwrap().unwrap().descriptors[0].fd, 0);
}

#[test]
fn a_pid_names_one_process() {
    for bad in ["0", "1"] {
        let reason = format!("GOAGAIN_PID: expected nothing, or a process id above 1, found `{bad}`");
        assert_eq!(go(&[(PID, bad)]).unwrap_err().to_string(), reason);
    }
    assert_eq!(go(&[(PPID, "0")]).unwrap_err().to_string(), "GOAGAIN_PPID: expected a process id, found `0`");
    assert_eq!(go(&[(PPID, "1")]).unwrap().unwrap().predecessor.as_raw(), 1);
}

#[test]
fn an_error_names_the_missing_variable_and_what_to_do() {
    let error = decode(&[(FD, "3"), (NAME, "tcp:127.0.0.1:80->")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "GOAGAIN_PPID: expected a value, because GOAGAIN_FD is set, found none: set both, or unset GOAGAIN_FD to start without a handoff"
    );
    assert_eq!(decode(&[(FD, "3"), (PPID, "77")]).unwrap_err().variable(), NAME);
    assert_eq!(decode(&[LIBRARY[0], (PPID, "77")]).unwrap_err().variable(), DESCRIPTORS);
    assert_eq!(decode(&[LIBRARY[1], (PPID, "77")]).unwrap_err().variable(), CHANNEL);
}

#[test]
fn each_descriptor_is_handed_over_once() {
    for (descriptors, reason) in [
        ("4,a,tcp,1.2.3.4:5;4,b,tcp,1.2.3.4:6", "expected each descriptor once, found 4 twice"),
        ("5,a,tcp,1.2.3.4:5", "expected each descriptor once, found 5 twice"),
        ("4,a,tcp,1.2.3.4:5;6,a,tcp,1.2.3.4:6", "expected each name once, found `a` twice"),
        ("4,,tcp,1.2.3.4:5", "expected a name, found none for descriptor 4"),
    ] {
        let error = go(&[LIBRARY[0], (DESCRIPTORS, descriptors)]).unwrap_err();
        assert_eq!(error.variable(), DESCRIPTORS);
        assert!(error.reason().starts_with(reason), "{error}");
    }
}

fn handoff_with_names(names: impl Iterator<Item = String>) -> Handoff {
    let link = go(&LIBRARY).unwrap().unwrap().channel;
    let described = |(fd, name)| NamedDescriptor { fd, name, address: Address::Other };
    Handoff {
        descriptors: (10..).zip(names).map(described).collect(),
        successor: None,
        predecessor: pid(77),
        signal: GoSignal::Quit,
        channel: link,
        go_listener: None,
    }
}

#[test]
fn a_variable_that_is_too_long_is_an_error() {
    let fits = MAX_STRING_BYTES - DESCRIPTORS.len() - "=10,,fd,".len();
    assert!(handoff_with_names(["x".repeat(fits)].into_iter()).encode().is_ok());
    let error = handoff_with_names(["x".repeat(fits + 1)].into_iter()).encode().unwrap_err();
    assert_eq!(
        error.to_string(),
        "GOAGAIN_DESCRIPTORS: expected at most 131071 bytes with its name, found 131072: \
         hand over fewer descriptors, or give them shorter names"
    );
}

#[test]
fn a_list_that_is_too_long_goes_into_a_file() {
    let names = || (0..20_000).map(|each| each.to_string());
    let handoff = handoff_with_names(names());
    assert!(handoff.encode().is_err());
    let list = handoff.long_list().unwrap();
    let variables: HashMap<_, _> = handoff.encode_with(Some(9)).unwrap().into_iter().collect();
    assert_eq!(variables[DESCRIPTORS], "");
    let mut decoded = Handoff::decode(|name| variables.get(name).cloned()).unwrap().unwrap();
    assert_eq!(decoded.channel.as_ref().unwrap().list, Some(9));
    assert_eq!(
        Handoff { channel: handoff.channel.clone(), ..decoded.clone() },
        handoff_with_names(std::iter::empty())
    );
    decoded.read_list(list.as_ref()).unwrap();
    assert_eq!(decoded.descriptors, handoff.descriptors);
    // The file is checked as the variable is.
    assert!(decoded.read_list("10,a,fd,;10,b,fd,".as_ref()).is_err());
    assert!(decoded.read_list("x".as_ref()).is_err());
    assert_eq!(handoff_with_names(["short".to_owned()].into_iter()).long_list(), None);
}

#[test]
fn descriptors_are_in_one_place() {
    let link = "1 fd=5 attempt=1 generation=3 ready_timeout=1 predecessor=77 list=9";
    let error = go(&[(CHANNEL, link), (DESCRIPTORS, "4,http,tcp,127.0.0.1:80")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("GOAGAIN_DESCRIPTORS: expected no descriptors, because GOAGAIN_CHANNEL has list=9"),
        "{error}"
    );
    assert!(go(&[(CHANNEL, link), (DESCRIPTORS, "")]).is_ok());
}

#[test]
fn without_a_channel_only_one_listener_can_be_handed_over() {
    let mut handoff = go(&LIBRARY).unwrap().unwrap();
    handoff.channel = None;
    assert_eq!(handoff.encode().unwrap_err().variable(), CHANNEL);
    let handoff = go(&[]).unwrap().unwrap();
    let variables: HashMap<_, _> = handoff.encode().unwrap().into_iter().collect();
    assert_eq!(variables.len(), 5);
    assert_eq!(variables[NAME], "tcp:127.0.0.1:80->");
    assert_eq!(variables[PID], "");
}

#[test]
fn an_error_shortens_a_long_value() {
    let error = go(&[(FD, &"x".repeat(100_000))]).unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
}

fn any_address() -> impl Strategy<Value = Address> {
    let path = proptest::collection::vec(any::<u8>(), 1..60)
        .prop_map(|bytes| PathBuf::from(OsString::from_vec(bytes)));
    let internet = || any::<std::net::SocketAddr>().prop_map(without_flow);
    prop_oneof![
        internet().prop_map(Address::Tcp),
        internet().prop_map(Address::Udp),
        path.clone().prop_map(Address::Unix),
        path.clone().prop_map(Address::UnixDatagram),
        path.prop_map(Address::UnixSeqpacket),
        Just(Address::Other),
    ]
}

/// The text of an address has no flow label, and no listener has one.
fn without_flow(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    if let std::net::SocketAddr::V6(address) = &mut address {
        address.set_flowinfo(0);
    }
    address
}

fn any_pid() -> impl Strategy<Value = Pid> {
    (2..=i32::MAX).prop_map(pid)
}

fn any_time() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_millis)
}

fn any_link() -> impl Strategy<Value = Link> {
    let first = (any::<u64>(), any::<u64>(), any_time(), proptest::option::of(any_time()));
    let second = (any::<(bool, bool, bool, bool)>(), proptest::collection::vec(any_pid(), 0..4));
    (first, second).prop_map(
        |(
            (attempt, generation, ready_timeout, release_timeout),
            ((signals, go, draining, state), leaving),
        )| Link {
            fd: i32::MAX,
            signals: signals.then_some(i32::MAX - 1),
            attempt,
            generation,
            ready_timeout,
            release_timeout,
            go,
            state,
            leaving,
            draining: draining.then_some(i32::MAX - 2),
            list: None,
        },
    )
}

fn any_handoff() -> impl Strategy<Value = Handoff> {
    let names = proptest::collection::hash_map(
        any::<String>().prop_filter("named", |name| !name.is_empty()),
        any_address(),
        0..8,
    );
    (names, proptest::option::of(any_pid()), 1..=i32::MAX, any::<bool>(), any_link()).prop_map(
        |(names, successor, predecessor, quit, link)| Handoff {
            descriptors: (0..)
                .zip(names)
                .map(|(fd, (name, address))| NamedDescriptor { fd, name, address })
                .collect(),
            successor,
            predecessor: Pid::new_or_init(predecessor).unwrap(),
            signal: if quit { GoSignal::Quit } else { GoSignal::Usr2 },
            channel: Some(link),
            go_listener: None,
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(handoff in any_handoff()) {
        let variables: HashMap<_, _> = handoff.encode().unwrap().into_iter().collect();
        // A path of only a NUL has a label without a path. The kernel has no such name either.
        let nul = |each: &NamedDescriptor| each.address.host().into_vec().contains(&0);
        prop_assume!(!handoff.descriptors.iter().any(nul));
        let mut decoded = Handoff::decode(|name| variables.get(name).cloned()).unwrap().unwrap();
        let listener = handoff.descriptors.iter().find(|each| each.address.is_go_listener());
        prop_assert_eq!(decoded.go_listener.take().map(|each| each.fd), listener.map(|each| each.fd));
        prop_assert_eq!(decoded, handoff);
    }

    #[test]
    fn any_variables_are_decoded_or_an_error(values in proptest::collection::vec(
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)), VARIABLES.len())) {
        let variables: HashMap<_, _> = VARIABLES.iter().zip(values).collect();
        let _ = Handoff::decode(|name| variables.get(&name)?.clone().map(OsString::from_vec));
    }

    #[test]
    fn any_text_near_the_format_is_decoded_or_an_error(
        channel in "1( (fd|attempt|generation|ready_timeout|leaving|go|signals|list)=[0-9,x]{0,12}){0,8}",
        descriptors in "([0-9]{0,3},[a-c%0-9]{0,4},(tcp|udp|unix|fd),[0-9./:%a]{0,20};?){0,4}",
        label in "(tcp|unix|udp)?:?[0-9a-z./:\\[\\]%]{0,20}(->)?") {
        let _ = go(&[(CHANNEL, &channel), (DESCRIPTORS, &descriptors), (NAME, &label)]);
    }
}

#[test]
fn a_link_that_names_other_processes_is_outdated() {
    let link = "1 fd=5 attempt=1 generation=3 ready_timeout=1 predecessor=77 successor=44";
    let five = |pid: &'static str| {
        move |name: &str| {
            let value = match name {
                "GOAGAIN_FD" => "3",
                "GOAGAIN_NAME" => "tcp:127.0.0.1:80->",
                "GOAGAIN_PID" => pid,
                "GOAGAIN_PPID" => "77",
                "GOAGAIN_CHANNEL" => link,
                "GOAGAIN_DESCRIPTORS" => "4,http,tcp,127.0.0.1:80",
                _ => return None,
            };
            Some(OsString::from(value))
        }
    };
    let fresh = Handoff::decode(five("44")).unwrap().unwrap();
    assert_eq!(fresh.channel.map(|link| link.fd), Some(5));
    for stale in ["", "45"] {
        let handoff = Handoff::decode(five(stale)).unwrap().unwrap();
        assert_eq!(handoff.channel, None);
        assert_eq!(handoff.descriptors[0].fd, 3, "the variables of the Go process are kept");
    }
    let of_another = |name: &str| if name == PPID { Some("78".into()) } else { five("44")(name) };
    assert_eq!(Handoff::decode(of_another).unwrap().unwrap().channel, None);
}
