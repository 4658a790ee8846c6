//! What is refused, at the gateway, as a caller meets it.

use base::{Classify, ErrorKind};

use crate::fixture::shop;

#[test]
fn statements_that_do_more_than_read_are_denied_and_change_nothing() {
    let shop = shop();
    for sql in [
        "insert into orders values (1)",
        "update orders set kind = 'x'",
        "delete from orders",
        "create table t (a int)",
        "create table t as select * from orders",
        "create view v as select 1",
        "create external table t stored as csv location '/etc/passwd'",
        "create schema s",
        "create database d",
        "drop table orders",
        "truncate table orders",
        "alter table orders add column a int",
        "copy orders to '/tmp/netdb-refused.csv'",
        "copy (select 1) to '/tmp/netdb-refused.csv'",
        "set datafusion.execution.batch_size = 1",
        "reset datafusion.execution.batch_size",
        "prepare p as select 1",
        "execute p",
        "deallocate p",
        "begin",
        "commit",
        "rollback",
        "select 1; select 2",
        "select 1; drop table orders",
        "explain insert into orders values (1)",
        "explain analyze copy orders to '/tmp/netdb-refused.csv'",
        "explain create table t (a int)",
        "create function f() returns int return 1",
        "grant select on orders to public",
        "call f()",
        "use system",
        "select * into t from orders",
    ] {
        let error = shop.run(sql).map(|_| ()).expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::Denied, "{sql}: {error}");
    }
    assert!(!std::path::Path::new("/tmp/netdb-refused.csv").exists());
}

#[test]
fn files_are_never_tables() {
    let shop = shop();
    for sql in [
        "select * from '/etc/passwd'",
        "select * from \"/etc/passwd\"",
        "select * from 'file:///etc/passwd.csv'",
        "select * from read_csv('/etc/passwd')",
        "select * from read_parquet('/etc/passwd')",
        "with a as (select * from '/etc/passwd.csv') select * from a",
    ] {
        let error = shop.run(sql).map(|_| ()).expect_err(sql);
        let kind = error.kind();
        assert!(
            matches!(kind, ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::Invalid),
            "{sql}: {error}"
        );
    }
}

#[test]
fn unknown_names_are_not_found_or_invalid_and_similar_ones_are_named() {
    let shop = shop();
    let error = shop.run("select * from order").map(|_| ());
    assert!(error.is_err());
    let error = shop.run("select * from ordes").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("orders"), "{error}");
    let error = shop.run("select kin from orders").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("kind"), "{error}");
}

#[test]
fn deep_and_long_statements_are_refused_without_harm() {
    let shop = shop();
    let n = 10_000;
    for sql in [
        format!("select {}1{}", "(".repeat(n), ")".repeat(n)),
        format!("select {}1{}", "abs(".repeat(n), ")".repeat(n)),
        format!("select 1 where {}true{}", "exists (select 1 where ".repeat(20), ")".repeat(20)),
        format!("select {}true", "not ".repeat(n)),
        format!("select 1{}", " + 1".repeat(n)),
        format!("select * from {}orders{}", "(select * from ".repeat(100), ") x".repeat(100)),
        format!("select 1{}", " union all select 1".repeat(n)),
        format!("select '{}'", "x".repeat(2 << 20)),
    ] {
        let error = shop.run(&sql).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{}: {error}", &sql[..40]);
    }
}

#[test]
fn statements_at_the_limit_of_depth_run_on_the_smallest_stack() {
    let shop = shop();
    let depth = meshdb::STATEMENT_DEPTH_MAX - 20;
    for sql in [
        format!("select {}seq{} from orders", "(".repeat(depth), ")".repeat(depth)),
        format!("select {}seq{} from orders", "abs(".repeat(200), ")".repeat(200)),
        format!("select {}seq > 1 from orders", "not ".repeat(depth)),
        format!("select seq{} from orders", " + 1".repeat(depth / 2)),
        format!("select kind{} from orders", " || 'x'".repeat(depth / 2)),
        format!("select payload{} from orders", "->'a'".repeat(depth / 2)),
        format!("select 1 from orders where seq = 1{}", " or seq + 1 = 3".repeat(depth / 6)),
        format!("select 1 from orders where seq = 1{}", " and payload->>'a' = 'b'".repeat(depth / 6)),
        format!(
            "select {}1 {} from orders",
            "case when seq = 1 then ".repeat(depth / 8),
            "end ".repeat(depth / 8)
        ),
        format!(
            "select 1 from orders{}",
            (0..depth / 10).map(|nth| format!(" cross join (select {nth} as a{nth})")).collect::<String>()
        ),
        format!("select 1{}", " union all select 1".repeat(depth / 4)),
    ] {
        let gateway = shop.gateway.clone();
        let statement = sql.clone();
        let ran = shop.block_on(async move {
            let (owner, limits) = (meshdb::Principal::owner(), meshdb::Limits::default());
            let run = async move { gateway.execute(&owner, &statement, &[], &limits).await?.collect().await };
            tokio::spawn(run).await.unwrap()
        });
        assert!(ran.is_ok(), "{}: {}", &sql[..40], ran.unwrap_err());
    }
}
