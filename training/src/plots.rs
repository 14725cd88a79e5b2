//! A page of plots, an SVG: a row a model, a plot a metric over the steps.

use std::path::{Path, PathBuf};

use files::atomic;
use plotters::coord::Shift;
use plotters::prelude::*;
use serde_json::{Map, Value};

use crate::{Error, metrics};

/// A plot's width and height, and the height of a row's name.
const PLOT: (u32, u32) = (300, 190);
const NAME: u32 = 26;

/// The points of a curve at most; each is the mean of the values around it.
const POINTS: usize = 150;
/// A metric that spans more than this factor is plotted on a logarithmic scale.
const LARGE_SPAN: f64 = 30.0;

/// The fields of a line that are no metrics.
const NO_METRICS: [&str; 2] = ["step", "time"];

/// One metric of a model: its name, and its value by step.
struct Series {
    name: String,
    /// Whether it is the learning rate, whose way to 0 is no news.
    is_rate: bool,
    points: Vec<(f64, f64)>,
    /// The metric that it is compared with, in grey: the one whose name ends with its own.
    reference: Vec<(f64, f64)>,
}

/// Draws `plots.svg` in `runs` of the metrics in its folders `models`. Returns its path, or none where there are no metrics.
pub fn draw(runs: &Path, models: &[&str]) -> Result<Option<PathBuf>, Error> {
    let mut rows = Vec::new();
    for model in models {
        let series = series(&metrics::read(&runs.join(model))?);
        if !series.is_empty() {
            rows.push((*model, series));
        }
    }
    let columns = rows.iter().map(|(_, series)| series.len()).max();
    let Some(columns) = columns else {
        return Ok(None);
    };
    let path = runs.join("plots.svg");
    let size = (PLOT.0 * columns as u32, (PLOT.1 + NAME) * rows.len() as u32);
    let mut page = String::new();
    page_of(&rows, &mut page, size)
        .map_err(|error| Error::Plots { path: path.clone(), cause: error.to_string() })?;
    atomic::write(&path, page.as_bytes(), true).map_err(Error::write(&path))?;
    Ok(Some(path))
}

/// The metrics of a model, those that every model has first.
fn series(lines: &[Map<String, Value>]) -> Vec<Series> {
    let mut names: Vec<&str> =
        vec!["loss", "gradient_norm", "learning_rate", "pictures_per_second"];
    for name in lines.iter().flat_map(Map::keys) {
        if !names.contains(&name.as_str()) && !NO_METRICS.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let beside = |name: &str, other: &str| other.ends_with(&format!("_{name}"));
    let of = |name: &str| {
        let other = names.iter().find(|other| beside(name, other));
        let spoken = |name: &str| name.replace('_', " ");
        Series {
            name: match other {
                Some(other) => format!("{}, in grey {}", spoken(name), spoken(other)),
                None => spoken(name),
            },
            is_rate: name == "learning_rate",
            points: thinned(lines, name),
            reference: other.map_or_else(Vec::new, |other| thinned(lines, other)),
        }
    };
    let alone = |other: &&&str| !names.iter().any(|name| beside(name, other));
    let all = names.iter().filter(alone).map(|name| of(name));
    all.filter(|series| !series.points.is_empty()).collect()
}

/// A metric by step, in means over as many lines as leave `POINTS` of them.
fn thinned(lines: &[Map<String, Value>], name: &str) -> Vec<(f64, f64)> {
    let point =
        |line: &Map<String, Value>| Some((line.get("step")?.as_f64()?, line.get(name)?.as_f64()?));
    let points: Vec<(f64, f64)> = lines.iter().filter_map(point).collect();
    let mean = |some: &[(f64, f64)]| {
        let total = some.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
        (total.0 / some.len() as f64, total.1 / some.len() as f64)
    };
    let together = points.len().div_ceil(POINTS).max(1);
    points.chunks(together).map(mean).collect()
}

type PlotResult = Result<(), Box<dyn std::error::Error>>;

fn page_of(rows: &[(&str, Vec<Series>)], page: &mut String, size: (u32, u32)) -> PlotResult {
    let area = SVGBackend::with_string(page, size).into_drawing_area();
    area.fill(&WHITE)?;
    for ((model, series), row) in rows.iter().zip(area.split_evenly((rows.len(), 1))) {
        let (name, plots) = row.split_vertically(NAME);
        let style = ("sans-serif", 16).into_font().style(FontStyle::Bold);
        name.draw(&Text::new(model.replace('_', " "), (10, 8), style.color(&BLACK)))?;
        let columns = (size.0 / PLOT.0) as usize;
        for (series, area) in series.iter().zip(plots.split_evenly((1, columns))) {
            plot(series, &area)?;
        }
    }
    area.present()?;
    Ok(())
}

fn plot(series: &Series, area: &DrawingArea<SVGBackend, Shift>) -> PlotResult {
    let both = || series.points.iter().chain(&series.reference);
    let values = || both().map(|&(_, value)| value);
    let (least, most) =
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    // A logarithmic axis is a linear one of logarithms.
    let logarithmic = !series.is_rate && least > 0.0 && most / least > LARGE_SPAN;
    let placed = |value: f64| if logarithmic { value.log10() } else { value };
    let (bottom, top) = (placed(least), placed(most));
    let margin = ((top - bottom) * 0.06).max(top.abs() * 1e-3).max(1e-12);
    let last = series.points.last().map_or(1.0, |&(step, _)| step.max(1.0));

    let mut chart = ChartBuilder::on(area)
        .caption(&series.name, ("sans-serif", 13))
        .margin(6)
        .x_label_area_size(20)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..last, bottom - margin..top + margin)?;
    let shown = |value: &f64| number(if logarithmic { 10f64.powf(*value) } else { *value });
    chart
        .configure_mesh()
        .x_labels(4)
        .y_labels(5)
        .label_style(("sans-serif", 11))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_label_formatter(&|step: &f64| format!("{step:.0}"))
        .y_label_formatter(&shown)
        .draw()?;
    let (grey, blue) = (RGBColor(150, 150, 150), RGBColor(31, 100, 170));
    for (points, colour) in [(&series.reference, grey), (&series.points, blue)] {
        let curve = points.iter().map(|&(step, value)| (step, placed(value)));
        chart.draw_series(LineSeries::new(curve, colour.stroke_width(2)))?;
    }
    Ok(())
}

/// Three digits of a number.
fn number(value: f64) -> String {
    match value.abs() {
        size if size < 1e-12 => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.1e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
