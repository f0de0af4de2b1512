//! Keeps a process on some cores.

use std::io;
use std::mem;

/// Lets this process, and the threads that it starts later, run only on `cores`: numbers with
/// commas between them.
pub(super) fn pin(cores: &str) -> Result<(), Box<dyn std::error::Error>> {
    // SAFETY: a set of cores is an array of integers, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for core in cores.split(',') {
        let core: usize = core.parse()?;
        if core >= libc::CPU_SETSIZE as usize {
            return Err(format!("no such core: {core}").into());
        }
        // SAFETY: the core's bit lies in the set.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: the set is valid and as large as is said.
    let result = unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &set) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error().into())
    }
}
