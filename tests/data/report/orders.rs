//! Not compiled: source lines that the golden reports show.

pub fn read_orders(path: &Path) -> Vec<Order> {
    let text = fs::read_to_string(path).unwrap();
    let mut orders = Vec::with_capacity(text.lines().count());
    orders.extend(text.lines().map(|line| Order::parse(line).expect("a line of six fields, divided by commas")));
    orders
}
