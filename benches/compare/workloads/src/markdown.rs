//! Texts in Markdown, as a site or a documentation tool shows them: parsed into a tree, written as
//! HTML.

use comrak::{Options, markdown_to_html};

use crate::numbers::{Checksum, Numbers};
use crate::{Size, Work};

pub(crate) fn prepare(size: Size) -> Work {
    let texts: Vec<String> = (0..size.of(2000, 5))
        .map(|seed| text(seed as u64))
        .collect();
    Box::new(move || {
        let mut options = Options::default();
        options.extension.table = true;
        options.extension.strikethrough = true;
        options.extension.autolink = true;
        options.extension.tasklist = true;
        options.extension.footnotes = true;
        let mut sum = Checksum::default();
        for text in &texts {
            sum.add_text(&markdown_to_html(text, &options));
        }
        sum.value()
    })
}

/// About 8 KiB.
fn text(seed: u64) -> String {
    let mut numbers = Numbers::new(seed);
    let mut text = format!(
        "# {}\n\n[ref]: https://example.org/a \"title\"\n\n",
        numbers.words(3)
    );
    for section in 0..12 {
        let title = numbers.words(4);
        text += &format!("## {section}. {title}\n\n");
        text += &format!(
            "{} **{}** {} `{}` and [{}](https://example.org/{section}) with *{}*, ~~{}~~.\n\n",
            numbers.words(12),
            numbers.words(2),
            numbers.words(8),
            numbers.words(1),
            numbers.words(2),
            numbers.words(1),
            numbers.words(1),
        );
        match section % 4 {
            0 => list(3, "", &mut numbers, &mut text),
            1 => {
                text += &format!(
                    "```rust\nfn main() {{ /* {} */ }}\n```\n\n",
                    numbers.words(6)
                )
            }
            2 => {
                text += "| name | count |\n| --- | ---: |\n";
                for row in 0..6 {
                    text += &format!("| {} | {row} |\n", numbers.words(2));
                }
                text += "\n";
            }
            _ => {
                text += &format!(
                    "> {}\n> see [{}][ref]\n\n",
                    numbers.words(9),
                    numbers.words(2)
                )
            }
        }
    }
    text
}

fn list(depth: usize, indent: &str, numbers: &mut Numbers, text: &mut String) {
    for item in 0..3 {
        *text += &format!(
            "{indent}- [{}] {}\n",
            [" ", "x"][item % 2],
            numbers.words(4)
        );
        if depth > 1 && item == 1 {
            list(depth - 1, &format!("{indent}  "), numbers, text);
        }
    }
    if indent.is_empty() {
        text.push('\n');
    }
}
