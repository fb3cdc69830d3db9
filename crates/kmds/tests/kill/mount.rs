//! File systems of their own, mounted where the cache or the catalog is. They end with the test.

use std::path::PathBuf;
use std::process::Command;

use super::harness::Setup;

/// A separate file system; `None`, with a message, if mounting is refused.
pub struct Mount(pub PathBuf);

impl Mount {
    pub fn of(setup: &Setup, megabytes: u64) -> Option<Self> {
        Self::on(setup.folder.path("cache"), megabytes)
    }

    pub fn on(path: PathBuf, megabytes: u64) -> Option<Self> {
        std::fs::create_dir_all(&path).expect("a folder");
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={megabytes}m"),
                "kmds-test",
            ])
            .arg(&path)
            .output()
            .is_ok_and(|out| out.status.success());
        if !mounted {
            eprintln!(
                "SKIPPED: no file system can be mounted here; run as root to try full, read-only and absent drives"
            );
        }
        mounted.then_some(Self(path))
    }

    pub fn remount(&self, option: &str) -> bool {
        Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(&self.0)
            .output()
            .is_ok_and(|out| out.status.success())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A file system that is there all the time, and mounted on the cache folder too, as a network drive is; `None`, said
/// loudly, where that is refused.
pub struct Bind {
    real: Mount,
    point: PathBuf,
}

impl Bind {
    pub fn of(setup: &Setup) -> Option<Self> {
        let bind = Self {
            real: Mount::on(setup.folder.path("real"), 16)?,
            point: setup.folder.path("cache"),
        };
        std::fs::create_dir_all(&bind.point).expect("a folder");
        bind.mount().then_some(bind)
    }

    pub fn mount(&self) -> bool {
        let done = Command::new("mount")
            .arg("--bind")
            .arg(&self.real.0)
            .arg(&self.point)
            .output();
        done.is_ok_and(|out| out.status.success())
    }

    pub fn unmount(&self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).output();
    }

    /// Names beneath the mount point.
    pub fn beneath(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.point)
            .expect("the mount point")
            .flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        self.unmount();
    }
}
