//! Carries listening sockets across exec.
#![deny(unsafe_code)]

mod address;
mod channel;
mod handoff;
mod image;
mod inherit;
mod launch;
mod mask;
mod message;
mod pid;
mod process;
mod strategy;
mod sys;

pub use self::address::{Address, LabelError};
pub use self::channel::{Channel, Received};
pub use self::handoff::{Described, Handoff, HandoffError, Link, SeedSignal, VARIABLES};
pub use self::image::Image;
pub use self::inherit::{
    Inherit, InheritError, Inheritance, Inherited, InheritedDescriptor, NotOurs, Predecessor, inherit,
};
pub use self::launch::{Launch, LaunchError, Launched};
pub use self::mask::{Blocked, block_control, unblock};
pub use self::message::{Message, MessageError};
pub use self::pid::Pid;
pub use self::process::{Exit, Process};
pub use self::strategy::{Kin, Next, Strategy, View};
