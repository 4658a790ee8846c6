//! What lists of tasks and memories have in common: order, limit, and the texts of filters.

use netdb::SortBy;
use netdb::cortex::{Filter, Query, Record};

use super::Problem;
use super::params::Params;
use crate::limits::RECORDS_LISTED_DEFAULT;

/// Takes order and limit of a list; `usual` is the limit unless one is given.
pub(super) fn paged<R: Record, F: Filter<R>>(
    filter: F,
    params: &mut Params,
    usual: Option<usize>,
) -> Result<Query<R, F>, Problem> {
    let order = params.value::<SortBy>("order")?.unwrap_or_default();
    let mut query = Query::from(filter).order(order);
    query.limit = params.value("limit")?.or(usual);
    Ok(query)
}

/// The limit of lists that say none.
pub(super) const LIST: Option<usize> = Some(RECORDS_LISTED_DEFAULT);
