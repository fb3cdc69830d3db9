//! What a process holds, by the kernel and by its own metrics, and whether it stays so.

use std::path::PathBuf;

use super::harness::Kmds;

/// Looks that make a row of the table: there is one each second.
const LOOKS: usize = 60;
/// Memory may be this much higher at the end than after the first third, in bytes: what the allocator holds for a while
/// differs by as much from minute to minute.
const GROWTH_BYTES: u64 = 2_000_000;

#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub resident_bytes: u64,
    pub files: usize,
    pub threads: usize,
    /// `kmds_tasks`
    pub tasks: usize,
}

impl Sample {
    pub const HEAD: &str =
        "| minute | resident, MB | open files | threads | tasks |\n| --- | --- | --- | --- | --- |";

    /// Without asking the service anything, which would keep threads and a connection busy.
    pub fn of(kmds: &Kmds) -> Self {
        let process = PathBuf::from(format!("/proc/{}", kmds.pid()));
        let entries = |name: &str| std::fs::read_dir(process.join(name)).map_or(0, Iterator::count);
        Self {
            resident_bytes: memory(kmds, "VmRSS:"),
            files: entries("fd"),
            threads: entries("task"),
            tasks: 0,
        }
    }

    /// The most there ever was, in bytes.
    pub fn most_resident(kmds: &Kmds) -> u64 {
        memory(kmds, "VmHWM:")
    }

    pub async fn with_tasks(self, kmds: &Kmds) -> Self {
        let metrics = kmds.get("/metrics").await.text().await.expect("metrics");
        let tasks = metrics
            .lines()
            .find_map(|line| line.strip_prefix("kmds_tasks "))
            .expect("tasks");
        Self {
            tasks: tasks.parse().expect("a number"),
            ..self
        }
    }

    pub fn row(&self, when: &str) -> String {
        let megabytes = self.resident_bytes as f64 / 1e6;
        format!(
            "| {when} | {megabytes:.1} | {} | {} | {} |",
            self.files, self.threads, self.tasks
        )
    }
}

fn memory(kmds: &Kmds, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", kmds.pid())).expect("it lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("memory");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("a number")
        << 10
}

/// Minute after minute: the median of memory; the most files, threads and tasks.
#[derive(Default)]
pub struct Gauge {
    looks: Vec<Sample>,
    minutes: Vec<Sample>,
}

impl Gauge {
    pub async fn look(&mut self, kmds: &Kmds) {
        self.looks.push(Sample::of(kmds).with_tasks(kmds).await);
        if self.looks.len() < LOOKS {
            return;
        }
        let mut looks = std::mem::take(&mut self.looks);
        looks.sort_by_key(|look| look.resident_bytes);
        let most = |of: fn(&Sample) -> usize| looks.iter().map(of).max().unwrap_or(0);
        let minute = Sample {
            resident_bytes: looks[looks.len() / 2].resident_bytes,
            files: most(|look| look.files),
            threads: most(|look| look.threads),
            tasks: most(|look| look.tasks),
        };
        self.minutes.push(minute);
        println!("{}", minute.row(&self.minutes.len().to_string()));
    }

    /// The last third against the second one.
    pub fn is_flat(&self) {
        let third = self.minutes.len() / 3;
        assert!(third > 0, "a run of three minutes at least");
        let median = |minutes: &[Sample]| {
            let mut bytes: Vec<u64> = minutes.iter().map(|minute| minute.resident_bytes).collect();
            bytes.sort_unstable();
            bytes[bytes.len() / 2]
        };
        let (middle, end) = (
            median(&self.minutes[third..2 * third]),
            median(&self.minutes[2 * third..]),
        );
        println!("median of the second third {middle} bytes, of the last {end}");
        assert!(end < middle + GROWTH_BYTES, "memory grows");
    }
}
