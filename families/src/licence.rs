//! The licence of a model, as the card in its folder names it.

use files::text::excerpt;
use weights::Folder;

/// A model's card: a text that may begin with fields in YAML between two lines of `---`.
const CARD: &str = "README.md";

/// The licence that the fields of the card in `folder` name: the `license_name` of one that the Hub has no name for, else the
/// `license`. `None` where no card says it, or it cannot be read.
pub fn licence(folder: &Folder) -> Option<String> {
    let card = folder.read(CARD).ok()??;
    let card = String::from_utf8_lossy(&card);
    let mut lines = card.lines();
    lines.next().filter(|line| line.trim_end() == "---")?;
    let fields: Vec<&str> = lines.take_while(|line| line.trim_end() != "---").collect();
    let value = |name: &str| {
        let mut lines = fields.iter();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let value = value.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| excerpt(value))
    };
    value("license_name").or_else(|| value("license"))
}
