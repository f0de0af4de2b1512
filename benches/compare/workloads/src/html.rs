//! Web pages, parsed into trees, cleaned of what could do harm, and written again.

use std::fmt::Write;

use crate::numbers::{Checksum, Numbers};
use crate::{Size, Work};

pub(crate) fn prepare(size: Size) -> Work {
    let pages: Vec<String> = (0..size.of(60, 1)).map(|seed| page(seed as u64)).collect();
    Box::new(move || {
        let mut sum = Checksum::default();
        for page in &pages {
            sum.add_text(&ammonia::clean(page));
        }
        sum.value()
    })
}

/// About 60 KiB: navigation, articles with nested lists, a table; not all of it closed.
fn page(seed: u64) -> String {
    let mut numbers = Numbers::new(seed);
    let mut text = String::from(
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8><title>Page &amp; more</title>\
         </head><body><nav class=\"top wide\"><ul>",
    );
    for link in 0..20 {
        let name = numbers.words(2);
        push(
            &mut text,
            format_args!("<li><a href=\"/p/{link}?a=1&amp;b=2\" class=link>{name}</a>"),
        );
    }
    text.push_str("</ul></nav><main id=main>");
    for number in 0..40 {
        let (title, lead) = (numbers.words(4), numbers.words(20));
        push(
            &mut text,
            format_args!(
                "<article id=\"a{number}\" class=\"card\" data-kind=\"{}\"><h2>{title}</h2>\
                 <p>{lead} <em>{}</em> &mdash; <b>{}<i>{}</b></i>",
                numbers.words(1),
                numbers.words(2),
                numbers.words(1),
                numbers.words(1),
            ),
        );
        list(4, &mut numbers, &mut text);
        text.push_str("</article>");
    }
    text.push_str("<table><thead><tr><th>Name<th>Count<tbody>");
    for row in 0..100 {
        let name = numbers.words(2);
        push(
            &mut text,
            format_args!(
                "<tr class=r{}><td>{name}<td style=\"color:red\">{row}",
                row % 2
            ),
        );
    }
    text.push_str("</table></main><script>if (a < b) { c(); }</script></body></html>");
    text
}

fn list(depth: usize, numbers: &mut Numbers, text: &mut String) {
    text.push_str("<ul>");
    for _ in 0..1 + numbers.below(3) {
        push(text, format_args!("<li>{}", numbers.words(3)));
        if depth > 0 {
            list(depth - 1, numbers, text);
        }
    }
    text.push_str("</ul>");
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string takes everything");
}
