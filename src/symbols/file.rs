//! A file of machine code in memory, and which build it is.

use std::io;
use std::path::Path;

use object::Object;

/// A file whose bytes can be read: mapped where the system can do that.
pub(super) struct Mapped(memory::Bytes);

impl Mapped {
    pub(super) fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        memory::Bytes::open(path.as_ref()).map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.get()
    }

    /// Takes what was read out of the process's memory. It is read again when it is needed again.
    pub(super) fn release(&self) {
        self.0.release();
    }

    /// The file as object code; `None` if it is something else.
    pub(super) fn object(&self) -> Option<object::File<'_>> {
        object::File::parse(self.bytes()).ok()
    }
}

#[cfg(unix)]
mod memory {
    //! A mapping: pages are read when they are needed, and the system may take them back.

    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;
    use std::ptr::{self, NonNull};

    pub(super) struct Bytes {
        start: NonNull<u8>,
        len: usize,
    }

    impl Bytes {
        #[expect(unsafe_code, reason = "maps a file")]
        pub(super) fn open(path: &Path) -> io::Result<Self> {
            let file = File::open(path)?;
            let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
            // SAFETY: a fresh mapping touches nothing that exists. It stays when the file is closed.
            let start = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    len,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE,
                    file.as_raw_fd(),
                    0,
                )
            };
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let start: NonNull<u8> =
                NonNull::new(start.cast()).ok_or(io::ErrorKind::Unsupported)?;
            // Of debug information a small part is read, here and there: pages around those are not wanted.
            // Advice that is refused changes nothing.
            // SAFETY: the mapping was made above.
            unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_RANDOM) };
            Ok(Self { start, len })
        }

        #[expect(unsafe_code, reason = "reads mapped memory")]
        pub(super) fn get(&self) -> &[u8] {
            // SAFETY: mapped with this length until it is dropped. Who writes to the file of code that
            // runs changes what the processor reads too; systems and updates replace such files.
            unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
        }
    }

    impl Bytes {
        #[expect(unsafe_code, reason = "gives pages of a file back")]
        pub(super) fn release(&self) {
            // SAFETY: this value's own mapping. Nothing writes to it, so its pages come from the file again.
            unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, libc::MADV_DONTNEED) };
        }
    }

    impl Drop for Bytes {
        #[expect(unsafe_code, reason = "unmaps")]
        fn drop(&mut self) {
            // SAFETY: this value's own mapping, which nothing borrows any more.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        }
    }
}

#[cfg(not(unix))]
mod memory {
    //! A copy.

    use std::io;
    use std::path::Path;

    pub(super) struct Bytes(Vec<u8>);

    impl Bytes {
        pub(super) fn open(path: &Path) -> io::Result<Self> {
            std::fs::read(path).map(Self)
        }

        pub(super) fn get(&self) -> &[u8] {
            &self.0
        }

        pub(super) fn release(&self) {}
    }
}

/// The build id of a file in lower-case hexadecimal, which not every file has.
pub(super) fn build_id(object: &object::File<'_>) -> Option<String> {
    let bytes = object.build_id().ok().flatten()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
