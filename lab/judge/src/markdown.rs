//! Markdown tables.

/// A table: the column names with ` | ` between them, a rule, and a line for each of `rows`, which have a cell a column.
pub fn table(header: &str, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rule = vec!["---"; header.split(" | ").count()].join(" | ");
    let mut text = format!("| {header} |\n| {rule} |\n");
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}
