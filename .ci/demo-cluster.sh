# `./demo cluster`: three processes, an import through a follower, a leader killed in the middle. Sourced by ./demo, which
# has built $net_db and made $scratch.
# shellcheck shell=bash disable=SC2154

nodes=(1 2 3)
port_base=${NETDB_DEMO_PORT:-17700}
# A server takes its settings from such variables, and does not know these.
unset NETDB_DEMO_PORT NETDB_DEMO_DIR
# shellcheck source=.ci/cluster.sh
. "$root/.ci/cluster.sh"

clean_up() {
    end_cluster
    rm -rf "$scratch"
}
trap clean_up EXIT

heading "A cluster of three processes on this machine"
make_cluster

heading "A channel that all three hold"
make_channel flights 3
leader=$(leader_of 1 "$log")
follower=$((leader % 3 + 1))
printf 'node %s leads, the import goes through node %s\n' "$leader" "$follower"

heading "Events from $(basename "$input"), and the leader is killed in the middle"
# The lines as they are, from a database of their own.
"$net_db" --quiet --dir "$scratch/lines" import --channel flights "$input" >/dev/null
"$net_db" --quiet --dir "$scratch/lines" export --channel flights "$scratch/lines.ndjson"
events=$(wc -l <"$scratch/lines.ndjson")
half=$((events / 2))
mkfifo "$scratch/pipe"
on "$follower" import --channel flights --id demo - <"$scratch/pipe" >"$scratch/imported" &
import=$!
exec 9>"$scratch/pipe"
before=$(position_of "$follower" "$log")
head -n "$half" "$scratch/lines.ndjson" >&9
until_true 30 "the first half" is_beyond "$follower" "$log" "$before"
killed=$(date +%s%N)
kill_nodes "$leader"
printf 'kill -9: node %s is gone\n' "$leader"
before=$(position_of "$follower" "$log")
tail -n +$((half + 1)) "$scratch/lines.ndjson" >&9 &
writing=$!
until_true 30 "a new leader" is_beyond "$follower" "$log" "$before"
printf 'the log goes on after %s ms, led by node %s\n' $((($(date +%s%N) - killed) / 1000000)) "$(leader_of "$follower" "$log")"
wait "$writing"
exec 9>&-
wait "$import" || bad "the import failed"
cat "$scratch/imported"
grep -qx "acknowledged $events" "$scratch/imported" || bad "not all of $events events were acknowledged"
good "all $events events were acknowledged"

heading "The killed node comes back"
start_node "$leader"
until_true 30 "node $leader" is_there "$leader" "$log"
until_true 60 "equal log roots" roots_agree "$log" "${nodes[@]}"
for node in "${nodes[@]}"; do
    printf 'node %s: %s\n' "$node" "$(log_row "$node" "$log" | awk -F , '{ print $3 ", position " $6 ", root " $7 }')"
done
good "the three logs are equal, from the first entry to the last"

heading "SQL on each node"
sql="select count(*) as events, count(distinct key) as aircraft, max(seq) as last from channels.flights"
show sql -c "$sql"
for node in "${nodes[@]}"; do
    answer=$(on "$node" sql --format csv -c "$sql" | tail -n 1 | tr -d '\r"')
    printf 'node %s: %s\n' "$node" "$answer"
    [ "${answer%%,*}" = "$events" ] || bad "node $node has not all events once"
    [ "${answer##*,}" = "$((events - 1))" ] || bad "numbers on node $node are not gapless"
done
good "every event is there once, on every node"

heading "Every hash, link and signature, on each node"
stop_nodes "${nodes[@]}"
for node in "${nodes[@]}"; do on "$node" log verify >/dev/null || bad "log verify on node $node"; done
good "three times exit code 0"
