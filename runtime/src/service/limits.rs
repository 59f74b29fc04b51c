//! What operators ask of limits: `ListLimits`, `ShowLimit`, `SetLimit`, `DropTenantHolders`; and
//! why a job does not run: `ExplainJob`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use silo_core::shard::command::Command;
use silo_core::shard::commands::list_limits::{LIMITS_LISTED_MAX, ListLimits};
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::commands::show_limit::{LIMIT_JOBS_MAX, ShowLimit};
use silo_core::shard::reply::Reply;
use silo_core::shard::seen::Explanation;
use silo_core::table::key::Key;
use silo_core::table::limit::LimitName;
use silo_core::types::Invalid;
use silo_core::types::name::LimitKey;

use crate::node::Node;
use crate::proto::set_limit_request::Change;
use crate::proto::{
    DropTenantHoldersRequest, DropTenantHoldersResponse, ExplainJobRequest, ExplainJobResponse,
    ListLimitsRequest, ListLimitsResponse, SetLimitRequest, SetLimitResponse, ShowLimitRequest,
    ShowLimitResponse,
};
use crate::service::ask::ask;
use crate::service::bulk::STRANGE;
use crate::service::denial::Denial;
use crate::service::list::Lists;
use crate::service::parse::Parser;
use crate::service::{route, write};

/// Limits on a page, or jobs of each kind, unless the caller says otherwise.
const PAGE_SIZE_DEFAULT: u32 = 100;
/// Commands of one call that look for jobs that hold a slot, each at a thousand at most.
const COMMANDS_MAX: u32 = 10;

/// A page of a tenant's limits.
///
/// # Errors
/// [`Denial`] when a field is out of bounds, or the shard does not answer.
pub(crate) async fn list(
    node: &Node,
    parser: &Parser,
    lists: &Lists,
    request: ListLimitsRequest,
) -> Result<ListLimitsResponse, Denial> {
    let prefix = request.key_prefix;
    let after = match token(&request.page_token)? {
        None => None,
        Some(bytes) => {
            let key = String::from_utf8(bytes).ok();
            let key = key.filter(|key| key.starts_with(&prefix));
            let key = key.and_then(|key| LimitKey::parse(&key).ok());
            Some(key.ok_or_else(|| wrong_token(&request.page_token))?)
        }
    };
    let list = ListLimits {
        tenant: parser.tenancy.of_job(request.tenant.as_deref())?,
        prefix,
        after,
        limits_max: at_most("page_size", request.page_size, LIMITS_LISTED_MAX)?,
    };
    let shard = route::of_tenant(node, &request.shard, &list.tenant)?;
    let _permit = lists.permit().await;
    let Reply::Limits(page) = ask(&shard, Command::ListLimits(list)).await? else {
        return Err(STRANGE);
    };
    let next = page.next.map(|key| URL_SAFE_NO_PAD.encode(key.as_str()));
    Ok(ListLimitsResponse {
        limits: page.limits.into_iter().map(write::limit::view).collect(),
        next_page_token: next.unwrap_or_default(),
        damaged: page.damaged,
    })
}

/// A limit, who holds its slots and who waits for one.
///
/// # Errors
/// [`Denial`] when a field is out of bounds, or the shard does not answer.
pub(crate) async fn show(
    node: &Node,
    parser: &Parser,
    lists: &Lists,
    request: ShowLimitRequest,
) -> Result<ShowLimitResponse, Denial> {
    let limit = named(parser, request.tenant.as_deref(), &request.key)?;
    let holders_max = at_most("page_size", request.page_size, LIMIT_JOBS_MAX)?;
    let waiters_max = match request.waiting_max {
        None => PAGE_SIZE_DEFAULT,
        Some(max) if max <= LIMIT_JOBS_MAX => max,
        Some(max) => {
            let bound = format!("at most {LIMIT_JOBS_MAX}");
            return Err(Invalid::new("waiting_max", max, bound).into());
        }
    };
    let mut after = token(&request.page_token)?.map(Key::from);
    if after.as_ref().is_some_and(|key| !limit.may_hold(key)) {
        // Another tenant's: whoever holds a slot here would be left out.
        return Err(wrong_token(&request.page_token).into());
    }
    let shard = route::of_tenant(node, &request.shard, &limit.tenant)?;
    let _permit = lists.permit().await;
    let mut answer = ShowLimitResponse::default();
    for commands in 1..=COMMANDS_MAX {
        let show = ShowLimit {
            limit: limit.clone(),
            holders_max,
            holders_after: after,
            waiters_max,
        };
        let Reply::Limit(shown) = ask(&shard, Command::ShowLimit(show)).await? else {
            return Err(STRANGE);
        };
        after = shown.next;
        if !shown.holders.is_empty() || after.is_none() || commands == COMMANDS_MAX {
            // All of one answer: it is of one moment.
            answer = ShowLimitResponse {
                limit: shown.limit.map(write::limit::view),
                holders: write::limit::holders(shown.holders),
                next_page_token: after.map_or_else(String::new, |key| URL_SAFE_NO_PAD.encode(key)),
                waiting: shown
                    .waiters
                    .into_iter()
                    .map(write::limit::waiter)
                    .collect(),
            };
            break;
        }
    }
    Ok(answer)
}

