//! The curves over the guidance scale, an SVG: accuracy, distance and diversity of the stack and of a decoder of captions, or
//! accuracy and distance of GLIDE guided in two ways.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::{ClaimsReport, Point};
use crate::systems::System;

/// A plot's width and height.
const PLOT: (u32, u32) = (340, 250);

/// A number of a point.
type Value = fn(&Point) -> Option<f64>;

/// A plot of two numbers of points: its name, that of its x axis, and both.
struct Panel {
    name: &'static str,
    x_name: &'static str,
    x: Value,
    y: Value,
}

impl Panel {
    const fn over_scale(name: &'static str, x_name: &'static str, y: Value) -> Self {
        Self { name, x_name, x: |point| Some(point.scale), y }
    }
}

/// Plots side by side, of the same curves.
pub struct Page {
    curves: [(System, RGBColor); 2],
    panels: [Panel; 3],
}

/// The name of accuracy.
const ACCURACY: &str = "everything asked, in percent";

/// The stack and a decoder of captions.
pub const SYSTEMS: Page = {
    const SCALE: &str = "guidance scale of the decoder";
    Page {
        curves: [
            (System::Stack, RGBColor(31, 100, 170)),
            (System::Captions, RGBColor(200, 90, 30)),
        ],
        panels: [
            Panel::over_scale(ACCURACY, SCALE, accuracy),
            Panel::over_scale("FID-J", SCALE, |point| point.fid_j),
            Panel::over_scale("diversity over the renderer's", SCALE, |point| point.diversity),
        ],
    }
};

/// GLIDE's two kinds of guidance.
pub const GUIDANCE: Page = {
    const SCALE: &str = "guidance scale";
    Page {
        curves: [
            (System::GlideClassifierFree, RGBColor(31, 100, 170)),
            (System::GlideClip, RGBColor(200, 90, 30)),
        ],
        panels: [
            Panel::over_scale(ACCURACY, SCALE, accuracy),
            Panel::over_scale("FID-J", SCALE, |point| point.fid_j),
            Panel { name: "FID-J", x_name: ACCURACY, x: accuracy, y: |point| point.fid_j },
        ],
    }
};

fn accuracy(point: &Point) -> Option<f64> {
    Some(100.0 * point.everything.value()?)
}

/// The error of a plot.
pub type PlotError = Box<dyn std::error::Error + Send + Sync>;

/// The plots of a report's points, an SVG.
pub fn svg(report: &ClaimsReport, page: &Page) -> Result<String, PlotError> {
    let mut text = String::new();
    {
        let size = (PLOT.0 * page.panels.len() as u32, PLOT.1);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (panel, area) in page.panels.iter().zip(area.split_evenly((1, page.panels.len()))) {
            plot(report, panel, &page.curves, &area)?;
        }
        area.present()?;
    }
    Ok(text)
}

fn plot(
    report: &ClaimsReport,
    panel: &Panel,
    curves: &[(System, RGBColor)],
    area: &DrawingArea<SVGBackend, Shift>,
) -> Result<(), PlotError> {
    let curve = |system: System| -> Vec<(f64, f64)> {
        let own = report.points.iter().filter(|p| p.system == system && p.prior_scale == 1.0);
        own.filter_map(|p| Some(((panel.x)(p)?, (panel.y)(p)?))).collect()
    };
    let curves: Vec<_> =
        curves.iter().map(|&(system, colour)| (system, colour, curve(system))).collect();
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
        .caption(panel.name, ("sans-serif", 13))
        .margin(6)
        .x_label_area_size(34)
        .y_label_area_size(48)
        .build_cartesian_2d(left..right, bottom - margin..top + margin)?;
    chart
        .configure_mesh()
        .x_desc(panel.x_name)
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
