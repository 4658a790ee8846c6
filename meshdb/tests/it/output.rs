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

#[test]
fn headers_are_readable_in_each_format() {
    let sql = "select seq, headers from orders where seq = 2";
    let json = r#"{"content-type":"application/json","trace":{"hex":"ff00"}}"#;
    assert_eq!(written(Format::Ndjson, sql), format!("{{\"seq\":2,\"headers\":{json}}}\n"));
    assert_eq!(written(Format::Csv, sql), format!("seq,headers\n2,\"{}\"\n", json.replace('"', "\"\"")));
    assert!(written(Format::Table, sql).contains(&format!("| 2   | {json} |")));
}

#[test]
fn a_plan_has_a_row_for_each_node() {
    let table = written(Format::Table, "explain analyze select seq from orders where seq + 1 = 2");
    let plan = |text: &str| table.lines().position(|line| line.contains(text)).unwrap();
    assert!(plan("FilterExec") < plan("EventScan"), "{table}");
    assert!(!table.contains("\\n"), "{table}");
}

#[test]
fn bytes_are_hexadecimal_and_only_json_tells_no_text_from_an_empty_one() {
    let sql = "select payload, payload_bytes from channels.\"Sensors\" order by seq";
    assert_eq!(
        written(Format::Ndjson, sql),
        "{\"payload\":null,\"payload_bytes\":\"fffe00\"}\n{\"payload\":\"\",\"payload_bytes\":\"\"}\n"
    );
    assert_eq!(written(Format::Csv, sql), "payload,payload_bytes\n,fffe00\n,\n");
}

#[test]
fn json_stays_json_in_json_and_is_text_elsewhere() {
    let sql = "select payload->'customer' as c, payload->'total' as t from orders where seq < 2 order by seq";
    assert_eq!(
        written(Format::Ndjson, sql),
        "{\"c\":{\"name\":\"Ada\",\"tags\":[\"new\",\"vip\"]},\"t\":9.5}\n\
         {\"c\":{\"name\":\"Bob\",\"tags\":[]},\"t\":20}\n"
    );
    assert!(written(Format::Table, sql).contains("| {\"name\":\"Bob\",\"tags\":[]}            | 20  |"));
    let lines = "select '{\"a\":\n[1,\r2]}'->'a' as a";
    assert_eq!(written(Format::Ndjson, lines), "{\"a\":[1, 2]}\n");
}

#[test]
fn tables_show_control_characters_and_wide_ones() {
    let table = written(Format::Table, "select e'a\\nb\\x1b[31m' as a, '\u{65e5}\u{672c}' as b");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[1], "| a              | b    |");
    assert_eq!(lines[3], "| a\\nb\\u{1b}[31m | \u{65e5}\u{672c} |");
    assert_eq!(lines[4], "+----------------+------+");
}

#[test]
fn a_long_table_is_written_before_it_ends() {
    let shop = shop();
    shop.block_on(async {
        let sql = "select value from generate_series(1, 20000)";
        let limits = Limits::all_rows();
        let mut result = shop.gateway.execute(&Principal::owner(), sql, &[], &limits).await.unwrap();
        let mut bytes = Vec::new();
        let mut output = Output::new(Format::Table, &result.schema(), &mut bytes);
        output.write(&result.next().await.unwrap().unwrap()).unwrap();
        drop(output);
        assert!(String::from_utf8(bytes).unwrap().contains("| 1001  |"));
    });
}
