//! JSON paths: `payload -> 'customer' ->> 'name'` as one look-up.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion_functions_json::udfs::{json_as_text_udf, json_get_udf};

/// Joins an operator to the path before it, where all steps are literals.
///
/// The functions' own planner, which is asked next, names each step by an alias around the one before. The
/// engine types an alias by typing what it names twice, so the time to plan would double with each step.
#[derive(Debug)]
pub(super) struct JsonPaths;

impl ExprPlanner for JsonPaths {
    fn plan_binary_op(&self, expr: RawBinaryExpr, _: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        Ok(match joined(&expr) {
            Some(joined) => PlannerResult::Planned(joined),
            None => PlannerResult::Original(expr),
        })
    }
}

fn joined(expr: &RawBinaryExpr) -> Option<Expr> {
    let function = match expr.op {
        BinaryOperator::Arrow => json_get_udf(),
        BinaryOperator::LongArrow => json_as_text_udf(),
        _ => return None,
    };
    let Expr::Alias(before) = &expr.left else { return None };
    let Expr::ScalarFunction(ScalarFunction { func, args }) = &*before.expr else { return None };
    let is_path = func.name() == json_get_udf().name() && args.iter().skip(1).all(|arg| step(arg).is_some());
    let name = format!("{} {} {}", before.name, expr.op, step(&expr.right)?);
    let args = args.iter().chain([&expr.right]).cloned().collect();
    is_path.then(|| function.call(args).alias(name))
}

/// The text of a step that is a literal: a field's name in quotes, or an index.
fn step(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(index)), _) => Some(index.to_string()),
        Expr::Literal(value, _) => Some(format!("'{}'", value.try_as_str()??)),
        _ => None,
    }
}
