//! Two clocks: the wall's, and the processor's with the system's part apart.

use std::io;
use std::mem;
use std::ops::Sub;
use std::time::{Duration, Instant};

/// What has passed on both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    /// For everybody.
    pub(crate) wall: Duration,
    /// On a processor, for all threads of this process together. Other processes on a busy machine
    /// do not add to it, and neither does waiting.
    pub(crate) processor: Processor,
}

/// Processor time of a process. The sum is exact; the system divides it by samples of a few
/// milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processor {
    /// In the program's own code.
    pub(crate) user: Duration,
    /// In the system on the program's behalf: page faults, system calls.
    pub(crate) system: Duration,
}

impl Processor {
    pub(crate) fn both(self) -> Duration {
        self.user + self.system
    }

    fn now() -> io::Result<Self> {
        // SAFETY: a struct of integers, for which zero is a value.
        let mut usage: libc::rusage = unsafe { mem::zeroed() };
        // SAFETY: the structure may be written.
        if unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            user: duration(usage.ru_utime),
            system: duration(usage.ru_stime),
        })
    }
}

impl Sub for Processor {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall: Instant,
    processor: Processor,
}

impl Clock {
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self {
            processor: Processor::now()?,
            wall: Instant::now(),
        })
    }

    pub(crate) fn passed(&self) -> io::Result<Passed> {
        Ok(Passed {
            wall: self.wall.elapsed(),
            processor: Processor::now()? - self.processor,
        })
    }
}