/// Says something of a limit.
///
/// # Errors
/// [`Denial`] when a field is out of bounds, or the shard does not do it.
pub(crate) async fn set(
    node: &Node,
    parser: &Parser,
    request: SetLimitRequest,
) -> Result<SetLimitResponse, Denial> {
    let change = match request.change {
        Some(Change::MaxConcurrency(maximum)) => LimitChange::Maximum(maximum),
        Some(Change::Clear(_)) => LimitChange::Clear,
        Some(Change::Pause(_)) => LimitChange::Pause,
        Some(Change::Resume(_)) => LimitChange::Resume,
        None => return Err(Invalid::new("change", "absent", "given").into()),
    };
    let limit = named(parser, request.tenant.as_deref(), &request.key)?;
    let shard = route::of_tenant(node, &request.shard, &limit.tenant)?;
    let set = SetLimit { limit, change };
    let Reply::LimitSet = ask(&shard, Command::SetLimit(set)).await? else {
        return Err(STRANGE);
    };
    Ok(SetLimitResponse {})
}

/// Counts a tenant's limits anew.
///
/// # Errors
/// [`Denial`] when there is too much to count, or the shard does not answer.
pub(crate) async fn recount(
    node: &Node,
    parser: &Parser,
    request: DropTenantHoldersRequest,
) -> Result<DropTenantHoldersResponse, Denial> {
    let tenant = parser.tenancy.of_job(request.tenant.as_deref())?;
    let shard = route::of_tenant(node, &request.shard, &tenant)?;
    let Reply::Recounted { differed } = ask(&shard, Command::RecountLimits(tenant)).await? else {
        return Err(STRANGE);
    };
    Ok(DropTenantHoldersResponse {
        holders_dropped: differed,
    })
}

/// Why a job does not run, or that it does.
///
/// # Errors
/// [`Denial`] when there is no such job, or the shard does not answer.
pub(crate) async fn explain(
    node: &Node,
    parser: &Parser,
    request: ExplainJobRequest,
) -> Result<ExplainJobResponse, Denial> {
    let key = parser.job(request.tenant.as_deref(), &request.id)?;
    let shard = route::of_tenant(node, &request.shard, &key.tenant)?;
    let Reply::Explained(queue, explanation) = ask(&shard, Command::Explain(key)).await? else {
        return Err(STRANGE);
    };
    let workers = match &explanation {
        Explanation::Ready { .. } => node.waiters().waiting_for(&queue.group),
        Explanation::NotDue { .. }
        | Explanation::Waits(_)
        | Explanation::Runs { .. }
        | Explanation::Ended { .. }
        | Explanation::Quarantined { .. } => 0,
    };
    Ok(ExplainJobResponse {
        id: request.id,
        task_group: queue.group.as_str().to_owned(),
        priority: queue.priority.get().into(),
        explanation: Some(write::limit::explanation(explanation, workers)),
    })
}

fn named(parser: &Parser, tenant: Option<&str>, key: &str) -> Result<LimitName, Denial> {
    let field = "key";
    Ok(LimitName {
        tenant: parser.tenancy.of_job(tenant)?,
        key: LimitKey::parse(key).map_err(|invalid| Invalid { field, ..invalid })?,
    })
}

fn at_most(field: &'static str, given: u32, max: u32) -> Result<u32, Invalid> {
    match given {
        0 => Ok(PAGE_SIZE_DEFAULT),
        given if given <= max => Ok(given),
        given => Err(Invalid::new(field, given, format!("at most {max}"))),
    }
}

fn token(text: &str) -> Result<Option<Vec<u8>>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text);
    bytes.map(Some).map_err(|_| wrong_token(text))
}

fn wrong_token(text: &str) -> Invalid {
    let bound = "as the last answer to the same request said";
    Invalid::new("page_token", text.escape_debug(), bound)
}
