//! From a statement to a plan with its parameters filled in.

use datafusion::common::ParamValues;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement;
use datafusion_functions_json::JSON_UNION_DATA_TYPE;
use datafusion_functions_json::udfs::json_union_to_text_udf;

use crate::error::from_engine;
use crate::{Limits, Param, QueryError};

/// Plans `statement`. The plan reads and does nothing else.
pub(super) async fn logical(
    state: &SessionState,
    statement: Statement,
    params: &[Param],
    limits: &Limits,
) -> Result<LogicalPlan, QueryError> {
    let engine = |error: DataFusionError| from_engine(&error, limits);
    let plan = state.statement_to_plan(statement).await.map_err(engine)?;
    read_only().verify_plan(&plan).map_err(|error| QueryError::Refused {
        what: error.message().into_owned(),
        instead: "use SELECT, EXPLAIN, SHOW or DESCRIBE",
    })?;
    let plan = fill_in(plan, params).map_err(engine)?;
    with_json_as_text(plan).map_err(engine)
}

/// The engine's own check, behind that of the statement.
fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

fn fill_in(plan: LogicalPlan, params: &[Param]) -> Result<LogicalPlan, DataFusionError> {
    let wanted = plan.get_parameter_names()?;
    if let Some(missing) = wanted.iter().find(|name| !is_given(name, params.len())) {
        let message = format!("no value was given for {missing}: {} values were", params.len());
        return Err(DataFusionError::Plan(message));
    }
    if wanted.is_empty() {
        return Ok(plan);
    }
    let values = params.iter().map(Param::to_scalar).map(Into::into).collect();
    plan.with_param_values(ParamValues::List(values))
}

/// Tells whether `$n` is one of so many values.
fn is_given(name: &str, values: usize) -> bool {
    let place = name.strip_prefix('$').and_then(|place| place.parse::<usize>().ok());
    place.is_some_and(|place| (1..=values).contains(&place))
}

/// Turns columns of the result that hold JSON values of any type, which `->` makes, into JSON text, which
/// every consumer can represent. JSON null becomes NULL.
fn with_json_as_text(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let is_json = |field: &datafusion::arrow::datatypes::Field| *field.data_type() == *JSON_UNION_DATA_TYPE;
    if !plan.schema().fields().iter().any(|field| is_json(field)) {
        return Ok(plan);
    }
    let columns = plan.schema().iter().map(|(relation, field)| {
        let column = Expr::from((relation, field));
        match is_json(field) {
            true => json_union_to_text_udf().call(vec![column]).alias(field.name()),
            false => column,
        }
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
