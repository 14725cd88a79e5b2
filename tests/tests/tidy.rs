//! Rules of the sources that no compiler holds: names, the beginnings of docs, the lengths of functions. Each check is a
//! function over a source text, and has a test of its own that plants a violation.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use files::walk::walk;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A source file of a crate that is no test.
struct Source {
    /// Its path below the workspace.
    path: PathBuf,
    text: String,
}

/// The sources of all crates but this one.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo answers");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let packages = packages.filter(|package| package["name"] != "tests");
    let mut sources = Vec::new();
    for package in packages {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap();
        let is_rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
        let mut paths: Vec<PathBuf> =
            walk(&folder.join("src"), is_rust).files.into_iter().map(|file| file.path).collect();
        paths.extend(Some(folder.join("build.rs")).filter(|path| path.exists()));
        for path in paths {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { path: path.strip_prefix(root).unwrap().to_owned(), text });
        }
    }
    assert!(sources.len() > 100, "{}", sources.len());
    sources
}

/// Fails with each violation that `check` finds in a source.
fn hold(check: impl Fn(&str) -> Vec<String>) {
    hold_where(|_| true, check);
}

/// The same of the sources whose path is `wanted`.
fn hold_where(wanted: impl Fn(&Path) -> bool, check: impl Fn(&str) -> Vec<String>) {
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| wanted(&source.path)) {
        let path = source.path.display();
        violations.extend(check(&source.text).into_iter().map(|what| format!("{path}: {what}")));
    }
    assert!(violations.is_empty(), "{}\n{}", violations.len(), violations.join("\n"));
}

/// A definition's kind, as its keyword, and its name.
#[derive(Default)]
struct Definitions(Vec<(&'static str, String)>);

macro_rules! define {
    ($($visit:ident($item:ident), $keyword:literal, $($name:ident).+;)*) => {
        impl<'a> Visit<'a> for Definitions {
            $(fn $visit(&mut self, item: &'a syn::$item) {
                self.0.push(($keyword, item.$($name).+.to_string()));
                visit::$visit(self, item);
            })*
        }
    };
}

define! {
    visit_item_struct(ItemStruct), "struct", ident;
    visit_item_enum(ItemEnum), "enum", ident;
    visit_item_union(ItemUnion), "union", ident;
    visit_item_trait(ItemTrait), "trait", ident;
    visit_item_type(ItemType), "type", ident;
    visit_item_mod(ItemMod), "mod", ident;
    visit_item_fn(ItemFn), "fn", sig.ident;
    visit_impl_item_fn(ImplItemFn), "fn", sig.ident;
    visit_trait_item_fn(TraitItemFn), "fn", sig.ident;
}

fn definitions(source: &str) -> Vec<(&'static str, String)> {
    let mut definitions = Definitions::default();
    definitions.visit_file(&syn::parse_file(source).expect("a source parses"));
    definitions.0
}

/// Irregular past participles; the regular ones end in "ed".
const PARTICIPLES: &[&str] = &[
    "begun",
    "bent",
    "bound",
    "bought",
    "broken",
    "brought",
    "built",
    "caught",
    "chosen",
    "done",
    "drawn",
    "driven",
    "fallen",
    "felt",
    "found",
    "forgotten",
    "given",
    "gone",
    "grown",
    "heard",
    "held",
    "hidden",
    "kept",
    "known",
    "laid",
    "learnt",
    "led",
    "lent",
    "lost",
    "made",
    "meant",
    "met",
    "paid",
    "said",
    "seen",
    "sent",
    "shown",
    "spelt",
    "spent",
    "spoken",
    "stood",
    "taken",
    "taught",
    "thought",
    "thrown",
    "told",
    "torn",
    "understood",
    "won",
    "worn",
    "written",
];

/// Nouns and verbs that end in "ed" and are no participles.
const NO_PARTICIPLES: &[&str] = &["embed", "feed", "need", "seed", "speed"];

/// The last word of a name in CamelCase or snake_case, in lower case: the one that the others qualify.
fn head(name: &str) -> String {
    let word = name.trim_end_matches('_').rsplit('_').next().unwrap_or_default();
    match word.rfind(char::is_uppercase) {
        Some(start) if word.chars().any(char::is_lowercase) => word[start..].to_lowercase(),
        _ => word.to_lowercase(),
    }
}

/// Types and modules whose name is a past participle: it does not say what the thing is.
fn participles(source: &str) -> Vec<String> {
    let named = definitions(source).into_iter().filter(|(keyword, name)| {
        let head = head(name);
        let regular = head.ends_with("ed") && !NO_PARTICIPLES.contains(&&*head);
        *keyword != "fn" && (regular || PARTICIPLES.contains(&&*head))
    });
    named.map(|(keyword, name)| format!("{keyword} {name} is named by a past participle")).collect()
}

#[test]
fn no_type_and_no_module_is_named_by_a_past_participle() {
    hold(participles);
}

#[test]
fn a_past_participle_is_found_as_a_name() {
    let source = "mod coded; pub struct Told; enum CaptionAsked {} trait Kept {} type Drawn<T> = T;
        fn told() { struct Measured; }";
    assert_eq!(participles(source).len(), 6, "{:?}", participles(source));
    let source = "mod decode; struct DecodedImage; struct Seed; struct RunSeed; fn asked() {} struct KEPT_A;";
    assert_eq!(participles(source), [""; 0]);
}

/// Docs that begin with "What ".
fn whats(source: &str) -> Vec<String> {
    let marks = ["///", "//!"];
    let doc = |line: &str| marks.into_iter().find(|mark| line.starts_with(mark));
    let mut before = None;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(source.lines().map(str::trim_start)) {
        let mark = doc(line);
        if mark.is_some() && mark != before && line[3..].starts_with(" What ") {
            found.push(format!("{number}: {line}"));
        }
        before = mark;
    }
    found
}

#[test]
fn no_doc_begins_with_what() {
    hold(whats);
}

#[test]
fn what_is_found_where_a_doc_begins_with_it() {
    let source = "//! What a module is.\n\nstruct A {\n    /// What a field is,\n    /// What more.\n    a: u8,\n}";
    assert_eq!(whats(source).len(), 2);
    assert_eq!(
        whats("/// Says\n/// What it is.\n// What a comment is\nlet a = \"/// What\";"),
        [""; 0]
    );
}

/// A first line that documents nothing.
fn undocumented(source: &str) -> Vec<String> {
    match source.lines().next().unwrap_or_default() {
        line if line.starts_with("//! ") => Vec::new(),
        line => vec![format!("begins with {line:?} and not with what it is")],
    }
}

#[test]
fn every_module_begins_with_what_it_is() {
    hold(undocumented);
}

#[test]
fn a_module_that_begins_with_no_doc_is_found() {
    for source in ["use std::fs;", "", "/// A doc of the next item.\nfn a() {}", "//!\n//! Late."] {
        assert_eq!(undocumented(source).len(), 1);
    }
    assert_eq!(undocumented("//! A tokenizer.\nuse std::fs;"), [""; 0]);
}

/// Words of the field that whoever reads the sources looks for.
const FIELD_WORDS: [&str; 8] = [
    "KvCache",
    "prefill",
    "Prefetch",
    "Quantizer",
    "gemv",
    "simd",
    "Reranker",
    "GradientCheckpointing",
];

/// A name without its case and underscores.
fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

/// The words that are no part of a definition's name in any of these sources.
fn undefined<'a>(words: &[&'a str], sources: &[&str]) -> Vec<&'a str> {
    let names: BTreeSet<String> = sources
        .iter()
        .flat_map(|source| definitions(source))
        .filter(|(keyword, _)| *keyword != "type")
        .map(|(_, name)| plain(&name))
        .collect();
    let undefined = |word: &&&str| !names.iter().any(|name| name.contains(&plain(word)));
    words.iter().filter(undefined).copied().collect()
}

