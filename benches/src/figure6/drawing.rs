//! The picture: a line a server, its response time over the number of idle connections.

use std::io;
use std::path::Path;

use plotters::prelude::*;

use super::ACTIVE;
use super::records::{Record, Records};
use crate::rounds::quartiles;

/// Of the picture, in pixels.
const SIZE: (u32, u32) = (900, 560);

/// What the lines are drawn in: distinct in brightness too (Okabe and Ito 2008).
const COLOURS: &[RGBColor] = &[
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
    RGBColor(130, 130, 130),
];

/// Draws the medians of the rounds into an SVG file.
///
/// # Errors
///
/// The file's.
pub fn draw(records: &Records, path: &Path) -> io::Result<()> {
    try_draw(records, path).map_err(|error| io::Error::other(error.to_string()))
}

fn try_draw(records: &Records, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let lines: Vec<(&str, Vec<(f64, f64)>)> =
        records.servers().into_iter().map(|server| (server, line(records, server))).collect();
    let heights = || lines.iter().flat_map(|(_, line)| line).map(|point| point.1);
    let (low, high) = (heights().fold(f64::MAX, f64::min), heights().fold(0.0, f64::max));
    let most = records.steps().last().map_or(1.0, |idle| *idle as f64);

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let title = format!("Response time of {ACTIVE} active connections beside idle ones");
    let area = area.titled(&title, ("sans-serif", 20))?;
    let (area, foot) = area.split_vertically(SIZE.1 as i32 - 60);
    foot.draw_text(&records.caption, &("sans-serif", 15).into_text_style(&foot), (80, 8))?;
    let (area, legend) = area.split_horizontally(SIZE.0 as i32 - 170);

    let (low, high) = (low / 1.5, high * 1.5);
    let heights = (low..high).log_scale();
    let mut chart = ChartBuilder::on(&area)
        .margin_right(15)
        .set_label_area_size(LabelAreaPosition::Left, 80)
        .set_label_area_size(LabelAreaPosition::Bottom, 45)
        .build_cartesian_2d(0.0..most, heights.with_key_points(ticks(low, high)))?;
    chart
        .configure_mesh()
        .x_desc("idle connections")
        .y_desc("p50 of the response time, ms")
        .axis_desc_style(("sans-serif", 16))
        .label_style(("sans-serif", 15))
        .y_labels(30)
        .x_label_formatter(&|idle| thousands(*idle))
        .y_label_formatter(&|micros| format!("{}", micros / 1_000.0))
        .max_light_lines(1)
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(220, 220, 220))
        .draw()?;
    for (place, ((server, line), colour)) in lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let wide = if server.starts_with("aem") { 4 } else { 2 };
        let style = colour.stroke_width(wide);
        chart.draw_series(LineSeries::new(line.iter().copied(), style).point_size(wide))?;
        let height = 40 + 24 * place as i32;
        legend.draw(&PathElement::new([(0, height), (30, height)], style))?;
        let words = ("sans-serif", 16).into_text_style(&legend);
        legend.draw_text(server, &words, (38, height - 7))?;
    }
    area.present()?;
    Ok(())
}

/// The medians of one server.
fn line(records: &Records, server: &str) -> Vec<(f64, f64)> {
    let median = |idle: usize| {
        let figures = records.figures(server, idle, |record: &Record| record.median_micros);
        (!figures.is_empty()).then(|| (idle as f64, quartiles(&figures)[1]))
    };
    records.steps().into_iter().filter_map(median).collect()
}

/// The numbers of one digit between two.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let powers = (0..9).map(|power| 10_f64.powi(power));
    let all = powers.flat_map(|power| (1..10).map(move |digit| power * f64::from(digit)));
    all.filter(|tick| (low..high).contains(tick)).collect()
}

/// A whole number with a comma before its last three digits.
fn thousands(number: f64) -> String {
    let (above, below) = (number as u64 / 1_000, number as u64 % 1_000);
    if above > 0 { format!("{above},{below:03}") } else { below.to_string() }
}
