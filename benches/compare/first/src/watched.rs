//! Memory and time of one piece of work, while a second thread watches the process.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug, Default)]
struct Resident {
    anonymous: i64,
    files: i64,
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    pub wall: Duration,
    /// Of the processor, user and system.
    pub processor: Duration,
    /// Highest private memory above that before, in KiB.
    pub anonymous: i64,
    /// Highest memory of mapped files above that before, in KiB.
    pub files: i64,
    /// Highest resident memory above that before, in KiB, as the system keeps it.
    pub highest: i64,
    /// Private memory above that before, after the work, in KiB.
    pub anonymous_after: i64,
    /// Memory of mapped files above that before, after the work, in KiB.
    pub files_after: i64,
    /// Mappings of the process more than before.
    pub mappings_after: i64,
    /// Open files of the process more than before.
    pub open_after: i64,
}

/// Does the work and says what it took. `work` must give back what it has made.
pub fn watched(work: impl FnOnce()) -> io::Result<Watched> {
    let status = File::open("/proc/self/status")?;
    let is_done = AtomicBool::new(false);
    // Faults in what the reading itself needs.
    read(&status)?;
    let (mappings, open) = (mappings()?, open_files()?);
    // Sets the highest value to that of now.
    fs::write("/proc/self/clear_refs", "5")?;
    let before = read(&status)?;
    let watching = || -> io::Result<Resident> {
        let mut highest = Resident::default();
        while !is_done.load(Ordering::Relaxed) {
            let now = read(&status)?;
            highest.anonymous = highest.anonymous.max(now.anonymous);
            highest.files = highest.files.max(now.files);
            thread::sleep(Duration::from_micros(300));
        }
        Ok(highest)
    };
    let (highest, wall, processor) = thread::scope(|scope| {
        let watcher = thread::Builder::new()
            .stack_size(64 << 10)
            .spawn_scoped(scope, watching)
            .expect("a thread");
        let processor = processor_time();
        let start = Instant::now();
        work();
        let (wall, processor) = (start.elapsed(), processor_time() - processor);
        is_done.store(true, Ordering::Relaxed);
        let highest = watcher.join().expect("no panic");
        (highest, wall, processor)
    });
    let highest = highest?;
    let kept = value(&fs::read_to_string("/proc/self/status")?, "VmHWM:");
    let after = read(&status)?;
    Ok(Watched {
        wall,
        processor,
        anonymous: highest.anonymous.max(after.anonymous) - before.anonymous,
        files: highest.files.max(after.files) - before.files,
        highest: kept - before.anonymous - before.files,
        anonymous_after: after.anonymous - before.anonymous,
        files_after: after.files - before.files,
        mappings_after: self::mappings()? - mappings,
        open_after: open_files()? - open,
    })
}

/// Reads without allocating.
fn read(status: &File) -> io::Result<Resident> {
    let mut bytes = [0; 4096];
    let len = status.read_at(&mut bytes, 0)?;
    let text = str::from_utf8(&bytes[..len]).map_err(io::Error::other)?;
    Ok(Resident {
        anonymous: value(text, "RssAnon:"),
        files: value(text, "RssFile:"),
    })
}

fn value(text: &str, name: &str) -> i64 {
    let mut lines = text.lines();
    let line = lines
        .find_map(|line| line.strip_prefix(name))
        .expect("a line of the status");
    let number = line.split_whitespace().next().expect("a number");
    number.parse().expect("a number")
}

fn mappings() -> io::Result<i64> {
    Ok(fs::read_to_string("/proc/self/maps")?.lines().count() as i64)
}

fn open_files() -> io::Result<i64> {
    Ok(fs::read_dir("/proc/self/fd")?.count() as i64)
}

/// Of the calling thread, user and system.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure may be written.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "a clock that every system has");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
