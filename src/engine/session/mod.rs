//! Whether tracing is on, with which settings, and sums that belong to one session.

mod alarm;
pub(super) mod counters;
mod lost;
pub(super) mod sum;
mod switch;
mod word;

pub(crate) use alarm::Alarm;
#[cfg(feature = "file")]
pub(crate) use alarm::Wake;
pub(crate) use counters::Shared;
pub(crate) use lost::{Lost, LostBlocks};
pub(crate) use switch::Switch;
pub(crate) use word::{Flag, NotStarted, Session, SessionNumber, Settings};
