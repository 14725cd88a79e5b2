//! The curves over the guidance scale, an SVG: accuracy, distance and diversity of the stack and of a decoder of captions.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::{ClaimsReport, Point};
use crate::systems::System;

/// A plot's width and height.
const PLOT: (u32, u32) = (340, 250);

/// A figure of a point, and its name.
type Figure = (&'static str, fn(&Point) -> Option<f64>);

const FIGURES: [Figure; 3] = [
    ("everything asked, in percent", |p| Some(100.0 * p.everything.value()?)),
    ("FID-J", |p| p.fid_j),
    ("diversity over the renderer's", |p| p.diversity),
];

/// The two curves.
const CURVES: [(System, RGBColor); 2] =
    [(System::Stack, RGBColor(31, 100, 170)), (System::Captions, RGBColor(200, 90, 30))];

/// The error of a plot.
pub type PlotError = Box<dyn std::error::Error + Send + Sync>;

/// The plots of a report's points, an SVG.
pub fn svg(report: &ClaimsReport) -> Result<String, PlotError> {
    let mut page = String::new();
    {
        let size = (PLOT.0 * FIGURES.len() as u32, PLOT.1);
        let area = SVGBackend::with_string(&mut page, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (figure, area) in FIGURES.iter().zip(area.split_evenly((1, FIGURES.len()))) {
            plot(report, figure, &area)?;
        }
        area.present()?;
    }
    Ok(page)
}

fn plot(
    report: &ClaimsReport,
    (name, figure): &Figure,
    area: &DrawingArea<SVGBackend, Shift>,
) -> Result<(), PlotError> {
    let curve = |system: System| -> Vec<(f64, f64)> {
        let own = report.points.iter().filter(|p| p.system == system && p.prior_scale == 1.0);
        own.filter_map(|p| Some((p.scale, figure(p)?))).collect()
    };
    let curves = CURVES.map(|(system, colour)| (system, colour, curve(system)));
    let all = || curves.iter().flat_map(|(.., points)| points);
    let fold = |start: f64, with: fn(f64, f64) -> f64, of: fn(&(f64, f64)) -> f64| {
        all().map(of).fold(start, with)
    };
    let (left, right) =
        (fold(f64::INFINITY, f64::min, |p| p.0), fold(f64::NEG_INFINITY, f64::max, |p| p.0));
    let (bottom, top) =
        (fold(f64::INFINITY, f64::min, |p| p.1), fold(f64::NEG_INFINITY, f64::max, |p| p.1));
    if left >= right {
        return Ok(()); // there are too few images for the figure
    }
    let margin = ((top - bottom) * 0.08).max(1e-6);
    // Below the curves is room for their names.
    let bottom = bottom - 3.0 * margin;
    let mut chart = ChartBuilder::on(area)
        .caption(name, ("sans-serif", 13))
        .margin(6)
        .x_label_area_size(34)
        .y_label_area_size(48)
        .build_cartesian_2d(left..right, bottom - margin..top + margin)?;
    chart
        .configure_mesh()
        .x_desc("guidance scale of the decoder")
        .x_labels(6)
        .y_labels(6)
        .label_style(("sans-serif", 11))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()?;
    for (system, colour, points) in curves {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(system.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .label_font(("sans-serif", 11))
        .position(SeriesLabelPosition::LowerRight)
        .draw()?;
    Ok(())
}
