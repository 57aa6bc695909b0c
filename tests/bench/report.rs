//! What was measured, as a table for people or JSON for machines.

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    workload: &'static str,
    measure: String,
    value: f64,
    unit: &'static str,
    /// The value should be at most this.
    goal: Option<f64>,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

impl Report {
    /// Notes a figure that has no goal.
    pub(crate) fn note(
        &mut self,
        workload: &'static str,
        measure: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) {
        self.figures.push(Figure {
            workload,
            measure: measure.into(),
            value,
            unit,
            goal: None,
        });
    }

    /// Notes a figure that should be at most `goal`.
    pub(crate) fn judge(
        &mut self,
        workload: &'static str,
        measure: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: f64,
    ) {
        let goal = Some(goal);
        self.figures.push(Figure {
            workload,
            measure: measure.into(),
            value,
            unit,
            goal,
        });
    }

    /// The figures as a table.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(["workload", "measure", "value", "unit", "goal", ""]);
        for figure in &self.figures {
            table.add_row([
                figure.workload.to_owned(),
                figure.measure.clone(),
                shown(figure.value),
                figure.unit.to_owned(),
                figure
                    .goal
                    .map_or_else(String::new, |goal| format!("<= {}", shown(goal))),
                figure.verdict().to_owned(),
            ]);
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// The figures as JSON.
    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.figures)?)
    }
}

impl Figure {
    fn verdict(&self) -> &'static str {
        match self.goal {
            None => "",
            Some(goal) if self.value <= goal => "met",
            Some(_) => "MISSED",
        }
    }
}

/// Three significant digits for small values, none behind the point for large ones.
fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        medium if medium >= 1.0 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_in_the_table_and_given_in_json() {
        let mut report = Report::default();
        report.note("idle", "CPU", 0.5, "s");
        report.judge("latency", "median", 31.25, "ms", 30.0);
        report.judge("latency", "99th percentile", 99.0, "ms", 100.0);
        let table = report.table().to_string();
        let verdict = |line: usize| table.lines().nth(line).unwrap().contains("MISSED");
        assert_eq!([verdict(2), verdict(3), verdict(4)], [false, true, false]);
        assert!(table.contains("0.5000") && table.contains("31.2") && table.contains("<= 100"));
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json[1]["goal"], 30.0);
        assert!(json[0]["goal"].is_null());
    }
}
