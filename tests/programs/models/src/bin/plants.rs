//! Lists the defects that the models have to find, a line each: the name, and the program and the
//! model that find it.

mod plants {
    include!("../plants.rs");
}

fn main() {
    for plant in plants::PLANTS {
        println!("{} {}", plant.name, plant.found_by);
    }
}
