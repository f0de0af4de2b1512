//! Two nodes own each other: what stays when both are dropped, and how is the circle broken?
//!
//!     cargo run --release --example weak_cycle

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use tracemalloc::{Error, GroupBy, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// Children own their parent: a circle, and nothing collects it.
struct Circular {
    parent: RefCell<Option<Rc<Circular>>>,
    children: RefCell<Vec<Rc<Circular>>>,
}

impl Circular {
    fn new() -> Rc<Self> {
        let (parent, children) = Default::default();
        Rc::new(Self { parent, children })
    }
}

/// Children know their parent and do not own it.
struct Tree {
    parent: RefCell<Weak<Tree>>,
    children: RefCell<Vec<Rc<Tree>>>,
}

impl Tree {
    fn new() -> Rc<Self> {
        let (parent, children) = Default::default();
        Rc::new(Self { parent, children })
    }
}

fn circle() {
    let (parent, child) = (Circular::new(), Circular::new());
    print!("  owners of the parent: {}", Rc::strong_count(&parent));
    *child.parent.borrow_mut() = Some(Rc::clone(&parent));
    parent.children.borrow_mut().push(child);
    println!(", with its child {}", Rc::strong_count(&parent));
}

fn tree() {
    let (parent, child) = (Tree::new(), Tree::new());
    print!("  owners of the parent: {}", Rc::strong_count(&parent));
    *child.parent.borrow_mut() = Rc::downgrade(&parent);
    let same = child.parent.borrow().upgrade();
    assert!(same.is_some_and(|same| Rc::ptr_eq(&same, &parent)));
    parent.children.borrow_mut().push(child);
    let (strong, weak) = (Rc::strong_count(&parent), Rc::weak_count(&parent));
    println!(", with its child {strong}, and {weak} weak");
}

/// Blocks that `build` leaves behind, by line.
fn left_by(build: fn()) -> Result<u64, Error> {
    let before = tracemalloc::take_snapshot()?;
    build();
    let after = tracemalloc::take_snapshot()?;
    let lines = after.compare_to(&before, GroupBy::Line)?;
    let left = lines.iter().filter(|line| line.count_diff > 0);
    left.for_each(|line| println!("  {line}"));
    Ok(after.block_count() - before.block_count())
}

fn main() -> Result<(), Error> {
    println!("Rc both ways:");
    tracemalloc::start(25)?;
    let circle = left_by(circle)?;
    println!("Rc down, Weak up:");
    let tree = left_by(tree)?;
    println!("  {tree} blocks left");
    assert_eq!(circle, 3, "two nodes, and the list of children");
    assert_eq!(tree, 0);
    Ok(())
}