#[test]
fn the_fields_words_are_names_of_definitions() {
    let sources = sources();
    let texts: Vec<&str> = sources.iter().map(|source| &*source.text).collect();
    assert_eq!(undefined(&FIELD_WORDS, &texts), [""; 0]);
}

#[test]
fn a_word_that_only_a_comment_has_is_found() {
    let sources =
        ["/// A KvCache.\nstruct Cache; impl Cache { fn prefill_all() {} }", "mod simd {}"];
    assert_eq!(undefined(&["KvCache", "prefill", "simd"], &sources), ["KvCache"]);
}

/// The most lines of a function, and of a model's forward pass.
const LONGEST: usize = 100;
const LONGEST_FORWARD: usize = 60;

#[derive(Default)]
struct Lengths(Vec<String>);

impl Lengths {
    fn measure(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let first = signature.span().start().line;
        let lines = body.span().end().line + 1 - first;
        let name = signature.ident.to_string();
        let most = if name.starts_with("forward") { LONGEST_FORWARD } else { LONGEST };
        if lines > most {
            self.0.push(format!(
                "{first}: fn {name} has {lines} lines, at most {most} are read at once"
            ));
        }
    }
}

impl<'a> Visit<'a> for Lengths {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.measure(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// Functions that are too long.
fn long_functions(source: &str) -> Vec<String> {
    let mut lengths = Lengths::default();
    lengths.visit_file(&syn::parse_file(source).expect("a source parses"));
    lengths.0
}

#[test]
fn no_function_is_longer_than_a_screen_or_two() {
    hold(long_functions);
}

#[test]
fn a_function_that_is_too_long_is_found() {
    let function =
        |name: &str, lines: usize| format!("fn {name}() {{\n{}}}\n", "a();\n".repeat(lines - 2));
    let inside = |name, lines| format!("impl A {{\n{}}}\n", function(name, lines));
    for source in [
        function("a", 101),
        function("forward", 61),
        inside("forward_cached", 61),
        inside("a", 101),
    ] {
        assert_eq!(long_functions(&source).len(), 1, "{source}");
    }
    for source in [function("a", 100), function("forward", 60), inside("backward", 100)] {
        assert_eq!(long_functions(&source), [""; 0]);
    }
}
