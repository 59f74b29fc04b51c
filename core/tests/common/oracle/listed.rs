//! Which jobs a list shows.

use silo_core::shard::commands::list::{IdPrefix, List};
use silo_core::shard::reply::{ListedJob, Listing};
use silo_core::table::state::Status;

use crate::common::oracle::{Known, Oracle, Stands};

impl Oracle {
    /// Checks all pages of a list, of ids that begin with `prefix`.
    pub fn listed(&self, list: &List, prefix: &str, pages: &[Listing]) {
        assert_eq!(
            list.prefix,
            (!prefix.is_empty()).then(|| IdPrefix::parse(prefix).unwrap())
        );
        let of_tenant = |job: &&Known| job.key.tenant == list.tenant;
        let damaged = self.jobs.iter().filter(of_tenant).filter(|j| j.is_damaged);
        let damaged: Vec<&Known> = damaged.collect();
        let is_damaged = |shown: &&ListedJob| damaged.iter().any(|job| job.key.job == shown.job);
        for page in pages {
            assert!(page.jobs.len() <= usize::try_from(list.jobs_max).unwrap());
        }
        let skipped: u32 = pages.iter().map(|page| page.skipped).sum();
        assert!(
            usize::try_from(skipped).unwrap() <= damaged.len(),
            "{skipped} skipped"
        );
        let shown = pages.iter().flat_map(|page| &page.jobs);
        let shown = shown.filter(|shown| !is_damaged(shown));
        let shown: Vec<_> = shown
            .map(|job| (job.job.clone(), job.status, job.queue.clone(), job.attempt))
            .collect();
        let mut expected: Vec<_> = self
            .jobs
            .iter()
            .filter(of_tenant)
            .filter(|job| !job.is_damaged && job.key.job.as_str().starts_with(prefix))
            .filter(|job| list.statuses.is_empty() || list.statuses.contains(&job.status()))
            .filter(|job| {
                let group = &job.asked.queue.group;
                list.group.as_ref().is_none_or(|asked| asked == group)
            })
            .map(|job| {
                let open = u32::from(job.stands == Stands::Running);
                let queue = job.asked.queue.clone();
                let attempt = job.attempts_ended + open;
                (job.key.job.clone(), job.status(), queue, attempt)
            })
            .collect();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(shown, expected, "{list:?}");
    }
}

impl Known {
    pub fn status(&self) -> Status {
        match self.stands {
            Stands::Due | Stands::Ready => Status::Scheduled,
            Stands::Running => Status::Running,
            Stands::Over(status) => status,
        }
    }
}
