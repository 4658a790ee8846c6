# shellcheck shell=bash disable=SC2154
# Sourced by what starts clusters of real processes: ./demo cluster and sim/processes. Needs $net_db, $scratch, $nodes and
# $port_base, and what .ci/show.sh has.

# Of all that sources this, also from within a function.
declare -gA pids=()

dir_of() { printf '%s/node-%s' "$scratch" "$1"; }
# Each node has ten ports from its base on.
base_of() { printf '%s' $((port_base + 10 * ($1 - 1))); }
api_of() { printf '127.0.0.1:%s' "$(base_of "$1")"; }
mesh_of() { printf '127.0.0.1:%s' $(($(base_of "$1") + 1)); }
# What goes in front of what runs where a node is, in $place; a script with other places than this one defines it again.
place_of() { place=(); }
serve_options_of() { serve_options=(--port-base "$(base_of "$1")"); }
at() {
    place_of "$1"
    shift
    "${place[@]}" "$@"
}
on() {
    local node=$1
    shift
    at "$node" "$net_db" --quiet --dir "$(dir_of "$node")" "$@"
}

start_node() {
    local node=$1
    place_of "$node"
    serve_options_of "$node"
    "${place[@]}" "$net_db" serve --dir "$(dir_of "$node")" "${serve_options[@]}" --log-format human \
        >>"$(dir_of "$node").log" 2>&1 &
    pids[$node]=$!
    show serve --dir "node-$node" "${serve_options[@]}" '&'
}

# Takes a node's power: `kill -9`.
kill_nodes() {
    local node
    for node in "$@"; do kill -9 "${pids[$node]}"; done
    for node in "$@"; do
        wait "${pids[$node]}" 2>/dev/null || true
        unset "pids[$node]"
    done
}

# Stops nodes as an operator does, all at once.
stop_nodes() {
    local node
    for node in "$@"; do kill "${pids[$node]}"; done
    for node in "$@"; do
        wait "${pids[$node]}" 2>/dev/null || true
        unset "pids[$node]"
    done
}

# Ends what runs, also what was paused; what does not end in time is killed.
end_cluster() {
    local node deadline=$((SECONDS + 15))
    for node in "${!pids[@]}"; do
        kill "${pids[$node]}" 2>/dev/null || true
        kill -CONT "${pids[$node]}" 2>/dev/null || true
    done
    for node in "${!pids[@]}"; do
        while kill -0 "${pids[$node]}" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.05; done
        kill -9 "${pids[$node]}" 2>/dev/null || true
        wait "${pids[$node]}" 2>/dev/null || true
        unset "pids[$node]"
    done
}

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
state_of() { log_row "$1" "$2" | cut -d , -f 3; }
leader_of() { log_row "$1" "$2" | cut -d , -f 4; }
has_leader() { [ -n "$(leader_of "$1" "$2")" ]; }
position_of() { log_row "$1" "$2" | cut -d , -f 6; }
is_beyond() { [ "$(position_of "$1" "$2")" -gt "$3" ]; }
is_there() { log_row "$1" "$2" | grep -q .; }

# All different ends that nodes show of a log: `all_roots LOG NODE...`.
all_roots() {
    local log=$1 node
    shift
    for node in "$@"; do log_row "$node" "$log" | cut -d , -f 6,7; done | sort -u
}
roots_agree() { [ "$(all_roots "$@" | wc -l)" -eq 1 ] && all_roots "$@" | grep -q ,; }

# Begins a cluster with node 1.
begin_cluster() {
    show cluster init --dir node-1
    on 1 cluster init
    start_node 1
    until_true 20 "the first node" on 1 cluster status
}

# Prints a ticket: `invite [OPTION...]`.
invite() { on 1 cluster invite "$@" --format csv | tail -n 1 | cut -d , -f 1 | tr -d '"'; }

# Has a node join, and starts it.
add_node() {
    local node=$1 ticket
    ticket=$(invite)
    show cluster join "${ticket:0:16}.." --dir "node-$node" --listen-mesh "$(mesh_of "$node")"
    on "$node" cluster join "$ticket" --listen-mesh "$(mesh_of "$node")"
    start_node "$node"
    until_true 20 "node $node" on "$node" cluster status
}

# Begins a cluster of all $nodes.
make_cluster() {
    local node
    begin_cluster
    for node in "${nodes[@]:1}"; do add_node "$node"; done
    for node in "${nodes[@]}"; do until_true 20 "${#nodes[@]} members on node $node" members_alive "$node" "${#nodes[@]}"; done
}

# Makes a channel that so many nodes hold, and leaves the name of its log in $log: `make_channel NAME REPLICAS`.
make_channel() {
    local node
    on 2 log create "$1" --replicas "$2"
    log=$(on 2 cluster status --format csv | awk -F , '$2 ~ /^replicated-/ { print $2 }' | tr -d '"' | head -n 1)
    for node in $(log_row 2 "$log" | cut -d , -f 5); do
        until_true 20 "a leader, as node $node sees it" has_leader "$node" "$log"
    done
}

# Imports a file into the channel flights through a node, which must not be the leader, and breaks something in the middle:
# `import_and_break NODE FILE COMMAND...`. Says how long the log stood still. Leaves the number of events in $events.
import_and_break() {
    local node=$1 input=$2 half broken before import writing
    shift 2
    # The lines as they are, from a database of their own.
    "$net_db" --quiet --dir "$scratch/lines" import --channel flights "$input" >/dev/null
    "$net_db" --quiet --dir "$scratch/lines" export --channel flights "$scratch/lines.ndjson"
    events=$(wc -l <"$scratch/lines.ndjson")
    half=$((events / 2))
    mkfifo "$scratch/pipe"
    on "$node" import --channel flights --id demo - <"$scratch/pipe" >"$scratch/imported" &
    import=$!
    exec 9>"$scratch/pipe"
    before=$(position_of "$node" "$log")
    head -n "$half" "$scratch/lines.ndjson" >&9
    until_true 30 "the first half" is_beyond "$node" "$log" "$before"
    broken=$(date +%s%N)
    "$@"
    before=$(position_of "$node" "$log")
    tail -n +$((half + 1)) "$scratch/lines.ndjson" >&9 &
    writing=$!
    until_true 30 "a new leader" is_beyond "$node" "$log" "$before"
    printf 'the log goes on after %s ms, led by node %s\n' $((($(date +%s%N) - broken) / 1000000)) "$(leader_of "$node" "$log")"
    wait "$writing"
    exec 9>&-
    wait "$import" || bad "the import failed"
    cat "$scratch/imported"
    grep -qx "acknowledged $events" "$scratch/imported" || bad "not all of $events events were acknowledged"
    good "all $events events were acknowledged"
}

# Asks each node whether it has every event once: `check_imported NODE...`.
check_imported() {
    local node answer sql="select count(*) as events, count(distinct key) as aircraft, max(seq) as last from channels.flights"
    show sql -c "$sql"
    for node in "$@"; do
        answer=$(on "$node" sql --format csv -c "$sql" | tail -n 1 | tr -d '\r"')
        printf 'node %s: %s\n' "$node" "$answer"
        [ "${answer%%,*}" = "$events" ] || bad "node $node has not all events once"
        [ "${answer##*,}" = "$((events - 1))" ] || bad "numbers on node $node are not gapless"
    done
    good "every event is there once, on every node"
}
