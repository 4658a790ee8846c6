# shellcheck shell=bash disable=SC2034,SC2154
# Replicas are moved to another node under load: first that of a follower, then that of the leader.

nodes=(1 2 3 4)
make_cluster
make_channel "$channel" 3
start_load 1 2 3
more_events 100
operator_sees "before: node 4 holds nothing of the log" 1 2 3 4

is_held_by() { [ "$(log_row "$1" "$log" | cut -d , -f 5)" = "$2" ] && has_leader "$1" "$log"; }
is_replica() { [ "$(state_of "$1" "$log")" = replica ] || [ "$(state_of "$1" "$log")" = leader ]; }
count_on() { on "$1" sql --format csv -c "select count(*) from channels.$channel" 2>&1 | tail -n 1 | tr -d '\r"'; }
# Moves a replica: `move FROM TO VIA NODE...`, asked of node VIA; NODE... are to hold the log.
move() {
    local from=$1 to=$2 via=$3 began end
    shift 3
    began=$(milliseconds)
    end=$(position_of "$via" "$log")
    show cluster move "$log" "$@"
    on "$via" cluster move "$log" "$@"
    until_true 60 "a replica with a vote on node $to" is_replica "$to"
    until_true 60 "what was there before on node $to" is_beyond "$to" "$log" "$((end - 1))"
    until_true 30 "another leader than node $from" leads_not "$to" "$from"
    more_events 150
    say_silence "while node $to took the place of node $from" "$began" "$(milliseconds)"
}
leads_not() { has_leader "$1" "$log" && [ "$(leader_of "$1" "$log")" != "$2" ]; }

leader=$(leader_of 1 "$log")
follower=$((leader % 3 + 1))
rest=$((6 - leader - follower))
move "$follower" 4 "$leader" "$leader" "$rest" 4
operator_sees "the replica of node $follower, a follower, is on node 4" "$leader" "$rest" 4 "$follower"
status_seen_by "$follower"
is_gone_from() { [ "$(state_of "$1" "$log")" = 'not here' ]; }
comes_true 10 is_gone_from "$follower" ||
    fault "node $follower shows the replica that it gave up as \`$(state_of "$follower" "$log")\`, not as \`not here\`"
here=$(count_on "$follower") there=$(count_on 4)
printf 'events in SQL: %s on node %s, %s on node 4\n' "$here" "$follower" "$there"
more_events 50
# Where it is not any more, there is no such table.
[[ ! $here =~ ^[0-9]+$ ]] || [ "$(count_on "$follower")" != "$here" ] ||
    fault "SQL on node $follower answers from the replica that it gave up, as of then, without saying so"

leader=$(leader_of 4 "$log")
stay=(4)
for node in 1 2 3; do [ "$node" = "$leader" ] || [ "$node" = "$follower" ] || stay+=("$node"); done
if [ "$leader" = 4 ]; then stay=(); for node in 1 2 3; do [ "$node" = "$follower" ] || stay+=("$node"); done; fi
move "$leader" "$follower" "${stay[0]}" "${stay[@]}" "$follower"
stop_load
operator_sees "after: the replica of node $leader, which led, is on node $follower" "$follower" "${stay[@]}" "$leader"
for node in 1 2 3 4; do is_ready "$node" || fault "node $node is not ready: $(ready_of "$node" | cut -c 1-160)"; done
check_replicas "$follower" "${stay[@]}"
stop_nodes "$leader"
check_directories "$leader"
no_faults
