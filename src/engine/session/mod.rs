//! Whether tracing is on, with which settings, and sums that belong to one session.

pub(super) mod counters;
mod lost;
pub(super) mod sum;
mod switch;

pub(crate) use counters::Shared;
pub(crate) use lost::{Lost, LostBlocks};
pub(crate) use switch::{Flag, NotStarted, Session, SessionNumber, Settings, Switch};
