//! Call-frame information that is wrong, and stacks that it leads astray: rules come of it or do
//! not, and a walk stays on its stack and comes to an end.

use std::ffi::c_void;

use super::*;
use crate::engine::unwind::cfi::modules::Module;
use crate::engine::unwind::cfi::rule::UnwindRule;
use crate::engine::unwind::cfi::walk::step;

/// The function that the information is about begins so far behind it.
const CODE: usize = 1 << 20;
const CODE_LEN: usize = 0x100;
const INFORMATION: usize = 96;

/// A header, one common entry and one of a function, as a linker lays them out, at `at`.
fn information(at: usize) -> [u8; INFORMATION] {
    let mut bytes = [0; INFORMATION];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    let relative = |to: usize, from: usize| ((to as i64 - from as i64) as i32).to_le_bytes();
    let (common, function, code) = (20, 44, at + CODE);
    // Version, and how the words below are written.
    put(0, &[1, 0x1b, 0x03, 0x3b]);
    put(4, &relative(at + common, at + 4));
    put(8, &1_u32.to_le_bytes());
    put(12, &relative(code, at));
    put(16, &relative(at + function, at));
    put(common, &20_u32.to_le_bytes());
    // Version, "zR", alignments 1 and -8, return address 16, encoding.
    put(common + 8, &[1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b]);
    // CFA = stack pointer + 8, return address at CFA - 8.
    put(common + 17, &[0x0c, 7, 8, 0x90, 1]);
    put(function, &28_u32.to_le_bytes());
    put(function + 4, &(24_u32 + 4).to_le_bytes());
    put(function + 8, &relative(code, at + function + 8));
    put(function + 12, &(CODE_LEN as u32).to_le_bytes());
    // One byte further: CFA = stack pointer + 16, frame register at CFA - 16; then CFA by that.
    put(function + 17, &[0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6]);
    bytes
}

/// Pages with nothing on either side.
struct Fenced {
    start: *mut u8,
    len: usize,
}

impl Fenced {
    fn new(len: usize) -> Self {
        let map = |protection, at: *mut c_void, flags, len| {
            let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a fresh mapping, or a part of one.
            unsafe { libc::mmap(at, len, protection, flags, -1, 0) }
        };
        let around = map(libc::PROT_NONE, std::ptr::null_mut(), 0, len + 8192);
        assert_ne!(around, libc::MAP_FAILED);
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let start = map(both, around.wrapping_byte_add(4096), libc::MAP_FIXED, len);
        assert_ne!(start, libc::MAP_FAILED);
        Self {
            start: start.cast(),
            len,
        }
    }

    /// Puts `bytes` at the very end, so that nothing behind them can be read.
    fn at_end(&self, bytes: impl FnOnce(usize) -> Vec<u8>, len: usize) -> &'static [u8] {
        let start = self.start.wrapping_add(self.len - len);
        let bytes = bytes(start.addr());
        // SAFETY: inside the mapping.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, len) };
        // SAFETY: as above; the mapping stays.
        unsafe { std::slice::from_raw_parts(start, len) }
    }
}

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (self.0 >> 33) as usize
    }
}

/// UnwindRules for some places in the function, of information that `damage` has changed.
fn rules(fenced: &Fenced, len: usize, damage: impl FnOnce(&mut [u8])) -> Vec<UnwindRule> {
    let bytes = fenced.at_end(
        |at| {
            let mut bytes = information(at);
            damage(&mut bytes);
            bytes[..len].to_vec()
        },
        len,
    );
    let code = bytes.as_ptr().addr() + CODE;
    let module = Module::with_information(bytes, code..code + CODE_LEN);
    let places = [1, 2, 5, CODE_LEN / 2, CODE_LEN];
    places
        .map(|at| {
            general::step_anywhere(&module, code + at);
            UnwindRule::compile(&module, code + at)
        })
        .to_vec()
}

