//! docs/paper-to-code.md names items that exist, and every section of the papers that describes method.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The sections of each paper that describe method, by the title of the paper's table.
const SECTIONS: [(&str, &str); 3] = [
    (
        "CLIP (2103.00020)",
        "2.1, 2.2, 2.3, figure 3, 2.4, 2.5, 3.1.1, 3.1.2, 3.1.3, 3.1.4, 3.1.5, 3.2, 3.3, 5, appendix A, appendix B, \
         appendix C, appendix D, appendix E, appendix F",
    ),
    ("GLIDE (2112.10741)", "2.1, 2.2, 2.3, 2.4, 4.1, 4.2, 4.3, 4.4, 5.2"),
    (
        "unCLIP (2204.06125)",
        "2, 2.1, 2.2, 3, 3.1, 3.2, 3.3, 4, 5.1, 5.2, 5.3, 5.4, 5.5, 7, appendix A, appendix B, appendix C",
    ),
];

/// The equations of each paper, by their beginnings on the page.
const EQUATIONS: [(&str, &[&str]); 2] = [
    (
        "GLIDE (2112.10741)",
        &[
            "the forward process q(",
            "the reverse process p(",
            "L_simple",
            "guided diffusion: mean + s Sigma grad log p(",
            "classifier-free guidance: eps(",
            "CLIP guidance: mean + s Sigma grad (",
        ],
    ),
    ("unCLIP (2204.06125)", &["the factorisation P(", "L_prior"]),
];

/// A row of a paper's table.
struct Row {
    paper: String,
    section: String,
    title: String,
    item: String,
}

/// The rows of the page's tables, each below the title of its paper.
fn rows(page: &str) -> Vec<Row> {
    let (mut paper, mut rows) = ("", Vec::new());
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            paper = title;
        }
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", first, item, _, ""] = cells[..] {
            let (section, title) = first.split_once(", ").unwrap_or((first, ""));
            let [paper, section, title, item] = [paper, section, title, item].map(str::to_owned);
            rows.push(Row { paper, section, title, item });
        }
    }
    rows
}

/// Everything between backticks that looks like a path of Rust's.
fn paths(page: &str) -> Vec<&str> {
    let odd = page.split('`').skip(1).step_by(2);
    odd.filter(|code| code.contains("::")).collect()
}

/// Whether an item's cell says something: a path, or why there is none.
fn is_answered(item: &str) -> bool {
    let reason = item.split_once("not built: ").map(|(_, reason)| reason);
    !paths(item).is_empty() || reason.is_some_and(|reason| reason.len() > 10)
}

/// The sections and equations that are not on the page, or with neither an item nor a reason.
fn missing(page: &str) -> Vec<String> {
    let rows = rows(page);
    let mut missing = Vec::new();
    for (paper, sections) in SECTIONS {
        for section in sections.split(", ") {
            let mut found = rows.iter().filter(|row| row.paper == paper && row.section == section);
            if !found.any(|row| is_answered(&row.item)) {
                missing.push(format!("{paper}: {section}"));
            }
        }
    }
    for (paper, equations) in EQUATIONS {
        for equation in equations {
            let is_it = |row: &&Row| row.paper == paper && row.title.starts_with(equation);
            if !rows.iter().filter(is_it).any(|row| is_answered(&row.item)) {
                missing.push(format!("{paper}: {equation}"));
            }
        }
    }
    missing
}

/// A source of a crate: the modules that lead to it, and its text.
#[derive(Clone)]
struct Source {
    modules: Vec<String>,
    text: String,
}

/// The folder of a crate of the workspace, as its manifest says.
fn crate_folder(name: &str) -> Option<PathBuf> {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("a manifest");
    let beginning = format!("{name} = {{ path = \"");
    let folder = manifest.lines().find_map(|line| line.strip_prefix(&beginning))?;
    Some(Path::new(ROOT).join(folder.split('"').next()?).join("src"))
}

/// Adds the sources below a folder.
fn read_sources(folder: &Path, modules: &[String], sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut modules = modules.to_vec();
        if !["lib", "main", "mod"].contains(&&*name) {
            modules.push(name);
        }
        if path.is_dir() {
            read_sources(&path, &modules, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            sources.push(Source { modules, text });
        }
    }
}

/// Whether a line without indentation defines an item with one of these keywords, whatever stands before them.
fn defines(line: &str, keywords: &[&str], name: &str) -> bool {
    if line.starts_with([' ', '/']) {
        return false;
    }
    let words: Vec<&str> = line
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .take_while(|word| *word != "where")
        .collect();
    let modifiers = ["pub", "crate", "super", "const", "unsafe", "async"];
    let first = words.iter().position(|word| keywords.contains(word) && *word != "const");
    let first = first.or_else(|| words.iter().position(|word| keywords.contains(word)));
    first.is_some_and(|n| {
        words[..n].iter().all(|word| modifiers.contains(word)) && words.get(n + 1) == Some(&name)
    })
}

const TYPES: [&str; 5] = ["struct", "enum", "trait", "type", "union"];
const VALUES: [&str; 4] = ["fn", "const", "static", "mod"];

