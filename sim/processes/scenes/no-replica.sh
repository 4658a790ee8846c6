# shellcheck shell=bash disable=SC2034,SC2154
# A member that holds no replica of a log is asked to append to a channel of it.

nodes=(1 2 3 4)
make_cluster
make_channel "$channel" 3
start_load 1 2 3
append_through() {
    curl -s --max-time 15 -w ' %{http_code}\n' --data-binary '{}' -H 'content-type: application/json' -H 'netdb-kind: probe' \
        "http://$(api_of "$1")/v1/channels/$channel/events"
}
logs_of() { on "$1" log channels --format csv | tr -d '\r"' | awk -F , -v name="$channel" '$1 == name { print $NF }'; }
count_on() { on "$1" sql --format csv -c "select count(*) from channels.$channel" | tail -n 1 | tr -d '\r"'; }

operator_sees "before: node 4 holds nothing of the log" 4 1 2 3
answer=$(append_through 4)
printf 'an append through node 4: %s\n' "$answer"
found=$(logs_of 4)
printf 'where the channel lives: %s on node 1, %s on node 4\n' "$(logs_of 1)" "${found:-nowhere}"
case $answer in
*' 200') [ "$found" != main ] || fault "node 4 acknowledged an append to another channel of the same name, which only it has" ;;
*) fault "node 4 holds nothing of the log, and did not send an append on" ;;
esac
show cluster move "$log" 1 2 3 4
on 1 cluster move "$log" 1 2 3 4
until_true 20 "a replica on node 4" has_leader 4 "$log"
printf 'another append through node 4: %s\n' "$(append_through 4)"
said=$(warnings_of 4 1)
printf 'what node 4 says: %s\n' "${said:-nothing}"
more_events 50
stop_load
until_true 60 "equal log roots" roots_agree "$log" 1 2 3
probes=$(on 1 sql --format csv -c "select count(*) from channels.$channel where kind = 'probe'" | tail -n 1 | tr -d '\r"')
printf 'appends through node 4 that node 1 has: %s\n' "$probes"
[ "$probes" -eq 2 ] || fault "of two appends through node 4, before and after it held a replica, node 1 has $probes"
for node in 1 4; do printf 'events in SQL on node %s: %s\n' "$node" "$(count_on "$node")"; done
operator_sees "after" 4 1 2 3
check_replicas 1 2 3
no_faults
