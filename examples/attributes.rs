//! Objects with many attributes, as maps or as structs: what does each attribute cost?
//!
//!     cargo run --release --example attributes

use std::collections::HashMap;

use tracemalloc::{Error, GroupBy, Size, TraceAlloc, measure, measure_each};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// An empty list and an empty map hold nothing on the heap, yet each value takes the room of the
/// largest.
#[derive(PartialEq)]
enum Value {
    Float(f64),
    Bool(bool),
    List(Vec<Value>),
    Map(HashMap<&'static str, Value>),
    Unit,
}

fn value(attribute: usize) -> Value {
    match attribute % 5 {
        0 => Value::Float(1.0),
        1 => Value::Bool(true),
        2 => Value::List(Vec::new()),
        3 => Value::Map(HashMap::new()),
        _ => Value::Unit,
    }
}

/// Attributes by name, any number of them.
struct Dynamic<'a>(HashMap<&'a str, Value>);

impl<'a> Dynamic<'a> {
    fn new(names: &'a [String]) -> Box<Self> {
        let values = (0..).map(value);
        Box::new(Self(names.iter().map(String::as_str).zip(values).collect()))
    }
}

/// Attributes by place, as many as the type says.
struct Slots<const N: usize>([Value; N]);

impl<const N: usize> Slots<N> {
    fn new() -> Box<Self> {
        Box::new(Self(std::array::from_fn(value)))
    }
}

/// A struct that may have more attributes than its type says, as a class with `__dict__` among its
/// `__slots__`: a word as long as there are none.
#[derive(Default)]
struct Extended {
    radius: f64,
    #[expect(clippy::box_collection, reason = "a map itself takes six words")]
    more: Option<Box<HashMap<String, Value>>>,
}

trait Object {
    fn first(&self) -> Option<&Value>;
}

impl Object for Dynamic<'_> {
    fn first(&self) -> Option<&Value> {
        self.0.get("attribute_0")
    }
}

impl<const N: usize> Object for Slots<N> {
    fn first(&self) -> Option<&Value> {
        self.0.first()
    }
}

/// Bytes of a hundred objects of `N` attributes, as maps and as structs.
fn compare<const N: usize>(names: &[String]) -> (u64, u64) {
    let dynamic = measure_each(100, |_| Dynamic::new(&names[..N])).bytes;
    let slots = measure_each(100, |_| Slots::<N>::new()).bytes;
    let ratio = dynamic as f64 / slots as f64;
    println!(
        "{N:10} {:>12} {:>12} {ratio:6.1}x",
        Size(dynamic),
        Size(slots)
    );
    (dynamic, slots)
}

fn main() -> Result<(), Error> {
    let names: Vec<String> = (0..90).map(|n| format!("attribute_{n}")).collect();
    tracemalloc::start(25)?;
    println!("attributes  100 as maps   as structs  ratio");
    let few = [compare::<3>(&names), compare::<10>(&names)];
    let many = [compare::<30>(&names), compare::<90>(&names)];

    println!("\nBoth kinds in one list, by line:");
    let mixed: Vec<Box<dyn Object + '_>> = (0..100)
        .map(|n| match n % 2 {
            0 => Dynamic::new(&names[..10]) as Box<dyn Object>,
            _ => Slots::<10>::new(),
        })
        .collect();
    assert!(
        mixed
            .iter()
            .all(|object| object.first() == Some(&Value::Float(1.0)))
    );
    let lines = tracemalloc::take_snapshot()?.statistics(GroupBy::Line);
    lines.iter().take(3).for_each(|line| println!("  {line}"));
    drop(mixed);

    let (mut extended, plain) = measure(|| Box::new(Extended::default()));
    let ((), more) = measure(|| {
        extended.more = Some(Box::new(HashMap::from([("tag".to_owned(), Value::Unit)])));
    });
    println!(
        "\nA struct of {}, and {} for one more attribute",
        Size(plain.allocated),
        Size(more.allocated)
    );
    assert_eq!((extended.radius, plain.net_bytes()), (0.0, 16));

    assert!(few.iter().chain(&many).all(|(map, slots)| map > slots));
    Ok(())
}