/// The lines of an item of the first column to its closing brace, which rustfmt puts there too.
fn body(text: &str, begins: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if !line.is_empty() && !line.starts_with([' ', '}', ')']) {
            inside = begins(line);
        }
        if inside {
            lines.push(line);
        }
    }
    lines
}

/// Whether a type of this name, defined in these sources, has a member: a method, a constant, a field or a variant.
fn has_member(sources: &[Source], of: &str, member: &str) -> bool {
    let is_impl = |line: &str| {
        let own = line.strip_prefix("impl").map(|line| line.rsplit(" for ").next().unwrap_or(line));
        own.is_some_and(|own| {
            own.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == of)
        })
    };
    sources.iter().any(|source| {
        let blocks = body(&source.text, |line| defines(line, &TYPES, of) || is_impl(line));
        blocks.iter().filter_map(|line| line.strip_prefix("    ")).any(|line| {
            let line =
                line.strip_prefix("pub ").or(line.strip_prefix("pub(crate) ")).unwrap_or(line);
            let rest = line.strip_prefix(member);
            defines(line, &VALUES, member)
                || rest.is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with([':', ',', '{', '(', ' '])
                })
        })
    })
}

/// Whether a path's segments after the crate lead to an item of these sources.
fn resolves(sources: &[Source], segments: &[&str]) -> bool {
    let Some((first, rest)) = segments.split_first() else { return true };
    let top = |keywords: &[&str]| -> Vec<Source> {
        let defined =
            |source: &&Source| source.text.lines().any(|line| defines(line, keywords, first));
        sources.iter().filter(defined).cloned().collect()
    };
    if first.starts_with(char::is_uppercase) && first.contains(char::is_lowercase) {
        let defined = top(&TYPES);
        return match rest {
            [] => !defined.is_empty(),
            [member] => !defined.is_empty() && has_member(sources, first, member),
            _ => false,
        };
    }
    if rest.is_empty() && !top(&VALUES).is_empty() {
        return true;
    }
    let within: Vec<Source> = sources
        .iter()
        .filter(|source| source.modules.first().is_some_and(|module| module == first))
        .map(|source| Source { modules: source.modules[1..].to_vec(), ..source.clone() })
        .collect();
    !within.is_empty() && resolves(&within, rest)
}

/// The page's paths that name no item of the crates.
fn dangling(page: &str) -> Vec<String> {
    let exists = |path: &str| {
        let segments: Vec<&str> = path.split("::").collect();
        let mut sources = Vec::new();
        crate_folder(segments[0]).is_some_and(|folder| {
            read_sources(&folder, &[], &mut sources);
            resolves(&sources, &segments[1..])
        })
    };
    paths(page).into_iter().filter(|path| !exists(path)).map(str::to_owned).collect()
}

fn page() -> String {
    fs::read_to_string(Path::new(ROOT).join("docs/paper-to-code.md")).expect("the page")
}

#[test]
fn every_item_on_the_page_exists() {
    let page = page();
    assert!(paths(&page).len() > 50, "{:?}", paths(&page));
    assert_eq!(dangling(&page), [""; 0]);
}

#[test]
fn every_section_with_a_method_stands_on_the_page() {
    assert_eq!(missing(&page()), [""; 0]);
}

#[test]
fn an_item_that_does_not_exist_is_found() {
    let good = "`diffusion::guide` `diffusion::ddim::Ddim` `diffusion::Ddim::posterior` `diffusion::Ddim::eta` \
        `diffusion::Prediction::V` `diffusion::BetaSchedule::Linear` `training::Trainer::train_clip` `no path` `scenes::Scene`";
    assert_eq!(dangling(good), [""; 0]);
    for bad in [
        "diffusion::Dreams",
        "diffusion::guide_dreams",
        "diffusion::ddim::Ddpm",
        "diffusion::dreams::Ddim",
        "diffusion::Ddim::dream",
        "diffusion::Ddim::posterior::mean",
        "diffusion::Prediction::Dream",
        "diffusion::Posterior::invert",
        "diffusion::invert",
        "diffusion::that",
        "dreams::Ddim",
        "std::fs",
    ] {
        assert_eq!(dangling(&format!("See `{bad}`.")), [bad]);
    }
}

#[test]
fn a_section_that_is_missing_is_found() {
    let page = page();
    let without = |beginning: &str| {
        let lines: Vec<&str> = page.lines().filter(|line| !line.starts_with(beginning)).collect();
        missing(&lines.join("\n"))
    };
    assert_eq!(without("| 4.2, "), ["GLIDE (2112.10741): 4.2"]);
    assert_eq!(without("| 2.2, L_prior"), ["unCLIP (2204.06125): L_prior"]);
    assert_eq!(without("| appendix F, "), ["CLIP (2103.00020): appendix F"]);
    let silent =
        page.replace("| not built: it describes no method |", "| it describes no method |");
    assert_eq!(missing(&silent).len(), 1, "{:?}", missing(&silent));
}
