# shellcheck shell=bash disable=SC2154
# Who is no member knocks, and bytes that mean nothing flood a node, while the cluster serves.

make_cluster
make_channel "$channel" 3
start_load 1 2 3
more_events 50
operator_sees "before" 1 2 3
began=$(milliseconds)

# A command that must be refused: `is_refused EXIT-CODE WHAT WORD COMMAND...`; WORD must stand in what it says.
is_refused() {
    local wanted=$1 what=$2 word=$3 status=0 said
    shift 3
    said=$("$@" 2>&1) || status=$?
    printf '%s: exit code %s: %s\n' "$what" "$status" "$(printf '%s' "$said" | tr '\n' ' ' | cut -c 1-200)"
    [ "$status" -eq "$wanted" ] || bad "$what should be refused with exit code $wanted"
    printf '%s' "$said" | grep -q "$word" || bad "$what: no word of \"$word\""
}
join() { "$net_db" --quiet --dir "$scratch/$1" cluster join "$2" --listen-mesh "$(mesh_of 7)"; }

ticket=$(invite --valid-for 1s)
over=$(($(milliseconds) + 1500))
is_over() { [ "$(milliseconds)" -gt "$over" ]; }
until_true 10 "the end of a ticket" is_over
is_refused 7 "an expired ticket" "ticket" join stranger "$ticket"

ticket=$(invite)
nodes+=(4)
on 4 cluster join "$ticket" --listen-mesh "$(mesh_of 4)" >/dev/null
is_refused 7 "a used ticket" "used" join stranger "$ticket"
is_refused 2 "a ticket that is cut off" "ticket" join stranger "${ticket:0:60}"
changed=${ticket:0:40}$([ "${ticket:40:1}" = A ] && printf B || printf A)${ticket:41}
is_refused 2 "a ticket with another letter" "ticket" join stranger "$changed"

# Makes a node that is none: `pretend NODE WHAT`; its directory is there. Its server runs for a while.
pretend() {
    local node=$1 what=$2
    "${net_db}" serve --dir "$(dir_of "$node")" --port-base "$(base_of "$node")" --log-format human >>"$(dir_of "$node").log" 2>&1 &
    pids[$node]=$!
    hears_no() { warnings_or_notes "$node" | grep -Eiq 'refus|not let|no member|another cluster|removed|handshake|cannot be reached'; }
    until_true 30 "an answer to $what" hears_no
    more_events 50
    printf '%s: /health/ready: %s\n' "$what" "$(ready_of "$node")"
    warnings_or_notes "$node" | grep -Ei 'refus|not let|no member|another cluster|removed|handshake|cannot be reached' | sort | uniq -c | sort -rn | sed -n 1,2p | cut -c 1-240
    on "$node" cluster status --format csv 2>/dev/null | sed -n 2,6p || true
    is_not_ready_for "$node" no-leader || is_not_ready_for "$node" removed || bad "$what is ready"
    stop_nodes "$node"
}
warnings_or_notes() { sed 's/\x1b\[[0-9;]*m//g' "$(dir_of "$1").log" | sed -E 's/^[^ ]+ +//'; }

# The place of node 4 in the cluster, with another key.
on 5 init >/dev/null
cp -R "$(dir_of 4)/cluster" "$(dir_of 5)/cluster"
pretend 5 "a node with another key"

# A node of another cluster, which takes the nodes of this one for its peers.
on 6 cluster init >/dev/null
begin=$("$net_db" --quiet --dir "$(dir_of 6)" cluster status 2>&1 || true)
cp "$(dir_of 4)/cluster/peers" "$(dir_of 6)/cluster/peers"
"$net_db" serve --dir "$(dir_of 6)" --port-base "$(base_of 6)" --log-format human >>"$(dir_of 6).log" 2>&1 &
pids[6]=$!
until_true 20 "the node of another cluster" is_ready 6
more_events 100
printf 'a node of another cluster, as it sees itself:\n'
on 6 cluster status --format csv | sed -n 2,4p | cut -c 1-120
[ "$(on 6 cluster status --format csv | grep -c '^"\{0,1\}node ')" = 1 ] || bad "a node of another cluster has found members"
stop_nodes 6

# Floods: bytes by chance, and beginnings of handshakes of version 1 with bytes that mean nothing behind.
flood() {
    local node=$1 count=$2 target beginning
    target=/dev/udp/127.0.0.1/$(($(base_of "$node") + 1))
    head -c $((count * 1200)) /dev/urandom | dd bs=1200 iflag=fullblock of="$target" status=none 2>/dev/null || true
    beginning='\xc3\x00\x00\x00\x01\x08'
    exec 7>"$target"
    for ((i = 0; i < count; i++)); do
        printf "$beginning%08x\\x08%08x%01180d" "$i" "$RANDOM" "$i" >&7 2>/dev/null || true
    done
    exec 7>&-
}
flood_began=$(milliseconds)
for node in 1 2 3; do flood "$node" 4000; done
printf 'flooded: 8000 datagrams of 1200 bytes to each node in %s ms\n' $(($(milliseconds) - flood_began))
more_events 50
say_silence "during the flood" "$flood_began" "$(milliseconds)"

operator_sees "after" 1 2 3
[ "$(status_of 1 | grep -c '^node ')" = 4 ] || bad "there are not four members"
say_silence "during all of it" "$began" "$(milliseconds)"
printf 'what node 1 says of it:\n'
warnings_or_notes 1 | grep -Ei 'refus|not let|greet|ticket' | sed -E 's/[0-9a-f]{16,}/../g; s/:[0-9]{4,5}/:../g' | sort | uniq -c | sort -rn | sed -n 1,6p | cut -c 1-200
counted=$(curl -s "http://$(api_of 1)/metrics" | grep -E '^netdb_(mesh|net|peer|gossip)' || true)
stop_load
check_replicas 1 2 3
printf 'metrics of the mesh:\n%s\n' "${counted:-none}"
printf '%s\n' "$counted" | grep -Eq '(refused|unread|unfinished)[a-z_]*(\{[^}]*\})? [1-9]' || bad "what was refused is not counted in /metrics"
