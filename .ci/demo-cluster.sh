# `./demo cluster`: three processes, an import through a follower, a leader killed in the middle. Sourced by ./demo, which
# has built $net_db and made $scratch.
# shellcheck shell=bash disable=SC2154

nodes=(1 2 3)
# Each node has ten ports from its base on.
port_base=${NETDB_DEMO_PORT:-17700}
declare -A pids=()

dir_of() { printf '%s/node-%s' "$scratch" "$1"; }
mesh_of() { printf '127.0.0.1:%s' "$((port_base + 10 * ($1 - 1) + 1))"; }
on() {
    local node=$1
    shift
    "$net_db" --quiet --dir "$(dir_of "$node")" "$@"
}

start_node() {
    local node=$1
    "$net_db" serve --dir "$(dir_of "$node")" --port-base $((port_base + 10 * (node - 1))) --log-format human \
        >>"$(dir_of "$node").log" 2>&1 &
    pids[$node]=$!
    printf '%s$ net-db serve --dir node-%s --port-base %s &%s\n' "$dim" "$node" $((port_base + 10 * (node - 1))) "$plain"
}

stop_nodes() {
    local node
    for node in "${!pids[@]}"; do kill "${pids[$node]}" 2>/dev/null || true; done
    for node in "${!pids[@]}"; do wait "${pids[$node]}" 2>/dev/null || true; done
    rm -rf "$scratch"
}
trap stop_nodes EXIT

# Waits for something that comes about by itself: `until_true SECONDS WHAT COMMAND...`.
until_true() {
    local deadline=$(($(date +%s) + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$deadline" ] || {
            for node in "${nodes[@]}"; do tail -n 5 "$(dir_of "$node").log" 2>/dev/null || true; done
            bad "$what did not come about"
        }
        sleep 0.1
    done
}

# What a node says of the cluster, as rows of CSV: what, name, state, leader, nodes, position, root.
status_of() { on "$1" cluster status --format csv | tail -n +2 | tr -d '\r"'; }
members_alive() { [ "$(status_of "$1" | grep -c '^node .*,alive,')" -eq "$2" ]; }
log_row() { status_of "$1" | awk -F , -v log_name="$2" '$1 == "log" && $2 == log_name'; }
leader_of() { log_row "$1" "$2" | cut -d , -f 4; }
has_leader() { [ -n "$(leader_of "$1" "$2")" ]; }
position_of() { log_row "$1" "$2" | cut -d , -f 6; }
is_beyond() { [ "$(position_of "$1" "$2")" -gt "$3" ]; }
all_roots() { for node in "${nodes[@]}"; do log_row "$node" "$1" | cut -d , -f 6,7; done | sort -u; }
roots_agree() { [ "$(all_roots "$1" | wc -l)" -eq 1 ] && all_roots "$1" | grep -q ,; }
is_there() { log_row "$1" "$2" | grep -q .; }

heading "A cluster of three processes on this machine"
NETDB_DIR=$(dir_of 1)
export NETDB_DIR
show cluster init --dir node-1
on 1 cluster init
start_node 1
until_true 20 "the first node" on 1 cluster status
for node in 2 3; do
    ticket=$(on 1 cluster invite --format csv | tail -n 1 | cut -d , -f 1 | tr -d '"')
    show cluster join "${ticket:0:16}.." --dir "node-$node" --listen-mesh "$(mesh_of "$node")"
    on "$node" cluster join "$ticket" --listen-mesh "$(mesh_of "$node")"
    start_node "$node"
    until_true 20 "node $node" on "$node" cluster status
done
for node in "${nodes[@]}"; do until_true 20 "three members on node $node" members_alive "$node" 3; done

heading "A channel that all three hold"
on 2 log create flights --replicas 3
log=$(on 2 cluster status --format csv | awk -F , '$2 ~ /^replicated-/ { print $2 }' | tr -d '"' | head -n 1)
for node in "${nodes[@]}"; do until_true 20 "a leader, as node $node sees it" has_leader "$node" "$log"; done
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
kill -9 "${pids[$leader]}"
killed=$(date +%s%N)
wait "${pids[$leader]}" 2>/dev/null || true
unset "pids[$leader]"
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
until_true 60 "equal log roots" roots_agree "$log"
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
for node in "${nodes[@]}"; do
    kill "${pids[$node]}"
done
for node in "${nodes[@]}"; do
    wait "${pids[$node]}" 2>/dev/null || true
    unset "pids[$node]"
    on "$node" log verify >/dev/null || bad "log verify on node $node"
done
good "three times exit code 0"
