//! Ways in for the fuzzer to what reads call-frame information and the stack. The model test of the
//! stack cache walks over the stacks that are made here too.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::arch::PROCESSOR;
#[cfg(fuzzing)]
use super::modules::{Module, describe};
use super::reader::Reader;
use super::rule::UnwindRule;
use super::walk::{NoStep, Slots, no_step, step, unusual_step};
use super::{Arena, Caller, Mark, OwnStack, Unwinder};
use crate::engine::stack_cache::{Candidate, StackCache};
use crate::engine::stacks::{StackId, Stacks};
use crate::engine::unwind::StackEnd;

/// Works out the rules of some addresses from an image that holds a header and call-frame
/// information, wherever in it, and makes a general step from each.
///
/// Addresses count from the beginning of the image and may lie outside of it, as code does.
#[cfg(fuzzing)]
pub fn rules(image: &[u8], header: usize, addresses: impl Iterator<Item = i32>) {
    let start = image.as_ptr().addr();
    let module = Module {
        start,
        end: start + image.len(),
        header: start + header,
        segment: start,
        segment_end: start + image.len(),
        code: start,
        code_end: start + image.len(),
    };
    for address in addresses {
        let rule = UnwindRule::compile(&module, start.wrapping_add_signed(address as isize));
        assert_ne!(rule.bits(), 0);
        super::general::step_anywhere(&module, start.wrapping_add_signed(address as isize));
    }
}

/// Describes a module by program headers of any content.
#[cfg(fuzzing)]
pub fn headers(base: u64, words: &[[u64; 4]]) {
    let headers: Vec<libc::Elf64_Phdr> = words
        .iter()
        .map(|&[kind, p_vaddr, p_memsz, offset]| libc::Elf64_Phdr {
            p_type: match kind % 4 {
                0 => libc::PT_GNU_EH_FRAME,
                1 => libc::PT_NOTE,
                _ => libc::PT_LOAD,
            },
            p_flags: (kind >> 8) as u32 & 7,
            p_offset: offset,
            p_vaddr,
            p_paddr: p_vaddr,
            p_filesz: p_memsz,
            p_memsz,
            p_align: 8,
        })
        .collect();
    // SAFETY: zeros are a valid description: null pointers and numbers.
    let mut info: libc::dl_phdr_info = unsafe { std::mem::zeroed() };
    info.dlpi_addr = base;
    info.dlpi_phdr = headers.as_ptr();
    info.dlpi_phnum = headers.len() as u16;
    if let Some(module) = describe(&info) {
        assert!((module.segment..module.segment_end).contains(&module.header));
    }
}

/// Words of the stack that is walked.
const WORDS: usize = 256;
const PAGE: usize = 4096;
/// Where it is: below no thread's own data, so that it is taken for nothing else.
const PLACE: usize = 0x2000_0000_0000;
/// Return addresses, of which each stands for a rule of its own.
const CODE: usize = 0x4000_0000;
const CODE_BITS: u32 = 14;

/// A stack with unreadable pages on both sides, and what is known of the code that it returns to.
struct Walker {
    unwinder: Unwinder,
    arena: Arena,
    stacks: Stacks,
}

static WALKER: OnceLock<Walker> = OnceLock::new();

fn walker() -> &'static Walker {
    WALKER.get_or_init(|| {
        let walker = Walker {
            unwinder: Unwinder::new(),
            arena: Arena::new(),
            stacks: Stacks::new(),
        };
        let wanted = std::ptr::without_provenance_mut::<libc::c_void>(PLACE - PAGE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a fresh mapping, where nothing is.
        let mapped = unsafe { libc::mmap(wanted, 3 * PAGE, libc::PROT_NONE, flags, -1, 0) };
        assert_eq!(mapped, wanted);
        let usable = libc::PROT_READ | libc::PROT_WRITE;
        let inner = mapped.wrapping_byte_add(PAGE);
        // SAFETY: a part of it.
        let opened = unsafe { libc::mprotect(inner, PAGE, usable) };
        assert_eq!(opened, 0);
        let main = &walker.unwinder.main_stack;
        main.start.store(PLACE, Ordering::Relaxed);
        main.end.store(end(), Ordering::Release);
        if cfg!(fuzzing) {
            for code in 0..1 << CODE_BITS {
                walker.add_rules(code);
            }
        }
        walker
    })
}

