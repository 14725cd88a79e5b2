//! How many threads may compute: the processors that the system lets this process keep busy.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Processors that this process may keep busy: those of its affinity, and no more than its cgroup's quota pays for. Part of
/// one counts as one: a thread that waits for its quota now and then computes more than one that is not there.
///
/// `root` is where `/proc` and `/sys` are: `/` but in tests.
pub fn available(root: &Path) -> usize {
    let affinity = affinity(root).unwrap_or_else(|| {
        // Of systems that say nothing in /proc, the standard library knows more.
        std::thread::available_parallelism().map_or(1, usize::from)
    });
    match quota(root) {
        Some(processors) => affinity.min(processors.ceil() as usize).max(1),
        None => affinity,
    }
}

/// The processors of this process's affinity, as `0-3,8` lists them.
fn affinity(root: &Path) -> Option<usize> {
    let status = fs::read_to_string(root.join("proc/self/status")).ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        (last + 1).checked_sub(first)
    };
    list.trim().split(',').map(count).sum()
}

/// How many processors' time the cgroup of this process may take, the least of its own and its ancestors' quotas; `None`
/// without any.
pub fn quota(root: &Path) -> Option<f64> {
    let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    // A line is `NUMBER:CONTROLLERS:PATH`; the second version has no controllers there.
    let quotas = cgroups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let second = controllers.is_empty();
        if !second && !controllers.split(',').any(|name| name == "cpu") {
            return None;
        }
        let (mount, below) = folder(&mounts, second, path);
        let mount = root.join(mount);
        below
            .ancestors()
            .filter_map(|folder| read_quota(&mount.join(folder), second))
            .reduce(f64::min)
    });
    quotas.reduce(f64::min)
}

/// Where the cgroups of a version are mounted, below the root, and this process's folder there. A container sees its own
/// cgroup as the mount's root.
fn folder(mounts: &str, second: bool, path: &str) -> (PathBuf, PathBuf) {
    // `ID PARENT DEVICE ROOT PLACE OPTIONS [FIELDS] - TYPE SOURCE OPTIONS`
    let mounted = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let fields: Vec<&str> = before.split(' ').collect();
        let (kind, options) = after.split_once(' ')?;
        let fits = match second {
            true => kind == "cgroup2",
            false => kind == "cgroup" && options.split([' ', ',']).any(|option| option == "cpu"),
        };
        fits.then_some((*fields.get(3)?, *fields.get(4)?))
    });
    let usual = if second { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/cpu" };
    let (root, place) = mounted.unwrap_or(("/", usual));
    let below = Path::new(path);
    let below = below.strip_prefix(root).unwrap_or(below);
    (plain(Path::new(place)), plain(below))
}

/// A path without its root and without steps that lead out of it.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// The quota of one cgroup.
fn read_quota(folder: &Path, second: bool) -> Option<f64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let (quota, period) = match second {
        true => {
            let text = read("cpu.max")?;
            let (quota, period) = text.trim().split_once(' ')?;
            (quota.to_owned(), period.to_owned())
        }
        false => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
    };
    // Without a quota the first is `max` or -1.
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}
