//! ListLimits: a page of a tenant's limits that are in use. It changes nothing.

use crate::shard::draft::{Draft, Halt, ask};
use crate::shard::limits::look;
use crate::shard::reply::Reply;
use crate::shard::seen::LimitPage;
use crate::shard::view::Need;
use crate::table::Table as _;
use crate::table::key::successor;
use crate::table::limit::{LimitName, Limits};
use crate::types::name::LimitKey;
use crate::types::tenant::Tenant;

/// Most limits on a page.
pub const LIMITS_LISTED_MAX: u32 = 1000;
/// Lines that are counted of each limit on a page.
const LINES_COUNTED: usize = 4;

/// A request to see a tenant's limits, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// Whose.
    pub tenant: Tenant,
    /// Only those whose key begins so.
    pub prefix: String,
    /// Those after this one.
    pub after: Option<LimitKey>,
    /// At most so many: 1 to [`LIMITS_LISTED_MAX`].
    pub limits_max: u32,
}

pub(crate) fn list(list: &ListLimits, draft: &Draft<'_>) -> Result<Reply, Halt> {
    let mut range = LimitName::of_tenant(&list.tenant, &list.prefix);
    if let Some(after) = &list.after {
        let after = LimitName {
            tenant: list.tenant.clone(),
            key: after.clone(),
        };
        range.start = range.start.max(successor(&Limits::key(&after)));
    }
    let limits_max = list.limits_max.clamp(1, LIMITS_LISTED_MAX);
    let limits_max = usize::try_from(limits_max).unwrap_or(usize::MAX);
    let rows = draft.range(&range, limits_max)?;
    let mut page = LimitPage::default();
    let is_cut = rows.len() == limits_max;
    let mut need = Need::default();
    for (key, value) in rows {
        let Ok(name) = Limits::read_key(&key) else {
            page.damaged = page.damaged.saturating_add(1);
            continue;
        };
        page.next = Some(name.key.clone()).filter(|_| is_cut);
        match Limits::read_row(&value) {
            Ok(row) => {
                let view = look::view(draft, &name, &row, LINES_COUNTED);
                page.limits.extend(ask(&mut need, view)?);
            }
            Err(_) => page.damaged = page.damaged.saturating_add(1),
        }
    }
    need.settled()?;
    Ok(Reply::Limits(page))
}
