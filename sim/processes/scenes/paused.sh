# shellcheck shell=bash disable=SC2034,SC2154
# A node is paused for a while under load: first a follower, then the leader.

make_cluster
make_channel "$channel" 3
start_load 1 2 3
more_events 100
# One writer for each node that waits for its answer, however long the node is paused.
patience=$((pause_seconds + 60))
for node in 1 2 3; do start_writer "$((10 + node))" "$patience" "$node"; done
more_events 60
operator_sees "before" 1 2 3

is_led_by_another() { has_leader "$1" "$log" && [ "$(leader_of "$1" "$log")" != "$2" ]; }
elapsed() { [ "$(milliseconds)" -ge "$1" ]; }
# What a node acknowledged since a time, and how long after it: `acknowledged_through NODE FROM`.
acknowledged_through() {
    cat "$scratch"/acknowledged-* | sort -n -k 2 | awk -v node="$1" -v from="$2" '
        $3 == node && $2 >= from { printf "node %s acknowledged %s ms after it was woken (%s)\n", node, $2 - from, $4 }'
}
# `pause NODE WHO`
pause() {
    local node=$1 who=$2 others=() other began woken end
    for other in 1 2 3; do [ "$other" = "$node" ] || others+=("$other"); done
    began=$(milliseconds)
    kill -STOP "${pids[$node]}"
    printf 'SIGSTOP: node %s, %s, is paused for %s s\n' "$node" "$who" "$pause_seconds"
    until_true 30 "another leader than node $node" is_led_by_another "${others[0]}" "$node"
    more_events 100
    operator_sees "node $node is paused" "${others[@]}" "$node"
    until_true "$((pause_seconds + 5))" "the end of the pause" elapsed "$((began + pause_seconds * 1000))"
    woken=$(milliseconds)
    say_silence "while node $node, $who, was paused" "$began" "$woken"
    kill -CONT "${pids[$node]}"
    end=$(position_of "${others[0]}" "$log")
    until_true 60 "what was missed on node $node" is_beyond "$node" "$log" "$((end - 1))"
    until_true 30 "readiness of node $node" is_ready "$node"
    printf 'SIGCONT: node %s has what it missed, and is ready, after %s ms\n' "$node" $(($(milliseconds) - woken))
    first_through() { acknowledged_through "$node" "$woken" | grep -q .; }
    until_true 30 "an acknowledged event through node $node" first_through
    acknowledged_through "$node" "$woken" | sed -n 1p
    until_true 30 "three members alive" members_alive "${others[0]}" 3
    more_events 100
}
leader=$(leader_of 1 "$log")
pause "$((leader % 3 + 1))" "a follower"
leader=$(leader_of 1 "$log")
pause "$leader" "the leader"
stop_load
operator_sees "after" 1 2 3
check_replicas 1 2 3
