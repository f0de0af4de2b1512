//! A script engine: values, scopes and calls of an interpreter.

use rhai::{Engine, Scope};

use crate::numbers::Checksum;
use crate::{Size, Work};

const SCRIPT: &str = include_str!("orders.rhai");

pub(crate) fn prepare(size: Size) -> Work {
    let orders = size.of(12_000, 50) as i64;
    Box::new(move || {
        let engine = Engine::new();
        let script = engine.compile(SCRIPT).expect("the script is valid");
        let mut scope = Scope::new();
        scope.push("orders", orders);
        let report = engine.eval_ast_with_scope::<String>(&mut scope, &script);
        let mut sum = Checksum::default();
        report
            .expect("the script ends")
            .bytes()
            .for_each(|byte| sum.add(u64::from(byte)));
        sum.value()
    })
}
