//! The tables of captions: how often pictures show what they say.

use ::judge::{Judge, Subject};
use anyhow::Result;
use evaluation::{
    CaptionSet, Evaluation, Evaluator, TableCaptions, WorldCaptionSet, evaluate_captions,
};
use pipeline::Pipeline;

use super::outputs::Tables;
use super::{Evaluate, Table};
use crate::messages::say;

/// The tables of captions, and what these ask for.
pub(super) const CAPTIONED: [(Table, TableCaptions); 5] = [
    (Table::Captions, TableCaptions::Scenes(CaptionSet::Seen)),
    (Table::Styles, TableCaptions::Scenes(CaptionSet::Styles)),
    (Table::Pairs, TableCaptions::Scenes(CaptionSet::Pairs)),
    (Table::World, TableCaptions::World(WorldCaptionSet::World)),
    (Table::WorldPairs, TableCaptions::World(WorldCaptionSet::WorldPairs)),
];

impl Evaluate {
    /// Fills the tables of captions, and writes sheets of the first.
    pub(super) fn fill_captions(&self, tables: &mut Tables, evaluator: &Evaluator) -> Result<()> {
        let all_but_world = self.all_but_world(evaluator.pipeline, tables.is_first)?;
        let captioned = CAPTIONED.iter().filter(|(table, set)| {
            let is_left_out = all_but_world && set.subject() == Subject::World;
            self.tables.contains(table) || self.wants(*table) && !is_left_out
        });
        for (n, &(table, set)) in captioned.enumerate() {
            let own;
            let judge = match set.subject() {
                Subject::Scene => evaluator.judge,
                subject => {
                    own = Judge::shipped(subject)?;
                    &own
                }
            };
            let evaluator = &Evaluator { judge, ..*evaluator };
            let held_out = |set: TableCaptions| (set, self.held_out_captions);
            let (name, sets, diversity) = match table {
                Table::Captions => (
                    "captions",
                    vec![(set, self.captions), held_out(CaptionSet::HeldOut.into())],
                    self.diversity_captions,
                ),
                Table::World => (
                    "world",
                    vec![(set, self.captions), held_out(WorldCaptionSet::WorldHeldOut.into())],
                    0,
                ),
                Table::WorldPairs => ("world-pairs", vec![(set, self.captions)], 0),
                _ => (set.name(), vec![(set, self.captions)], 0),
            };
            let evaluation = evaluate_captions(evaluator, &sets, diversity);
            let Evaluation { report, samples } = evaluation.map_err(|e| tables.explain(e))?;
            tables.add(name, Ok(report))?;
            if n == 0 && tables.is_first {
                self.write_sheets(&samples, judge)?;
            }
        }
        Ok(())
    }

    /// Whether `all` leaves out the tables of everyday things: where a model did not learn them, which those did whose tokenizer
    /// knows the words near its own, and where no judge can read them, which is said.
    fn all_but_world(&self, pipeline: &Pipeline, is_first: bool) -> Result<bool> {
        if !self.tables.contains(&Table::All) {
            return Ok(false);
        }
        let words = pipeline.known_words()?;
        if !words.is_some_and(|words| words.has_nearest()) {
            return Ok(true);
        }
        let judge = Judge::shipped(Subject::World);
        if let Err(error) = &judge
            && is_first
        {
            say!("the tables of everyday things are left out: {error}");
        }
        Ok(judge.is_err())
    }
}