impl Walker {
    /// Puts the rules of `code` into the table.
    fn add_rules(&self, code: usize) {
        // An interrupted function's rule is asked for by the address after its own.
        for after in [0, 1] {
            let rule = || Some(rule_of(code));
            self.unwinder
                .rules
                .get(&self.arena, CODE + 2 * code + after, rule);
        }
    }
}

/// The last words of the page, so that what lies beyond the end cannot be read.
fn start() -> usize {
    PLACE + PAGE - 8 * WORDS
}

fn end() -> usize {
    PLACE + PAGE
}

/// A rule for every number: mostly plain steps of some words.
fn rule_of(code: usize) -> UnwindRule {
    let cfa = match code >> 4 & 31 {
        31 => -8,
        30 => 12,
        29 => 1 << 20,
        words => 8 * words as i32,
    };
    let saved_at = match code >> 9 & 31 {
        31 => 1,
        30 => -300,
        words => -(words as i16) - 1,
    };
    // As `rule.rs` lays it out: from the stack pointer, from the frame register, and the others.
    // None that leads to a coroutine's caller.
    let kind = [1, 1, 1, 2, 2, 5, 7, [3, 4][code >> 4 & 1]][code & 7];
    let saved = (code as u64 >> 3 & 1) * (8 | u64::from(saved_at as u16) << 16);
    let return_slot = match PROCESSOR.return_slot {
        Some(_) => 0,
        // As on the other processors: in the frame's last word.
        None => u64::from((-1_i16 << 4) as u16),
    };
    UnwindRule::from_bits(u64::from(cfa as u32) << 32 | saved | return_slot | kind)
}

/// What a word of the fuzzer's means on the stack: code, a place on or near the stack, or neither.
fn value_of(word: u16) -> usize {
    let rest = usize::from(word >> 2);
    match word & 3 {
        0 | 1 => CODE + 2 * (rest << 1 & ((1 << CODE_BITS) - 1) | usize::from(word & 1)),
        2 => start().wrapping_add_signed(8 * (rest as isize % 512 - 64)),
        _ if rest < 0x2000 => 0,
        _ => start() + rest % 0x1000,
    }
}

/// Walks over a stack of any content again and again while it changes.
///
/// Each piece of `data` of eight bytes is a change of one word and a place to walk from. The walk,
/// the one that remembers, and single steps have to agree, and none may leave the stack.
#[cfg(fuzzing)]
pub fn walk(data: &[u8]) {
    walk_and_count(data);
}

/// How the stack cache was asked, and with what success.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Answers {
    pub(in crate::engine) asked: usize,
    /// Answered by the fast path, and by the whole look-up.
    pub(in crate::engine) fast: usize,
    pub(in crate::engine) cached: usize,
    /// Answered by a walk that has filled the cache.
    pub(in crate::engine) filled: usize,
}

/// Does what `walk` does, and counts.
pub(in crate::engine) fn walk_and_count(data: &[u8]) -> Answers {
    let mut answers = Answers::default();
    let walker = walker();
    // SAFETY: the page is there, and nobody else uses it.
    let stack = unsafe {
        std::slice::from_raw_parts_mut(
            std::ptr::with_exposed_provenance_mut::<usize>(start()),
            WORDS,
        )
    };
    stack.fill(0);
    #[expect(
        clippy::incompatible_msrv,
        reason = "tests and fuzzers are built by newer compilers"
    )]
    // SAFETY: zeroed memory is an empty one.
    let mut stack_cache: Box<StackCache> = unsafe { Box::new_zeroed().assume_init() };
    for piece in data.chunks_exact(8) {
        let word = |at: usize| u16::from_le_bytes([piece[at], piece[at + 1]]);
        // A fuzzer knows all rules from the beginning; a test has use for few.
        if !cfg!(fuzzing) {
            for address in [value_of(word(2)), value_of(word(4) & !2)] {
                if let Some(code) = address.checked_sub(CODE)
                    && code < 2 << CODE_BITS
                {
                    walker.add_rules(code / 2);
                }
            }
        }
        stack[usize::from(piece[0])] = value_of(word(2));
        if piece[1] & 1 == 0 {
            continue;
        }
        let caller = Caller {
            pc: value_of(word(4) & !2),
            sp: start() + 8 * usize::from(piece[6] % 64),
            fp: value_of(u16::from(piece[7]) << 3 | 2 | u16::from(piece[1]) >> 7),
        };
        compare(
            walker,
            &mut stack_cache,
            caller,
            usize::from(piece[1] >> 1 & 31) + 1,
            &mut answers,
        );
    }
    answers
}

