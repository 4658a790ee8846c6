# shellcheck shell=bash disable=SC2034,SC2154
# Both followers are paused, so that the leader has no majority; then they are woken.

make_cluster
make_channel "$channel" 3
start_load 1 2 3
more_events 100
leader=$(leader_of 1 "$log")
others=()
for node in 1 2 3; do [ "$node" = "$leader" ] || others+=("$node"); done
operator_sees "before: node $leader leads" 1 2 3

began=$(milliseconds)
for node in "${others[@]}"; do kill -STOP "${pids[$node]}"; done
printf 'SIGSTOP: nodes %s\n' "${others[*]}"
count=$(acknowledged)
comes_true 20 is_not_ready_for "$leader" no-leader || fault "node $leader has no majority for 20 s, and does not say no-leader"
printf 'acknowledged meanwhile: %s\n' $(($(acknowledged) - count))
operator_sees "node $leader is alone" "$leader"
woken=$(milliseconds)
for node in "${others[@]}"; do kill -CONT "${pids[$node]}"; done
more_events 100
printf 'SIGCONT: 100 further events were acknowledged after %s ms\n' $(($(milliseconds) - woken))
for node in 1 2 3; do
    comes_true 15 is_ready "$node" || fault "node $node is not ready 15 s after all nodes were there: $(ready_of "$node" | cut -c 1-160)"
done
say_silence "while there was no majority, and until there was one" "$began" "$(milliseconds)"
stop_load
operator_sees "after" 1 2 3
check_replicas 1 2 3
no_faults
