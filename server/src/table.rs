//! Tables for people: columns that line up, nothing cut off, nothing drawn.

use comfy_table::{ContentArrangement, Table, presets};

use crate::output::on_one_line;

/// A table with these columns, without the last line's end.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| on_one_line(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Names and values below each other; those without a value are left out.
pub(crate) fn facts(facts: &[(&str, Option<String>)]) -> String {
    let longest = facts.iter().map(|(name, _)| name.len()).max();
    let width = longest.unwrap_or_default();
    let lines = facts.iter().filter_map(|(name, value)| {
        let value = on_one_line(value.as_deref()?);
        Some(format!("{name:width$}  {value}"))
    });
    lines.collect::<Vec<_>>().join("\n")
}
