//! The saved form: what is written comes back, and nothing that is read can do harm.
#![cfg(feature = "file")]

mod damaged;
mod expansion;
mod fields;
mod golden;
mod replacing;
mod round_trip;
mod sample;
