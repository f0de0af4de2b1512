//! Libraries that come and go, files of code that are replaced, and the names that there are then.

use std::ffi::{CString, c_int, c_void};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tracemalloc::{Frame, Traceback};

use crate::audit::{Block, audit, churn};
use crate::cases;
use crate::children::churn_while;

cases![
    libraries_that_come_and_go_pass_the_audit fails with LosesRecords,
    names_are_those_of_the_library_at_that_address,
    a_library_whose_file_was_replaced_has_no_wrong_names,
    a_program_whose_file_was_replaced_has_its_names,
];

/// A library with one function that calls back.
fn library(folder: &Path, name: &str) -> PathBuf {
    let source = folder.join(format!("{name}.c"));
    let text = format!(
        "int {name}_calls(int depth, int (*back)(void)) {{\n\
         \tvolatile int room[8] = {{0}};\n\
         \tif (depth > 0) return {name}_calls(depth - 1, back) + room[0];\n\
         \treturn back() + room[1];\n}}\n"
    );
    fs::write(&source, text).unwrap();
    let library = folder.join(format!("lib{name}.so"));
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .status()
        .expect("a compiler of C, as the dependencies of the tests need one");
    assert!(status.success());
    library
}

extern "C" fn back() -> c_int {
    let mut block = Block::new(77);
    assert!(block.try_resize(141));
    block.free();
    CALLED.fetch_add(1, Ordering::Relaxed);
    0
}

static CALLED: AtomicUsize = AtomicUsize::new(0);

/// The function of a library: calls itself so often, then back.
type Calls = extern "C" fn(c_int, extern "C" fn() -> c_int) -> c_int;

/// A library while it is loaded.
struct Loaded {
    handle: *mut c_void,
    calls: Calls,
}

impl Loaded {
    fn open(library: &Path, name: &str) -> Self {
        let path = CString::new(library.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: the library has no initialisers.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null());
        let symbol = CString::new(format!("{name}_calls")).unwrap();
        // SAFETY: the handle is open.
        let function = unsafe { libc::dlsym(handle, symbol.as_ptr()) };
        assert!(!function.is_null());
        // SAFETY: the library's function has this type.
        let calls = unsafe { std::mem::transmute::<*mut c_void, Calls>(function) };
        Self { handle, calls }
    }

    /// Where the library is.
    fn place(&self) -> usize {
        self.calls as usize
    }

    fn call(&self, back: extern "C" fn() -> c_int) {
        assert_eq!((self.calls)(5, back), 0);
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: nothing of the library is used any more.
        unsafe { libc::dlclose(self.handle) };
    }
}

/// Calls back through the library. Returns where it was loaded.
fn call_through(library: &Path, name: &str) -> usize {
    let library = Loaded::open(library, name);
    library.call(back);
    library.place()
}

/// A folder of this case's own.
fn folder() -> PathBuf {
    let folder = format!("libraries-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Two libraries take turns at one address while other threads capture: what is known
/// of code does not outlive it.
fn libraries_that_come_and_go_pass_the_audit() {
    let folder = folder();
    let libraries = ["first", "other"].map(|name| (name, library(&folder, name)));
    tracemalloc::start(25).unwrap();
    let mut held = Vec::with_capacity(300);
    churn(1, 300, &mut held);
    let mut places = [0; 2];
    let busy = &AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 0..2 {
            scope.spawn(move || churn_while(busy, seed));
        }
        for _ in 0..200 {
            for (place, (name, library)) in places.iter_mut().zip(&libraries) {
                *place = call_through(library, name);
            }
        }
        busy.store(false, Ordering::Relaxed);
    });
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(CALLED.load(Ordering::Relaxed), 400);
    assert_eq!(places[0], places[1], "one in the place of the other");
    audit(&held);
}

/// Blocks that were allocated when a library called back.
static KEPT: Mutex<Vec<Block>> = Mutex::new(Vec::new());

extern "C" fn keep() -> c_int {
    KEPT.lock().unwrap().push(Block::new(77));
    0
}

fn kept_through(library: &Loaded) -> Block {
    library.call(keep);
    KEPT.lock().unwrap().pop().unwrap()
}

fn traceback(block: &Block) -> Traceback {
    tracemalloc::get_object_traceback(&block.address).expect("a traced block")
}

