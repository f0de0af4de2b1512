//! What only processors of this kind have: return addresses that are authenticated, or that stay in a register.

use std::arch::naked_asm;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Calls `work` with its own return address authenticated, if the processor can.
#[unsafe(naked)]
extern "C" fn authenticated(work: extern "C" fn()) {
    naked_asm!(
        ".cfi_startproc",
        "hint #25",
        ".cfi_negate_ra_state",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "blr x0",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "hint #29",
        ".cfi_negate_ra_state",
        "ret",
        ".cfi_endproc",
    )
}

#[test]
fn stacks_with_authenticated_return_addresses_agree() {
    static SIGNED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn check() {
        compare(200);
        // SAFETY: where the function that called this one has saved its return address.
        let word = unsafe { word::read(caller().sp + 8) };
        let signed = usize::from(word != arch::plain(word));
        SIGNED.fetch_add(signed, Ordering::SeqCst);
    }
    prepare();
    for depth in 0..20 {
        recurse(depth, &mut || authenticated(check));
    }
    const PACA: libc::c_ulong = 1 << 30;
    // SAFETY: reads what the kernel gave the process at its start.
    let can = unsafe { libc::getauxval(libc::AT_HWCAP) } & PACA != 0;
    assert_eq!(SIGNED.load(Ordering::SeqCst) > 0, can);
}

/// Its caller is known while it runs, from a register that the walk does not follow.
#[test]
fn what_leaves_its_return_address_in_the_register_takes_a_general_step() {
    #[unsafe(naked)]
    extern "C" fn leaf() {
        naked_asm!(".cfi_startproc", "nop", "nop", "ret", ".cfi_endproc")
    }
    prepare();
    let inside = leaf as extern "C" fn() as usize + 4;
    assert_eq!(UNWINDER.rule(&ARENA, inside).kind(), Kind::Other);
}
