# shellcheck shell=bash disable=SC2034,SC2154
# A node is killed under load, its log is damaged while it is down, and it is started again: a bit is changed, an end is cut
# off, the newest segment is removed, everything of the log is; first of a follower, then of who leads by then.

make_cluster
make_channel "$channel" 3
start_load 1 2 3
more_events 200

newest_segment_of() { printf '%s\n' "$(dir_of "$1")/logs/$2"/*.seg | sort | tail -n 1; }
# Where the bytes of a file end that are no zeros.
used_bytes() { od -An -v -tx1 -w1 "$1" | awk '$1 != "00" { last = NR } END { print last + 0 }'; }
# `damage HOW NODE LOG`
damage() {
    local how=$1 dir file used at byte
    dir="$(dir_of "$2")/logs/$3"
    file=$(newest_segment_of "$2" "$3")
    used=$(used_bytes "$file")
    case $how in
        bit)
            at=$((used / 2))
            byte=$(od -An -tu1 -j "$at" -N 1 "$file" | tr -d ' ')
            # shellcheck disable=SC2059 # the format is the byte
            printf "$(printf '\\%03o' $((byte ^ 16)))" | dd of="$file" bs=1 seek="$at" conv=notrunc status=none
            printf 'node %s, log %s: a bit of byte %s of %s is changed\n' "$2" "$3" "$at" "${file##*/}"
            ;;
        end)
            truncate -s $((used / 2)) "$file"
            printf 'node %s, log %s: %s is cut from %s to %s bytes\n' "$2" "$3" "${file##*/}" "$used" $((used / 2))
            ;;
        segment)
            rm "$file"
            printf 'node %s, log %s: %s is removed\n' "$2" "$3" "${file##*/}"
            ;;
        all)
            rm -r "$dir"
            printf 'node %s, log %s: everything is removed\n' "$2" "$3"
            ;;
    esac
}
# `damage_and_repair HOW NODE WHO`
damage_and_repair() {
    local how=$1 node=$2 who=$3 began end other=$(($2 % 3 + 1))
    began=$(milliseconds)
    kill_nodes "$node"
    for damaged in "$log" control; do damage "$how" "$node" "$damaged"; done
    more_events 50
    end=$(position_of "$other" "$log")
    start_node "$node"
    until_true 60 "readiness of node $node" is_ready "$node"
    until_true 60 "what was lost on node $node" is_beyond "$node" "$log" "$((end - 1))"
    printf 'node %s, %s, is ready and has everything %s ms after it was killed\n' "$node" "$who" $(($(milliseconds) - began))
    more_events 50
}
for how in bit end segment all; do
    damage_and_repair "$how" "$(($(leader_of 1 "$log") % 3 + 1))" "a follower"
done
for how in bit all; do
    leader=$(leader_of 1 "$log")
    damage_and_repair "$how" "$leader" "the leader"
done
now=$(milliseconds)
stop_load
operator_sees "after" 1 2 3
for node in 1 2 3; do warnings_of "$node" | grep -E 'lost something|given back|set aside|in doubt' | head -n 4 || true; done
check_replicas 1 2 3
