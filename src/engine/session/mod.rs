//! Whether tracing is on, with which settings, and sums that belong to one session.

pub(super) mod counters;
mod switch;

pub(crate) use switch::{NotStarted, Session, SessionNumber, Settings, Switch};
