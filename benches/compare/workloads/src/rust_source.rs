//! A parser of Rust by recursive descent: deep stacks, and very many different ones.

use syn::visit::{self, Visit};

use crate::numbers::Checksum;
use crate::{Size, Work};

const SOURCES: &[&str] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

pub(crate) fn prepare(size: Size) -> Work {
    let sources = match size {
        Size::Full => SOURCES,
        Size::Small => &SOURCES[..8],
    };
    Box::new(move || {
        let mut sum = Checksum::default();
        for source in sources {
            let file = syn::parse_file(source).expect("published sources are valid");
            let mut counts = Counts::default();
            counts.visit_file(&file);
            sum.add(counts.expressions);
            sum.add(counts.types);
            sum.add(counts.letters);
        }
        sum.value()
    })
}

#[derive(Default)]
struct Counts {
    expressions: u64,
    types: u64,
    letters: u64,
}

impl<'a> Visit<'a> for Counts {
    fn visit_expr(&mut self, expression: &'a syn::Expr) {
        self.expressions += 1;
        visit::visit_expr(self, expression);
    }

    fn visit_type(&mut self, name: &'a syn::Type) {
        self.types += 1;
        visit::visit_type(self, name);
    }

    fn visit_lit_str(&mut self, literal: &'a syn::LitStr) {
        self.letters += literal.suffix().len() as u64 + 1;
    }
}
