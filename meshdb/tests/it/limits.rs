//! What one statement may use.

use std::time::Duration;

use base::{Classify, ErrorKind};
use meshdb::{Limits, QueryError};

use crate::fixture::shop;

#[test]
fn more_rows_than_allowed_are_an_error() {
    let shop = shop();
    let limits = Limits { rows_max: Some(3), ..Limits::default() };
    assert!(shop.run_with("select * from orders limit 3", &limits).is_ok());
    let error = shop.run_with("select * from orders", &limits).unwrap_err();
    assert!(matches!(error, QueryError::TooManyRows { max: 3 }), "{error}");
}

#[test]
fn more_memory_than_allowed_is_an_error() {
    let shop = shop();
    let limits = Limits { memory_bytes: 64 * 1024, rows_max: None, ..Limits::default() };
    let sql = "select distinct a.value, b.value from generate_series(1, 2000) a, generate_series(1, 500) b";
    let error = shop.run_with(sql, &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[test]
fn more_time_than_allowed_is_an_error() {
    let shop = shop();
    let limits = Limits { time: Some(Duration::from_millis(50)), ..Limits::default() };
    let sql = "select count(*) from generate_series(1, 100000000000) where value % 7 = 8";
    let error = shop.run_with(sql, &limits).unwrap_err();
    assert!(matches!(error, QueryError::TimedOut { .. }), "{error}");
}

#[test]
fn more_bytes_than_allowed_are_an_error() {
    let shop = shop();
    let limits = Limits { bytes_scanned_max: Some(10), ..Limits::default() };
    let error = shop.run_with("select count(*) from events where payload like '%x%'", &limits).unwrap_err();
    assert!(matches!(error, QueryError::TooManyBytes { max: 10 }), "{error}");
}
