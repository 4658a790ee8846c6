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
kill_leader() {
    kill_nodes "$leader"
    printf 'kill -9: node %s is gone\n' "$leader"
}
import_and_break "$follower" "$input" kill_leader

heading "The killed node comes back"
start_node "$leader"
until_true 30 "node $leader" is_there "$leader" "$log"
until_true 60 "equal log roots" roots_agree "$log" "${nodes[@]}"
for node in "${nodes[@]}"; do
    printf 'node %s: %s\n' "$node" "$(log_row "$node" "$log" | awk -F , '{ print $3 ", position " $6 ", root " $7 }')"
done
good "the three logs are equal, from the first entry to the last"

heading "SQL on each node"
check_imported "${nodes[@]}"

heading "Every hash, link and signature, on each node"
stop_nodes "${nodes[@]}"
for node in "${nodes[@]}"; do on "$node" log verify >/dev/null || bad "log verify on node $node"; done
good "three times exit code 0"