/// Functions of libraries in a block's traceback, each once.
fn functions(block: &Block) -> Vec<String> {
    let traceback = traceback(block);
    let names = traceback.iter().filter_map(Frame::function);
    let mut names: Vec<String> = names
        .filter(|name| name.ends_with("_calls"))
        .map(str::to_owned)
        .collect();
    names.dedup();
    names
}

/// A library loaded after the first snapshot has names. Blocks left by an unloaded library keep its names
/// until another library loads at that address.
fn names_are_those_of_the_library_at_that_address() {
    let folder = folder();
    let [first, other, late] = ["first", "other", "late"].map(|name| library(&folder, name));
    tracemalloc::start(25).unwrap();
    let loaded = Loaded::open(&first, "first");
    let place = loaded.place();
    let left_behind = kept_through(&loaded);
    assert_eq!(functions(&left_behind), ["first_calls"]);
    drop(loaded);
    // Nothing is there now, or something that is not in the list of modules.
    assert_eq!(functions(&left_behind), ["first_calls"]);

    let loaded = Loaded::open(&other, "other");
    assert_eq!(loaded.place(), place, "one in the place of the other");
    let block = kept_through(&loaded);
    let names = functions(&block);
    assert_eq!(names, ["other_calls"]);
    // At the same address: whose it was is not known any more.
    assert_eq!(functions(&left_behind), ["other_calls"]);
    let module = traceback(&block);
    let modules = module
        .iter()
        .filter_map(|frame| Some(&frame.code()?.0.path));
    assert!(modules.clone().any(|path| path.ends_with("libother.so")));
    assert!(!modules.clone().any(|path| path.ends_with("libfirst.so")));

    let added = Loaded::open(&late, "late");
    let later = kept_through(&added);
    assert_eq!(functions(&later), ["late_calls"]);
    audit(&[left_behind, block, later]);
    fs::remove_dir_all(&folder).unwrap();
}

/// An update puts another build in the place of a file that is in use.
fn a_library_whose_file_was_replaced_has_no_wrong_names() {
    let folder = folder();
    let [mine, other] = ["mine", "other"].map(|name| library(&folder, name));
    let loaded = Loaded::open(&mine, "mine");
    tracemalloc::start(25).unwrap();
    let block = kept_through(&loaded);
    fs::rename(&other, &mine).unwrap();
    let nameless = |block: &Block| {
        let names: Vec<String> = traceback(block).iter().map(ToString::to_string).collect();
        let unnamed = names
            .iter()
            .filter(|name| name.starts_with("libmine.so+0x"));
        assert!(
            functions(block).is_empty() && unnamed.count() == 6,
            "{names:#?}"
        );
    };
    nameless(&block);
    // A library that was loaded after the first names were read.
    let added = library(&folder, "added");
    let late = Loaded::open(&added, "added");
    fs::remove_file(&added).unwrap();
    let block = kept_through(&late);
    assert!(functions(&block).is_empty());
    fs::remove_dir_all(&folder).unwrap();
}

#[inline(never)]
fn allocate_in_a_program_without_a_file() -> Block {
    black_box(Block::new(77))
}

/// A copy of this program deletes its file, or puts another one there, before it takes the first
/// snapshot.
fn a_program_whose_file_was_replaced_has_its_names() {
    const COPY: &str = "TRACEMALLOC_TEST_COPY";
    if let Ok(way) = std::env::var(COPY) {
        let own = std::env::current_exe().unwrap();
        tracemalloc::start(25).unwrap();
        let block = allocate_in_a_program_without_a_file();
        match way.as_str() {
            "deleted" => fs::remove_file(&own).unwrap(),
            _ => fs::rename(own.with_file_name("other"), &own).unwrap(),
        }
        let traceback = traceback(&block);
        let frame = traceback.iter().find(|frame| {
            let function = frame.function().unwrap_or_default();
            function.ends_with("allocate_in_a_program_without_a_file")
        });
        let frame = frame.unwrap_or_else(|| panic!("{way}: {traceback:#?}"));
        // Files are called after the program, which has another name here.
        assert!(frame.filename().ends_with(file!()), "{}", frame.filename());
        audit(&[block]);
        return;
    }
    let folder = folder();
    let own = std::env::current_exe().unwrap();
    for way in ["deleted", "replaced"] {
        let copy = folder.join("program");
        fs::copy(&own, &copy).unwrap();
        fs::copy("/bin/true", folder.join("other")).unwrap();
        let output = Command::new(&copy).env(COPY, way).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{way}: {text}");
    }
    fs::remove_dir_all(&folder).unwrap();
}
