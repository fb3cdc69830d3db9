//! Cells side by side, and the table of their outcomes.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};

use super::place::{PLACES, Place};

/// Cells that run at once, over all tests: more would be late for reasons of their own.
static AT_ONCE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(8);

/// The outcome, in a few words for the table.
pub struct Row {
    pub place: Place,
    pub name: String,
    pub told: Result<String, String>,
}

/// Runs cells side by side, prints their outcomes, and fails with all that is wrong.
pub async fn run<F>(title: &str, cells: Vec<(Place, String, F)>)
where
    F: Future<Output = Result<String, String>>,
{
    let begun = Instant::now();
    let only = std::env::var("KMDS_FAULT").unwrap_or_default();
    let cells = cells
        .into_iter()
        .filter(|(place, name, _)| format!("{name} {place:?}").contains(&only));
    let running = cells.map(|(place, name, cell)| async move {
        let _turn = AT_ONCE.acquire().await;
        let told = AssertUnwindSafe(cell)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err("panicked, see above".to_owned()));
        Row { place, name, told }
    });
    let mut rows: Vec<Row> = futures_util::stream::iter(running)
        .buffer_unordered(8)
        .collect()
        .await;
    rows.sort_by_key(|row| PLACES.iter().position(|place| *place == row.place));
    print(title, &rows, begun.elapsed());
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            row.told
                .as_ref()
                .err()
                .map(|why| format!("{} · {:?}: {why}", row.name, row.place))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{title}: {} cells are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn print(title: &str, rows: &[Row], took: Duration) {
    let mut places: Vec<Place> = rows.iter().map(|row| row.place).collect();
    places.dedup();
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    let head: Vec<String> = places.iter().map(|place| format!("{place:?}")).collect();
    let mut table = format!(
        "\n### {title} ({} cells, {:.0} s)\n\n",
        rows.len(),
        took.as_secs_f64()
    );
    table.push_str(&format!(
        "| fault | {} |\n|{}\n",
        head.join(" | "),
        " --- |".repeat(places.len() + 1)
    ));
    for name in names {
        let cells = places.iter().map(|place| {
            let row = rows
                .iter()
                .find(|row| row.name == name && row.place == *place);
            row.map_or("–", |row| row.told.as_deref().unwrap_or("WRONG"))
        });
        table.push_str(&format!(
            "| `{name}` | {} |\n",
            cells.collect::<Vec<_>>().join(" | ")
        ));
    }
    println!("{table}");
}
