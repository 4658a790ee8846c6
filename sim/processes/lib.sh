# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by sim/processes/run and netns: a load that can be checked, what an operator sees, and the checks at the end.

channel=scene
# Bytes that each event carries beside its number.
pad_bytes=200
writers=()

milliseconds() { printf '%s' $((${EPOCHREALTIME/./} / 1000)); }

skip() {
    printf 'SKIPPED: %s\n' "$1"
    exit "${skip_code:-0}"
}

# Waits like until_true, and goes on when it does not come about: `comes_true SECONDS COMMAND...`.
comes_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# What is not as it should be, but leaves the rest of a scene worth seeing; `no_faults` ends with it.
faults=()
fault() {
    printf '%sFAULT%s  %s\n' "$red" "$plain" "$1"
    faults+=("$1")
}
no_faults() { [ ${#faults[@]} -eq 0 ] || bad "$(printf '%s; ' "${faults[@]}")"; }

# ---- the load ----------------------------------------------------------------------------------------------

# Appends numbered events until it is told to stop: `write_events WRITER SECONDS NODE...`. The writer is a producer. It stays
# with a node until that one refuses or has not answered for so many seconds, then asks the next one for the same number.
# acknowledged-WRITER gets a line for each number: number, time, node, outcome; refused-WRITER: time, node, status, reason.
write_events() {
    local writer=$1 within=$2 number=1 turn=0 node status answer body outcome pad places
    shift 2
    places=("$@")
    pad=$(printf '%*s' "$pad_bytes" '' | tr ' ' x)
    answer=$scratch/answer-$writer
    while [ ! -e "$scratch/load-ends" ]; do
        node=${places[turn % ${#places[@]}]}
        body="{\"events\":[{\"kind\":\"numbered\",\"payload\":{\"writer\":$writer,\"number\":$number,\"pad\":\"$pad\"}}],"
        body+="\"producer\":{\"id\":\"writer-$writer\",\"number\":$number,\"digest\":\"$(printf '%064x' "$number")\"}}"
        : >"$answer"
        status=$(at "$node" curl -s --max-time "$within" -o "$answer" -w '%{http_code}' --data-binary "$body" \
            -H 'content-type: application/vnd.netdb.batch+json' \
            "http://$(api_of "$node")/v1/channels/$channel/events") || true
        if [ "$status" = 200 ]; then
            outcome=$(sed -n 's/.*"outcome":"\([^"]*\)".*/\1/p' "$answer")
            printf '%s %s %s %s\n' "$number" "$(milliseconds)" "$node" "$outcome" >>"$scratch/acknowledged-$writer"
            number=$((number + 1))
        else
            printf '%s %s %s %s\n' "$(milliseconds)" "$node" "$status" \
                "$(sed -n 's/.*"message":"\([^"]*\)".*/\1/p' "$answer")" >>"$scratch/refused-$writer"
            turn=$((turn + 1))
        fi
        # So that the load leaves the machine room, and who is refused by all does not ask without a pause.
        sleep 0.02
    done
}

# Starts a writer: `start_writer WRITER SECONDS NODE...`.
start_writer() {
    : >"$scratch/acknowledged-$1"
    : >"$scratch/refused-$1"
    write_events "$@" 2>>"$scratch/writers.log" &
    writers+=($!)
}

# Starts a writer for each node, which goes on to the others when its own fails.
start_load() {
    local count=$# i order
    rm -f "$scratch/load-ends"
    for ((i = 1; i <= count; i++)); do
        order=("${@:i}" "${@:1:i-1}")
        start_writer "$i" 12 "${order[@]}"
    done
    until_true 30 "the first acknowledged events" is_acknowledged_beyond 30
}

acknowledged() { cat "$scratch"/acknowledged-* | wc -l; }
is_acknowledged_beyond() { [ "$(acknowledged)" -gt "$1" ]; }
# Waits until so many further events are acknowledged: what is happening happens under load.
more_events() { until_true "${2:-60}" "$1 further events" is_acknowledged_beyond $(($(acknowledged) + $1)); }

stop_load() {
    local writer
    : >"$scratch/load-ends"
    for writer in "${writers[@]}"; do wait "$writer" || true; done
    writers=()
    printf 'the load: %s events acknowledged, %s of them when asked again\n' "$(acknowledged)" \
        "$(cat "$scratch"/acknowledged-* | grep -c already-appended || true)"
    cat "$scratch"/refused-* | awk '{
        what = $3 == "000" ? "no answer" : $3
        for (i = 4; i <= NF; i++) what = what " " $i
        gsub(/127\.0\.0\.1:[0-9]+/, "..", what)
        count["node " $2 ": " what]++
    } END { for (what in count) printf "  refused %d times by %s\n", count[what], what }' | sort | sed -n 1,12p
}

# Prints the longest time without an acknowledgement, in milliseconds, between two times: `longest_silence FROM TO`.
longest_silence() {
    cat "$scratch"/acknowledged-* | cut -d ' ' -f 2 | sort -n | awk -v from="$1" -v to="$2" '
        BEGIN { last = from }
        $1 > from && $1 <= to { if ($1 - last > most) most = $1 - last; last = $1 }
        END { if (to - last > most) most = to - last; print most + 0 }'
}
say_silence() { printf '%s: %s ms at most without an acknowledgement\n' "$1" "$(longest_silence "$2" "$3")"; }

# ---- what an operator sees ---------------------------------------------------------------------------------

ready_of() {
    local answer
    answer=$(at "$1" curl -s --max-time 3 -w ' %{http_code}' "http://$(api_of "$1")/health/ready") || answer='no answer'
    printf '%s' "$answer" | tr -d '\n'
}
is_ready() { [ "$(ready_of "$1" | grep -o '[0-9]*$')" = 200 ]; }
is_not_ready_for() { ready_of "$1" | grep -q "\"$2\""; }

# `operator_sees WHEN NODE...`: readiness of each, and the cluster's status as the first of them shows it.
operator_sees() {
    local when=$1 node
    shift
    printf '%s-- %s%s\n' "$bold" "$when" "$plain"
    for node in "$@"; do printf 'node %s /health/ready: %s\n' "$node" "$(ready_of "$node")"; done
    status_seen_by "$1"
}
# The status as another node sees it.
status_seen_by() {
    show cluster status --dir "node-$1"
    on "$1" cluster status --format table 2>&1 | sed -E 's/([0-9a-f]{8})[0-9a-f]{56}/\1../; s/ +$//; s/-{66}$/----------/'
}
# Lines of a node's log at WARN and above, without times, each once: `warnings_of NODE [LINES]`.
warnings_of() {
    sed 's/\x1b\[[0-9;]*m//g' "$(dir_of "$1").log" | { grep -E ' (WARN|ERROR) ' || true; } | sed -E 's/^[^ ]+ +//' | sort | uniq -c | sort -rn |
        sed -n "1,${2:-5}p" | cut -c 1-220
}

# ---- the checks --------------------------------------------------------------------------------------------

# The numbers of writers that are in the channel on a node: writer, number, how often.
numbers_on() {
    on "$1" sql --format csv -c "select payload->>'writer' as writer, (payload->>'number')::bigint as number,
        count(*) as times from channels.$channel where payload->>'writer' is not null group by 1, 2 order by 1, 2" | tail -n +2 | tr -d '\r"'
}

# Stops with what is wrong unless each writer's numbers are 1, 2, 3 .. once each, up to the last acknowledged one or the one
# behind it, which may have been appended without anybody having heard.
check_numbers() {
    local node=$1 file found
    numbers_on "$node" >"$scratch/numbers-$node"
    found=$({
        for file in "$scratch"/acknowledged-*; do
            sed "s/^/acknowledged ${file##*-} /" "$file"
        done
        tr ',' ' ' <"$scratch/numbers-$node" | sed 's/^/found /'
    } | awk '
        $1 == "acknowledged" { acknowledged[$2 " " $3] = 1; if ($3 > last[$2]) last[$2] = $3 }
        $1 == "found" {
            found[$2 " " $3] = 1
            if ($4 != 1) print "writer " $2 " number " $3 " is there " $4 " times"
            if ($3 > last[$2] + 1) print "writer " $2 " number " $3 " was never sent"
        }
        END { for (what in acknowledged) if (!(what in found)) print "acknowledged and not there: writer, number " what }')
    [ -z "$found" ] || {
        printf '%s\n' "$found" | sed -n 1,20p
        bad "node $node: acknowledged events are not there exactly once"
    }
}

# What must hold in the end on these nodes, which hold the log: `check_replicas NODE...`. Stops them.
check_replicas() {
    local node
    until_true 90 "equal log roots on nodes $*" roots_agree "$log" "$@"
    for node in "$@"; do printf 'node %s: %s\n' "$node" "$(log_row "$node" "$log" | awk -F , '{ print $3 ", position " $6 ", root " substr($7, 1, 16) ".." }')"; done
    good "log roots are equal"
    for node in "$@"; do check_numbers "$node"; done
    good "every acknowledged event is there exactly once on nodes $* (SQL on each)"
    stop_nodes "$@"
    check_directories "$@"
}
check_directories() {
    local node
    for node in "$@"; do on "$node" log verify >/dev/null || bad "log verify on node $node"; done
    good "log verify on the directories of nodes $*: exit code 0"
}
