# shellcheck shell=bash disable=SC2034,SC2154
# All nodes are killed at once under load, and started again.

make_cluster
make_channel "$channel" 3
start_load 1 2 3
more_events 200
operator_sees "before" 1 2 3

began=$(milliseconds)
kill_nodes 1 2 3
printf 'kill -9: all nodes are gone\n'
for node in 1 2 3; do printf 'node %s /health/ready: %s\n' "$node" "$(ready_of "$node")"; done
started=$(milliseconds)
for node in 1 2 3; do start_node "$node"; done
for node in 1 2 3; do until_true 60 "node $node" is_ready "$node"; done
printf 'all nodes are ready %s ms after they were started\n' $(($(milliseconds) - started))
more_events 200
now=$(milliseconds)
stop_load
operator_sees "after" 1 2 3
say_silence "while all nodes were killed and started" "$began" "$now"
check_replicas 1 2 3
