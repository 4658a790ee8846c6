# shellcheck shell=bash disable=SC2034,SC2154
# The leader is removed from the cluster under load; another node gets what it held.

nodes=(1 2 3 4)
make_cluster
make_channel "$channel" 3
start_load 1 2 3
more_events 100
leader=$(leader_of 1 "$log")
others=()
for node in 1 2 3; do [ "$node" = "$leader" ] || others+=("$node"); done
operator_sees "before: node $leader leads" 1 2 3 4

began=$(milliseconds)
show cluster remove "$leader"
on "${others[0]}" cluster remove "$leader"
is_led_by_another() { has_leader "$1" "$log" && [ "$(leader_of "$1" "$log")" != "$leader" ]; }
until_true 30 "another leader" is_led_by_another "${others[0]}"
until_true 30 "the news on node $leader" is_not_ready_for "$leader" removed
told=$(milliseconds)
printf 'node %s says that it was removed after %s ms\n' "$leader" $((told - began))
operator_sees "node $leader was removed" "${others[@]}" 4 "$leader"
more_events 150
until_true 60 "a replica on node 4" has_leader 4 "$log"
now=$(milliseconds)
stop_load
operator_sees "after" "${others[@]}" 4 "$leader"
status_seen_by "$leader" || true
say_silence "while the leader was removed" "$began" "$now"
printf 'what node %s warns of:\n' "$leader"
warnings_of "$leader"
last_words=$(ready_of "$leader")
for node in "${others[@]}" 4; do is_ready "$node" || fault "node $node, which stayed, is not ready: $(ready_of "$node")"; done
check_replicas "${others[@]}" 4
stop_nodes "$leader"
check_directories "$leader"
case $last_words in *'"removed"'*) ;; *) fault "node $leader does not say any more that it was removed" ;; esac
no_faults
