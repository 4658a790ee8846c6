# shellcheck shell=bash disable=SC2034,SC2154
# The disk of one node fills up under load; later there is room again.

[ "$(id -u)" -eq 0 ] || skip "a small file system can be mounted by root only"
mkdir "$scratch/small"
mount -t tmpfs -o size=64m tmpfs "$scratch/small" 2>/dev/null || skip "no tmpfs can be mounted here"
mkdir "$scratch/small/node"
ln -s "$scratch/small/node" "$scratch/node-3"

make_cluster
make_channel "$channel" 3
pad_bytes=4000
start_load 1 2 3
is_led_by() { [ "$(leader_of 1 "$log")" = "$1" ]; }
more_events 60
# A follower first; a leader hands over.
if [ "$(leader_of 1 "$log")" = 3 ]; then
    on 3 cluster transfer "$log" 1
    until_true 20 "node 1 as leader" is_led_by 1
fi
operator_sees "before" 1 2 3

# Fills what is left of the small disk, until nothing is.
fill() {
    head -c 128m /dev/zero >"$scratch/small/filler" 2>/dev/null || true
    printf 'the disk of node 3: %s bytes are free\n' "$(df --output=avail -B 1 "$scratch/small" | tail -n 1 | tr -d ' ')"
}
waits_for_room() { [ "$(state_of 3 "$log")" = 'disk full' ]; }
has_room() { ! waits_for_room; }
# What happens when the disk is full: `fill_up WHO`.
fill_up() {
    local who=$1 began full
    began=$(milliseconds)
    fill
    until_true 120 "the state disk full on node 3" waits_for_room
    full=$(milliseconds)
    more_events 100
    until_true 20 "a reason of node 3" is_not_ready_for 3 disk-full
    operator_sees "node 3, $who, has no room" 1 2 3
    status_seen_by 3
    say_silence "while the disk of node 3, $who, was full" "$full" "$(milliseconds)"
    say_silence "from its filling up on" "$began" "$(milliseconds)"
    rm "$scratch/small/filler"
    began=$(milliseconds)
    until_true 60 "node 3 with room" has_room
    end=$(position_of 1 "$log")
    until_true 60 "what was missed on node 3" is_beyond 3 "$log" "$((end - 1))"
    printf 'node 3 has what it missed %s ms after there was room\n' $(($(milliseconds) - began))
    until_true 10 "node 3 is ready" is_ready 3
    printf 'node 3 is ready %s ms after there was room\n' $(($(milliseconds) - began))
}
fill_up "a follower"
more_events 60
leader=$(leader_of 1 "$log")
if [ "$leader" != 3 ]; then
    show cluster transfer "$log" 3
    on "$leader" cluster transfer "$log" 3
fi
until_true 20 "node 3 as leader" is_led_by 3
more_events 60
fill_up "the leader"
more_events 60
stop_load
operator_sees "after" 1 2 3
check_replicas 1 2 3
