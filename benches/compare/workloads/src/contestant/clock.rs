//! Two clocks at once.

use std::io;
use std::time::{Duration, Instant};

/// What has passed on both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    /// For everybody.
    pub(crate) wall: Duration,
    /// On a processor, for all threads of this process together. Other processes on a busy machine
    /// do not add to it, and neither does waiting.
    pub(crate) processor: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall: Instant,
    processor: Duration,
}

impl Clock {
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self {
            processor: processor()?,
            wall: Instant::now(),
        })
    }

    pub(crate) fn passed(&self) -> io::Result<Passed> {
        Ok(Passed {
            wall: self.wall.elapsed(),
            processor: processor()? - self.processor,
        })
    }
}

fn processor() -> io::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure may be written.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    if result == 0 {
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    } else {
        Err(io::Error::last_os_error())
    }
}
