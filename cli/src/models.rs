//! `unclip models`: the models in the Hugging Face Hub's cache, and those that are known to work.

use std::path::Path;

use anyhow::Result;
use clap::Args;
use families::{Ability, KNOWN_MODELS, known_model, summarize_completed_model};
use files::text::{REPLACEMENT, excerpt, steers};
use hub::{CachedRepository, Hub};
use serde_json::{Value, json};
use weights::Folder;

use crate::info::bytes;
use crate::record::inert;
use crate::stdout::{print_bytes, print_line};

/// Arguments of `unclip models`.
#[derive(Args)]
pub(crate) struct Models {
    /// Print the lists as JSON
    #[arg(long)]
    json: bool,
}

impl Models {
    /// Prints them. Opens no socket.
    pub(crate) fn run(&self) -> Result<()> {
        let cached = Hub::from_env()?.cached_repositories()?;
        let snapshots = cached.iter().flat_map(|repository| Snapshot::all(repository, &cached));
        let snapshots: Vec<Snapshot> = snapshots.collect();
        if self.json {
            let cached: Vec<Value> = snapshots.iter().map(Snapshot::json).collect();
            let models = json!({
                "cached": cached,
                "known": KNOWN_MODELS,
                "built_in": unclip::built_in_models(),
            });
            return print_line!("{}", inert(&format!("{models:#}")));
        }
        let mut text = String::new();
        let mut add = |title: &str, rows: Vec<Vec<String>>| {
            text += &format!("{title}\n");
            for row in aligned(&rows) {
                text += &format!("  {}\n", row.replace(steers, REPLACEMENT));
            }
        };
        let rows: Vec<Vec<String>> = snapshots.iter().map(Snapshot::row).collect();
        match rows.is_empty() {
            true => add("in the cache: none", rows),
            false => add("in the cache", rows),
        }
        add("known to work", KNOWN_MODELS.iter().map(known_row).collect());
        let built_in = unclip::built_in_models().into_iter();
        add("inside this program", built_in.map(|name| vec![name.to_owned()]).collect());
        print_bytes(text.as_bytes())
    }
}

/// A commit of a repository in the cache.
struct Snapshot<'a> {
    repository: String,
    size: u64,
    commit: &'a str,
    /// The branches and tags that mean it.
    refs: Vec<&'a str>,
    path: &'a Path,
    /// The repository in the cache that completes it.
    completed_by: Option<&'static str>,
    /// The family and its abilities, or why it does not open.
    contents: Result<(&'static str, Vec<Ability>), String>,
}

impl<'a> Snapshot<'a> {
    /// Those of a repository, which others in the cache may complete.
    fn all(repository: &'a CachedRepository, cached: &[CachedRepository]) -> Vec<Self> {
        let CachedRepository { repository, size, snapshots, refs } = repository;
        let completing = known_model(&repository.id()).and_then(|known| known.completed_by);
        let completing = completing.and_then(|name| Some((name, newest(cached, name)?)));
        let snapshots = snapshots.iter().map(|(commit, path)| {
            let refs = refs.iter().filter(|(_, meant)| meant == commit);
            Self {
                repository: repository.id(),
                size: *size,
                commit,
                refs: refs.map(|(name, _)| &**name).collect(),
                path,
                completed_by: completing.as_ref().map(|(name, _)| *name),
                contents: contents(path, completing.as_ref().map(|(_, folder)| folder)),
            }
        });
        snapshots.collect()
    }

    fn row(&self) -> Vec<String> {
        let commit: String = self.commit.chars().take(8).collect();
        let revision = [&[&*commit], &self.refs[..]].concat().join(" ");
        let contents = match &self.contents {
            Ok((family, abilities)) => {
                format!("{family}: {}{}", names(abilities), completed(self.completed_by))
            }
            Err(reason) => format!("does not open: {reason}"),
        };
        vec![self.repository.clone(), bytes(self.size), revision, contents]
    }

    fn json(&self) -> Value {
        let (family, abilities) = self.contents.as_ref().ok().cloned().unzip();
        json!({
            "repository": self.repository,
            "bytes": self.size,
            "revision": self.commit,
            "refs": self.refs,
            "path": self.path.to_string_lossy(),
            "opens": self.contents.is_ok(),
            "family": family,
            "abilities": abilities,
            "completed_by": self.completed_by,
            "problem": self.contents.as_ref().err(),
        })
    }
}

/// The snapshot of the repository `name` in the cache that its main branch means, or any other.
fn newest(cached: &[CachedRepository], name: &str) -> Option<Folder> {
    let repository = cached.iter().find(|cached| cached.repository.id() == name)?;
    let main = repository.refs.iter().find(|(name, _)| name == "main");
    let is_main = |commit: &str| main.is_some_and(|(_, meant)| meant == commit);
    let mut snapshots = repository.snapshots.iter();
    let found = snapshots.clone().find(|(commit, _)| is_main(commit)).or_else(|| snapshots.next());
    Folder::open(&found?.1).ok()
}

/// The family of the model in a folder and its abilities with another that completes it, or why it does not open.
fn contents(
    path: &Path,
    completing: Option<&Folder>,
) -> Result<(&'static str, Vec<Ability>), String> {
    let folder = Folder::open(path).map_err(|error| error.to_string())?;
    let summary = summarize_completed_model(&folder, completing);
    let summary = summary.map_err(|error| error.to_string())?;
    let damaged = summary.components.iter().find_map(|component| component.problem.as_ref());
    if let Some(problem) = damaged.or(summary.problems.first()) {
        return Err(excerpt(problem));
    }
    let able = summary.abilities.iter().filter(|ability| ability.missing.is_empty());
    let able: Vec<Ability> = able.map(|ability| ability.ability).collect();
    match summary.family {
        Some(family) if !able.is_empty() => Ok((family, able)),
        _ => {
            let parts = summary.components.iter().map(|component| component.component.to_owned());
            let parts: Vec<String> = parts.filter(|name| !name.is_empty()).collect();
            match parts.is_empty() {
                true => Err("it is one part of a model".to_owned()),
                false => Err(format!("it has no more than {}", parts.join(", "))),
            }
        }
    }
}

fn known_row(model: &families::KnownModel) -> Vec<String> {
    let completed = completed(model.completed_by);
    let contents = format!("{}: {}{completed}", model.family, names(model.abilities));
    [model.repository, &bytes(model.bytes), model.licence, &contents].map(str::to_owned).to_vec()
}

/// The end of a row about a model that another completes.
fn completed(by: Option<&str>) -> String {
    by.map_or_else(String::new, |repository| format!(" (completed by {repository})"))
}

fn names(abilities: &[Ability]) -> String {
    abilities.iter().map(Ability::to_string).collect::<Vec<_>>().join(", ")
}

/// Rows as lines whose columns but the last begin at one place.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let last = row.len().saturating_sub(1);
        let cells = row.iter().enumerate().map(|(column, cell)| match column == last {
            true => cell.clone(),
            false => format!("{cell:<width$}", width = widths[column]),
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}