fn compare(
    walker: &Walker,
    stack_cache: &mut StackCache,
    caller: Caller,
    max_frames: usize,
    answers: &mut Answers,
) {
    let Walker {
        unwinder,
        arena,
        stacks,
    } = walker;
    if !check_steps(walker, caller) {
        return;
    }
    let mut buffer = [0; 64];
    let buffer = &mut buffer[..max_frames];
    let mut reader = Reader::new(&unwinder.main_stack, OwnStack::default());
    let walked = unwinder.walk(arena, caller, Mark(caller.sp), &mut reader, buffer);
    let fast = stack_cache.recall_fast(caller, max_frames);
    let candidate = fast.err().unwrap_or(Candidate::UNKNOWN);
    let fast = fast.ok();
    let cached = stack_cache.recall(caller, max_frames, candidate);
    let searched = stack_cache.recall(caller, max_frames, Candidate::UNKNOWN);
    assert_eq!(cached, searched, "{caller:x?} {candidate:?}");
    let filled = match cached {
        None => stack_cache.fill(arena, unwinder, stacks, caller, max_frames),
        Some(_) => None,
    };
    answers.asked += 1;
    answers.fast += usize::from(fast.is_some());
    answers.cached += usize::from(cached.is_some());
    answers.filled += usize::from(filled.is_some());
    for recalled in [fast, cached, filled].into_iter().flatten() {
        let walked = walked.as_ref().expect("what is recalled can be walked");
        let mut frames = Vec::new();
        let root = stacks.read(recalled, |address| frames.push(address));
        let whole = frames.len() <= max_frames && root == StackId::COMPLETE;
        frames.truncate(max_frames);
        assert_eq!(frames, buffer[..walked.frames], "{caller:x?}");
        assert_eq!(whole, walked.end == StackEnd::Oldest, "{caller:x?}");
    }
}

/// Each plain step reads inside of its own frame and comes to an older one.
///
/// False if the way leads to a place of which no stack is known.
fn check_steps(walker: &Walker, mut frame: Caller) -> bool {
    let Walker {
        unwinder, arena, ..
    } = walker;
    let known = |sp| unwinder.main_stack.end_of(sp);
    let mut reader = Reader::new(&unwinder.main_stack, OwnStack::default());
    reader.begin(frame.sp);
    let mut interrupted = 0;
    // More than there are frames on all the stacks that a walk leads over.
    for _ in 0..WORDS * WORDS {
        let Some(end) = known(frame.sp) else {
            return false;
        };
        let rule = unwinder.rule(arena, frame.pc.wrapping_add(interrupted));
        interrupted = 0;
        if let Some(step) = step(frame, rule, end) {
            let inside = frame.sp..step.caller.sp;
            assert!(step.caller.sp <= end);
            let Slots {
                return_address,
                frame_pointer,
                ..
            } = step.slots;
            assert!(inside.contains(&return_address), "{frame:x?} {rule:x?}");
            assert!(frame_pointer == 0 || inside.contains(&frame_pointer));
            frame = step.caller;
            continue;
        }
        match no_step(frame, rule, end) {
            NoStep::Oldest(_) | NoStep::UnknownCode => return true,
            NoStep::Unusual => {}
        }
        let Some(over) = unusual_step(frame, rule, end, &mut reader) else {
            return true;
        };
        interrupted = usize::from(over.interrupted);
        frame = over.caller;
    }
    true
}