/// Walks by `rule` alone over words that were made for it: they lead to themselves, to each other,
/// to nowhere.
fn walk_by(rule: UnwindRule, stack: &Fenced, numbers: &mut Numbers) {
    let end = stack.start.expose_provenance() + stack.len;
    let sp = stack.start.addr() + numbers.next() % stack.len;
    let fp = match numbers.next() % 4 {
        0 => sp,
        1 => end,
        2 => numbers.next() << (numbers.next() % 40),
        _ => stack.start.addr() + numbers.next() % stack.len,
    };
    let mut frame = Caller { pc: CODE, sp, fp };
    let mut steps = 0;
    while let Some(step) = step(frame, rule, end) {
        assert!(step.caller.sp > frame.sp && step.caller.sp <= end);
        frame = step.caller;
        steps += 1;
        assert!(steps <= stack.len, "a walk that does not end");
    }
}

#[test]
fn whole_information_is_understood() {
    let fenced = Fenced::new(4096);
    let rules = rules(&fenced, INFORMATION, |_| {});
    let kinds: Vec<_> = rules.iter().map(|rule| rule.kind()).collect();
    assert_eq!(kinds[..2], [Kind::FromStackPointer; 2], "{rules:?}");
    assert_eq!(kinds[3], Kind::FromFramePointer, "{rules:?}");
    assert_eq!((rules[0].cfa_offset(), rules[1].cfa_offset()), (8, 16));
}

#[test]
fn damaged_information_leads_no_walk_off_its_stack() {
    let (fenced, stack) = (Fenced::new(4096), Fenced::new(4096));
    let mut numbers = Numbers(1);
    for word in 0..stack.len / 8 {
        let value = match word % 3 {
            0 => stack.start.addr() + word * 8,
            1 => CODE + 1,
            _ => numbers.next(),
        };
        let place = stack.start.wrapping_add(word * 8).cast::<usize>();
        // SAFETY: inside the mapping, aligned.
        unsafe { place.write(value) };
    }
    let check = |rules: Vec<UnwindRule>, numbers: &mut Numbers| {
        for rule in rules {
            for _ in 0..4 {
                walk_by(rule, &stack, numbers);
            }
        }
    };
    // Cut off anywhere.
    for len in 1..INFORMATION {
        check(rules(&fenced, len, |_| {}), &mut numbers);
    }
    // Every byte changed.
    for at in 0..INFORMATION {
        for change in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
            let rules = rules(&fenced, INFORMATION, |bytes| bytes[at] ^= change);
            check(rules, &mut numbers);
        }
    }
    // Expressions of any content: for the CFA, for a register's place, for its value.
    for _ in 0..20_000 {
        let mut program = [0; 12].map(|_: u8| numbers.next() as u8);
        program[11] = 0;
        let kind = [&[0x0f_u8][..], &[0x10, 6], &[0x16, 6]][numbers.next() % 3];
        let rules = rules(&fenced, INFORMATION, |bytes| {
            let instructions = &mut bytes[61..76];
            instructions[..kind.len()].copy_from_slice(kind);
            instructions[kind.len()] = 11;
            instructions[kind.len() + 1..kind.len() + 13].copy_from_slice(&program);
        });
        check(rules, &mut numbers);
    }
    // Anything for instructions, of the common entry and of the function's.
    for _ in 0..20_000 {
        let mut damage = [0; 16].map(|_: u8| numbers.next() as u8);
        damage[15] = 0;
        let at = if numbers.next().is_multiple_of(2) {
            37
        } else {
            61
        };
        let len = if at == 37 { 7 } else { 15 };
        let rules = rules(&fenced, INFORMATION, |bytes| {
            bytes[at..at + len].copy_from_slice(&damage[..len]);
        });
        check(rules, &mut numbers);
    }
    // UnwindRules that no information says.
    for _ in 0..20_000 {
        let bits = (numbers.next() as u64) << 33 | numbers.next() as u64;
        walk_by(UnwindRule::from_bits(bits), &stack, &mut numbers);
    }
}
