//! A batch program, which gives all of its memory back before it ends: history says what its peak was made of,
//! and which lines allocated all the time. With the argument `lean` it borrows what it copies otherwise.
//!
//!     TRACEMALLOC=25 TRACEMALLOC_HISTORY=1 TRACEMALLOC_OUT=batch.tmsnap.json.gz \
//!         cargo run --release --example batch

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

#[global_allocator]
static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();

struct Sale {
    shop: String,
    product: String,
    cents: u64,
}

/// Stands for a file.
fn table(sales: u64) -> String {
    let mut text = String::new();
    for number in 0..sales {
        let (shop, product) = (number % 40, number % 900);
        writeln!(text, "shop-{shop},product-{product},{}", number % 5_000)
            .expect("memory takes it");
    }
    text
}

fn parse(text: &str) -> Vec<Sale> {
    let mut sales = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        sales.push(Sale {
            shop: fields[0].to_owned(),
            product: fields[1].to_owned(),
            cents: fields[2].parse().unwrap_or(0),
        });
    }
    sales
}

fn by_shop(sales: &[Sale]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for sale in sales.iter().filter(|sale| !sale.product.is_empty()) {
        *sums.entry(sale.shop.clone()).or_default() += sale.cents;
    }
    sums
}

/// Line by line, without a copy of any field.
fn by_shop_lean(text: &str) -> BTreeMap<&str, u64> {
    let mut sums = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(',');
        let (shop, cents) = (fields.next().unwrap_or(""), fields.nth(1).unwrap_or(""));
        *sums.entry(shop).or_default() += cents.parse::<u64>().unwrap_or(0);
    }
    sums
}

fn main() -> Result<(), Box<dyn Error>> {
    let is_lean = std::env::args().nth(1).as_deref() == Some("lean");
    tracemalloc::start_from_env()?;
    let text = table(50_000);
    let best = match is_lean {
        true => best_shop(&by_shop_lean(&text)),
        false => best_shop(&by_shop(&parse(&text))),
    };
    println!("{best}");
    assert_eq!(best, "shop-39: 31487.50");
    Ok(())
}

fn best_shop<K: AsRef<str> + Ord>(sums: &BTreeMap<K, u64>) -> String {
    let best = sums.iter().max_by_key(|(_, cents)| **cents);
    best.map_or_else(String::new, |(shop, cents)| {
        format!("{}: {}.{:02}", shop.as_ref(), cents / 100, cents % 100)
    })
}
