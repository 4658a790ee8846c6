"""Asks DuckDB, when a line on standard input names a form of the question: answers with milliseconds and rows."""

import sys
import time

try:
    import duckdb
except ImportError:
    print("missing", flush=True)
    sys.exit()

file = sys.argv[1].replace("'", "''")
rest = "group by carrier order by flights desc"
forms = {
    "typed": f"select data.carrier as carrier, count(*) as flights from read_json('{file}', "
    f"format = 'newline_delimited') {rest}",
    "stated": f"select data.carrier as carrier, count(*) as flights from read_json('{file}', "
    f"format = 'newline_delimited', columns = {{data: 'struct(carrier varchar)'}}) {rest}",
    # One path is faster than two steps.
    "objects": f"select json->>'$.data.carrier' as carrier, count(*) as flights from "
    f"read_ndjson_objects('{file}') {rest}",
}
connection = duckdb.connect()
connection.execute("set threads = 2")
print(f"ready {duckdb.__version__}", flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    rows = connection.execute(forms[line.strip()]).fetchall()
    milliseconds = (time.perf_counter() - begun) * 1e3
    print(milliseconds, *(f"{carrier},{flights}" for carrier, flights in rows), flush=True)
