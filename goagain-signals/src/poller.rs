//! One blocking wait for all descriptors and the next deadline.

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", not(goagain_portable)))] {
        mod linux;
        pub(crate) use linux::Poller;
    } else {
        mod portable;
        pub(crate) use portable::Poller;
    }
}
