//! A program that did not install the wrapper gets an error, not zeros.

use tracemalloc::ErrorKind;

#[test]
fn start_without_the_wrapper_is_a_clear_error() {
    for _ in 0..3 {
        let error = tracemalloc::start(25).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotInstalled);
        assert!(error.to_string().contains("#[global_allocator]"), "{error}");
        assert!(!tracemalloc::is_tracing());
    }
    let error = tracemalloc::Scope::open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotInstalled);
    let measured = std::panic::catch_unwind(|| tracemalloc::measure(|| ()));
    assert!(measured.is_err(), "zeros that nobody counted");
    // A wrong number of frames is the first thing to be said.
    assert_eq!(
        tracemalloc::start(0).unwrap_err().kind(),
        ErrorKind::InvalidFrameCount
    );
}
