//! The figures as they are printed: lines of the tables in docs/performance.md.
//!
//! Owns their layout, the verdicts, and what was skipped.

use std::process::ExitCode;

use crate::median;

/// What a figure must be.
#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    /// A figure that could not be taken is no success.
    fn is_met(self, measured: f64) -> bool {
        match self {
            Self::AtMost(most) => measured <= most,
            Self::AtLeast(least) => measured >= least,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {} {unit}", ratio(most)),
            Self::AtLeast(least) => format!("≥ {} {unit}", ratio(least)),
        }
    }
}

/// Which heading was printed last.
#[derive(PartialEq, Eq)]
enum Heading {
    Own,
    Compared,
}

/// The figures as they are printed.
#[derive(Default)]
pub struct Table {
    missed: usize,
    skipped: Vec<String>,
    heading: Option<Heading>,
}

impl Table {
    /// A figure of the service alone.
    pub fn row(&mut self, what: &str, measured: f64, unit: &str, most: Option<f64>) {
        self.row_with(what, measured, unit, most.map(Goal::AtMost));
    }

    pub fn row_with(&mut self, what: &str, measured: f64, unit: &str, goal: Option<Goal>) {
        if self.heading.replace(Heading::Own) != Some(Heading::Own) {
            println!("\n| {:<66} | measured | goal | |", "figure");
            println!("| --- | ---: | ---: | --- |");
        }
        let measured_text = format!("{measured:.2} {unit}");
        let verdict = self.judge(goal, measured);
        let goal = goal.map_or_else(String::new, |goal| goal.text(unit));
        println!("| {what:<66} | {measured_text:>12} | {goal:>10} | {verdict} |");
    }

    /// The service beside another program; the values of the same place were taken in turn. Medians, their ratio, and
    /// the smallest and the largest ratio of a turn.
    pub fn compare(
        &mut self,
        what: &str,
        ours: &[f64],
        (other, theirs): (&str, &[f64]),
        unit: &str,
        goal: Option<Goal>,
    ) {
        if self.heading.replace(Heading::Compared) != Some(Heading::Compared) {
            println!(
                "\n| {:<66} | KMDS | beside it | ratio (of each turn) | goal | |",
                "figure"
            );
            println!("| --- | ---: | ---: | ---: | ---: | --- |");
        }
        let mut ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
        ratios.sort_by(f64::total_cmp);
        let (our, their) = (median(ours.to_vec()), median(theirs.to_vec()));
        let spread = match (ratios.first(), ratios.last()) {
            (Some(least), Some(most)) => format!("{}–{}", ratio(*least), ratio(*most)),
            _ => String::new(),
        };
        let verdict = self.judge(goal, our / their);
        let goal = goal.map_or_else(String::new, |goal| goal.text("×"));
        println!(
            "| {what:<66} | {our:.3} {unit} | {other} {their:.3} {unit} | {} × ({spread}) | {goal} | {verdict} |",
            ratio(our / their)
        );
    }

    /// Said at once, and again at the end.
    pub fn skip(&mut self, what: &str, why: &str) {
        let line = format!("!!! skipped: {what}: {why}");
        println!("{line}");
        self.skipped.push(line);
    }

    fn judge(&mut self, goal: Option<Goal>, measured: f64) -> &'static str {
        match goal {
            None => "",
            Some(goal) if goal.is_met(measured) => "met",
            Some(_) => {
                self.missed += 1;
                "**missed**"
            }
        }
    }

    pub fn verdict(&self) -> ExitCode {
        println!();
        for line in &self.skipped {
            println!("{line}");
        }
        if self.missed == 0 {
            println!("every goal that was measured is met");
            return ExitCode::SUCCESS;
        }
        println!(
            "{} goals are missed; docs/performance.md tells what was tried",
            self.missed
        );
        ExitCode::FAILURE
    }
}

/// Small ones as a part: 1/20.
fn ratio(value: f64) -> String {
    if value > 0.0 && value < 0.2 {
        format!("1/{:.0}", 1.0 / value)
    } else {
        format!("{value:.2}")
    }
}
