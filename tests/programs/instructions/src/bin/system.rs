//! Without the tracer.

fn main() {
    instructions::run();
}
