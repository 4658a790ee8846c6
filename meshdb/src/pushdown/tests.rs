use datafusion::logical_expr::{col, lit};
use datafusion::prelude::ident;

use super::*;

fn shown(filters: &[Expr]) -> String {
    collect(filters).to_string()
}

fn exact(filter: &Expr) -> bool {
    support(filter) == TableProviderFilterPushDown::Exact
}

fn time(nanos: i64) -> Expr {
    Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), Some("UTC".into())), None)
}

#[test]
fn comparisons_become_ranges_and_sets() {
    for (filter, expected) in [
        (ident("seq").eq(lit(5_u64)), "seq=[5,6)"),
        (ident("seq").lt(lit(5_u64)), "seq=[,5)"),
        (ident("seq").lt_eq(lit(5_u64)), "seq=[,6)"),
        (ident("seq").gt(lit(5_i64)), "seq=[6,)"),
        (lit(5_u64).gt(ident("seq")), "seq=[,5)"),
        (lit(5_u64).lt_eq(ident("seq")), "seq=[5,)"),
        (ident("seq").between(lit(2_u64), lit(4_u64)), "seq=[2,5)"),
        (ident("position").gt_eq(lit(7_u64)), "position=[7,)"),
        (ident("recorded_at").gt(time(0)), "recorded_at=[1970-01-01T00:00:00.000000001Z,)"),
        (ident("kind").eq(lit("b")), "kinds=[b]"),
        (lit("b").eq(ident("kind")), "kinds=[b]"),
        (ident("kind").in_list(vec![lit("b"), lit("a")], false), "kinds=[a, b]"),
        (ident("key").eq(lit("a")).or(ident("key").eq(lit("b"))), "keys=[a, b]"),
        (ident("channel").eq(lit("orders/audit")), "channels=[orders/audit]"),
        (ident("log").eq(lit("main")), "logs=[main]"),
        (ident("origin").eq(lit("ab")), "origins=[ab]"),
        (ident("seq").lt(lit(3_u64)).or(ident("seq").eq(lit(3_u64))), "seq=[,4)"),
        (ident("seq").gt(lit(1_u64)).and(ident("seq").lt(lit(9_u64))), "seq=[2,9)"),
    ] {
        assert_eq!(shown(std::slice::from_ref(&filter)), expected, "{filter}");
        assert!(exact(&filter), "{filter}");
    }
}

#[test]
fn what_a_range_cannot_say_exactly_is_narrowed_only() {
    let apart = ident("seq").eq(lit(1_u64)).or(ident("seq").eq(lit(9_u64)));
    assert_eq!(shown(std::slice::from_ref(&apart)), "seq=[1,10)");
    assert_eq!(support(&apart), TableProviderFilterPushDown::Inexact);
}

#[test]
fn what_is_not_understood_is_left_to_the_engine() {
    for filter in [
        ident("kind").gt(lit("a")),
        ident("kind").not_eq(lit("a")),
        ident("kind").in_list(vec![lit("a")], true),
        ident("kind").in_list(vec![lit("a"), ident("key")], false),
        ident("key").is_null(),
        ident("payload").eq(lit("x")),
        ident("seq").eq(ident("position")),
        ident("seq").eq(lit(1_u64)).or(ident("kind").eq(lit("a"))),
        ident("seq").not_between(lit(1_u64), lit(2_u64)),
        col("seq").eq(lit(ScalarValue::UInt64(None))),
    ] {
        assert_eq!(support(&filter), TableProviderFilterPushDown::Unsupported, "{filter}");
    }
}

#[test]
fn predicates_add_up() {
    let filters = [
        ident("seq").gt_eq(lit(3_u64)),
        ident("seq").lt(lit(8_u64)),
        ident("kind").in_list(vec![lit("a"), lit("b")], false),
        ident("kind").in_list(vec![lit("b"), lit("c")], false),
    ];
    assert_eq!(shown(&filters), "kinds=[b], seq=[3,8)");
}

#[test]
fn contradictions_are_seen_at_the_ends_of_the_domains_too() {
    for filters in [
        vec![ident("seq").lt(lit(1_u64)), ident("seq").gt(lit(1_u64))],
        vec![ident("seq").gt(lit(u64::MAX))],
        vec![ident("seq").lt(lit(0_u64))],
        vec![ident("position").lt(lit(-5_i64))],
        vec![ident("recorded_at").gt(time(i64::MAX))],
        vec![ident("recorded_at").lt(time(i64::MIN))],
        vec![ident("kind").eq(lit("a")), ident("kind").eq(lit("b"))],
    ] {
        assert!(collect(&filters).is_contradiction(), "{filters:?}");
    }
    for filter in [
        ident("seq").lt_eq(lit(u64::MAX)),
        ident("seq").gt(lit(-1_i64)),
        ident("recorded_at").gt_eq(time(i64::MIN)),
        ident("recorded_at").lt_eq(time(i64::MAX)),
    ] {
        assert_eq!(collect(std::slice::from_ref(&filter)), Pushed::default(), "{filter}");
    }
}
