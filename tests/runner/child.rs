//! Runs a case as a child process that must end in time: one that hangs has failed.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a child ended, with what it has written.
pub(crate) struct Ended {
    /// `None`: it did not end in time and was killed.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) text: String,
}

/// Waits for the child, `limit` at most.
pub(crate) fn run(mut command: Command, limit: Duration) -> io::Result<Ended> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut outputs = [
        Box::new(child.stdout.take().expect("piped")) as Box<dyn Read + Send>,
        Box::new(child.stderr.take().expect("piped")),
    ]
    .map(|mut pipe| {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    })
    .into_iter();
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let mut output = || {
        outputs
            .next()
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
    };
    Ok(Ended {
        status,
        text: format!("{}{}", output(), output()),
    })
}

impl Ended {
    /// `Ok` if the child succeeded, else why not.
    pub(crate) fn verdict(&self, limit: Duration) -> Result<(), String> {
        let text = &self.text;
        match self.status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("{status}\n{text}")),
            None => Err(format!("did not end within {limit:?}\n{text}")),
        }
    }
}
