//! `system.forks` over a cut.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::error::Result;

use super::{rows::rows, schema::schema};
use crate::cut::Cut;
use crate::tables::listing;

pub(crate) fn table(cut: &Arc<Cut>) -> Result<Arc<dyn TableProvider>> {
    listing::table(cut, schema(), rows)
}
