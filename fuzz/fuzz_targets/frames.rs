//! Call-frame information of any content, and program headers that lead to it.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 4 | where in the image `.eh_frame_hdr` begins |
//! | 4 times 4 | return addresses, from the beginning of the image |
//! | the rest | the image |
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((numbers, image)) = data.split_at_checked(20) else {
        return;
    };
    let number = |at: usize| i32::from_le_bytes(numbers[at..at + 4].try_into().expect("4 bytes"));
    let header = number(0) as u32 as usize % (image.len() + 1);
    tracemalloc::fuzzing::rules(image, header, [4, 8, 12, 16].into_iter().map(number));

    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    let headers: Vec<[u64; 4]> = image
        .chunks_exact(32)
        .take(16)
        .map(|header| std::array::from_fn(|at| word(&header[8 * at..8 * at + 8])))
        .collect();
    tracemalloc::fuzzing::headers(word(&numbers[..8]), &headers);
});
