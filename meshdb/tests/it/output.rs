//! Rows as text.

use meshdb::output::{Format, Output};
use meshdb::{Limits, Principal};

use crate::fixture::shop;

fn written(format: Format, sql: &str) -> String {
    let shop = shop();
    shop.block_on(async {
        let mut result =
            shop.gateway.execute(&Principal::owner(), sql, &[], &Limits::default()).await.unwrap();
        let mut bytes = Vec::new();
        let mut output = Output::new(format, &result.schema(), &mut bytes);
        while let Some(batch) = result.next().await {
            output.write(&batch.unwrap()).unwrap();
        }
        output.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    })
}

const SQL: &str = "select seq, key, time from orders where seq > 0 order by seq limit 2";

#[test]
fn each_format_writes_the_same_rows() {
    assert_eq!(
        written(Format::Ndjson, SQL),
        "{\"seq\":1,\"key\":\"bob\",\"time\":null}\n{\"seq\":2,\"key\":null,\"time\":null}\n"
    );
    assert_eq!(
        written(Format::Json, SQL),
        "[{\"seq\":1,\"key\":\"bob\",\"time\":null},{\"seq\":2,\"key\":null,\"time\":null}]\n"
    );
    assert_eq!(written(Format::Csv, SQL), "seq,key,time\n1,bob,\n2,,\n");
    assert!(written(Format::Table, SQL).contains("| 1   | bob |"));
}

#[test]
fn no_rows_are_an_empty_answer_in_each_format() {
    let sql = "select seq, headers from orders where seq > 100";
    assert_eq!(written(Format::Ndjson, sql), "");
    assert_eq!(written(Format::Json, sql), "[]\n");
    assert_eq!(written(Format::Csv, sql), "seq,headers\n");
    assert!(written(Format::Table, sql).contains("seq"));
}

#[test]
fn all_columns_can_be_written_in_each_format() {
    for format in [Format::Table, Format::Json, Format::Ndjson, Format::Csv] {
        let text = written(format, "select * from events order by position, ordinal");
        assert!(text.contains("orders/audit"), "{text}");
    }
    let text = written(Format::Ndjson, "select time, headers from orders order by seq limit 1");
    assert_eq!(text, "{\"time\":\"2020-09-13T12:26:40Z\",\"headers\":{}}\n");
}
