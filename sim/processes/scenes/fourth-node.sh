# shellcheck shell=bash disable=SC2034,SC2154
# A fourth node joins under load, is given a replica, and catches up.

make_cluster
make_channel "$channel" 3
start_load 1 2 3
more_events 200
operator_sees "before: three nodes" 1 2 3

nodes+=(4)
began=$(milliseconds)
add_node 4
for node in "${nodes[@]}"; do until_true 20 "four members on node $node" members_alive "$node" 4; done
more_events 50
operator_sees "node 4 is a member, and holds nothing of the log" 1 2 3 4

end=$(position_of 1 "$log")
show cluster move "$log" 1 2 3 4
on 1 cluster move "$log" 1 2 3 4
is_replica() { [ "$(state_of "$1" "$log")" = replica ] || [ "$(state_of "$1" "$log")" = leader ]; }
until_true 60 "a replica with a vote on node 4" is_replica 4
until_true 60 "what was there before on node 4" is_beyond 4 "$log" "$((end - 1))"
start_writer 4 12 4
more_events 200
now=$(milliseconds)
stop_load
operator_sees "after: node 4 is a replica, and takes appends" 4 1 2 3
say_silence "while the node joined and caught up" "$began" "$now"
check_replicas 1 2 3 4
