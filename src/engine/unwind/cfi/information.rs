//! Finds the call-frame information of a place in the code.

use gimli::{
    BaseAddresses, EhFrame, EhFrameHdr, EhFrameOffset, Encoding, EndianSlice, Format,
    FrameDescriptionEntry, LittleEndian, UnwindContext, UnwindContextStorage, UnwindSection,
    UnwindTableRow,
};

use super::arch::PROCESSOR;
use super::modules::Module;

type Bytes = EndianSlice<'static, LittleEndian>;
pub(super) type Frames = EhFrame<Bytes>;
/// The unwind rules of one place in the code, on the machine stack.
pub(super) type Context = UnwindContext<usize, OnStack>;

pub(super) const ENCODING: Encoding = Encoding {
    format: Format::Dwarf32,
    version: 4,
    address_size: 8,
};

/// Room for the rules of all general registers and some more, on the machine stack: this runs
/// inside an allocation.
pub(super) struct OnStack;

impl UnwindContextStorage<usize> for OnStack {
    type Rules = [(gimli::Register, gimli::RegisterRule<usize>); 40];
    type Stack = [UnwindTableRow<usize, Self>; 3];
}

/// What a module says of a place in its code.
#[expect(clippy::large_enum_variant, reason = "the engine has no boxes")]
pub(super) enum Found {
    Entry(Entry),
    /// Nothing.
    Nothing,
    /// The code is the end of a signal handler: the kernel has saved the registers of what it
    /// interrupted.
    SignalReturn,
    /// The information contradicts itself.
    Damaged,
}

/// The call-frame information of a function.
pub(super) struct Entry {
    pub(super) frames: Frames,
    bases: BaseAddresses,
    entry: FrameDescriptionEntry<Bytes>,
    /// The address that counts.
    pc: u64,
}

impl Entry {
    /// Finds the information for the code that `return_address` returns to.
    pub(super) fn find(module: &Module, return_address: usize) -> Found {
        let Some(entry) = look_up(module, return_address) else {
            return Found::Damaged;
        };
        // Stacks of coroutines say so too, where one continues another: only what returns from a
        // signal has the kernel's registers above it.
        let may_return = entry.as_ref().is_none_or(Entry::is_signal_frame);
        if may_return && module.code_is(return_address, PROCESSOR.signal_return) {
            return Found::SignalReturn;
        }
        entry.map_or(Found::Nothing, Found::Entry)
    }

    /// The caller of this function was interrupted at the address, and has not called anything.
    pub(super) fn is_signal_frame(&self) -> bool {
        self.entry.is_signal_trampoline()
    }

    pub(super) fn rules<'c>(
        &self,
        context: &'c mut Context,
    ) -> Option<&'c UnwindTableRow<usize, OnStack>> {
        self.entry
            .unwind_info_for_address(&self.frames, &self.bases, context, self.pc)
            .ok()
    }
}

/// `None`: the information is damaged; `Some(None)`: there is none for this place.
fn look_up(module: &Module, return_address: usize) -> Option<Option<Entry>> {
    // The call lies before the address that it returns to, maybe in another function.
    let pc = return_address.checked_sub(1)? as u64;
    let bases = BaseAddresses::default().set_eh_frame_hdr(module.header as u64);
    let header = EhFrameHdr::new(module.header_bytes(), LittleEndian)
        .parse(&bases, 8)
        .ok()?;
    let frames_at = header.eh_frame_ptr().direct().ok()?;
    let bases = bases.set_eh_frame(frames_at);
    let mut frames: Frames = EhFrame::new(module.bytes_from(frames_at as usize)?, LittleEndian);
    frames.set_vendor(PROCESSOR.vendor);
    // As `fde_for_address` does, which multiplies and subtracts without looking: more entries than
    // there is room for, or one in front of the frames, would panic in a debug build.
    let table = header.table()?;
    let (_, entries) = table.iter(&bases).size_hint();
    if entries? > module.header_bytes().len() {
        return None;
    }
    let entry_at = match table.lookup(pc, &bases) {
        Ok(pointer) => pointer.direct().ok()?.checked_sub(frames_at)?,
        Err(gimli::Error::NoUnwindInfoForAddress) => return Some(None),
        Err(_) => return None,
    };
    let offset = EhFrameOffset(usize::try_from(entry_at).ok()?);
    let entry = frames
        .fde_from_offset(&bases, offset, EhFrame::cie_from_offset)
        .ok()?;
    Some(entry.contains(pc).then_some(Entry {
        frames,
        bases,
        entry,
        pc,
    }))
}
