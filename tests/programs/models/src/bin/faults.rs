//! Lists the defects that the models have to find, a line each: the name, and the program and the
//! model that find it.

mod faults {
    include!("../faults.rs");
}

fn main() {
    for fault in faults::FAULTS {
        println!("{} {}", fault.name, fault.found_by);
    }
}
