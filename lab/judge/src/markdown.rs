//! Markdown tables.

/// A table with a row of column names, a rule, and a line for each of `rows`, which have a cell a column.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text =
        format!("| {} |\n| {} |\n", header.join(" | "), vec!["---"; header.len()].join(" | "));
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}
