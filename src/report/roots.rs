//! Artificial frames below all others of a stack, for viewers that know only frames: whose memory it is, and
//! what its blocks are called.

use super::calls::shown;
use crate::snapshot::{Domain, Site};

/// A frame for each that is known: `[domain 1]`, `[thread worker]`, `[tag images]`.
pub(super) fn of(site: &Site<'_>) -> impl Iterator<Item = String> {
    let domain = (site.domain != Domain::HEAP).then(|| format!("[domain {}]", site.domain.0));
    let label = |kind, name: Option<&str>| name.map(|name| format!("[{kind} {}]", shown(name)));
    let thread = label("thread", site.stack.thread_name());
    let tag = label("tag", site.stack.tag());
    domain.into_iter().chain(thread).chain(tag)
}
