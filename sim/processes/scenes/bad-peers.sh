# shellcheck shell=bash disable=SC2034,SC2154
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

plain_log() { sed 's/\x1b\[[0-9;]*m//g' "$(dir_of "$1").log" | sed -E 's/^[^ ]+ +//'; }
# What the members say of who knocks, each once.
refusals() { for node in 1 2 3; do plain_log "$node"; done | grep -F 'not let in' | sed -E 's/ key=[0-9a-f]+//' | sort | uniq -c | sort -rn; }
says() { refusals | grep -q "$1"; }
# A node that is none serves a directory, until the members say why they do not let it in: `pretend NODE WHAT REASON`.
pretend() {
    local node=$1 what=$2 reason=$3
    start_node "$node"
    until_true 30 "a refusal of $what" says "$reason"
    more_events 50
    printf '%s: /health/ready: %s\n' "$what" "$(ready_of "$node")"
    on "$node" cluster status --format csv | sed -n 2,6p | cut -c 1-100
    pretended=$(ready_of "$node")
    stop_nodes "$node"
}

# The place of node 4 in the cluster, with another key.
on 5 init >/dev/null
cp -R "$(dir_of 4)/cluster" "$(dir_of 5)/cluster"
pretend 5 "a node with another key" "another key has this number"
case $pretended in *no-leader*) ;; *) bad "a node with another key should have no leader: $pretended" ;; esac

# A node of another cluster, which takes the nodes of this one for its peers.
on 6 cluster init >/dev/null
cp "$(dir_of 4)/cluster/peers" "$(dir_of 6)/cluster/peers"
pretend 6 "a node of another cluster" "cluster"

# Floods a node: bytes by chance, and beginnings of handshakes of version 1 with bytes that mean nothing behind.
flood() {
    local target beginning i
    target=/dev/udp/127.0.0.1/$(($(base_of "$1") + 1))
    beginning='\xc3\x00\x00\x00\x01\x08'
    head -c 4800000 /dev/urandom | dd bs=1200 iflag=fullblock status=none >"$target" || true
    exec 7>"$target"
    for ((i = 0; i < 4000; i++)); do
        # shellcheck disable=SC2059
        printf "$beginning%08x\\x08%08x%01180d" "$i" "$RANDOM" "$i" >&7 || true
    done
    exec 7>&-
}
# What came over UDP on this machine, and what was thrown away since nobody took it in time.
datagrams() { awk '$1 == "Udp:" && $2 ~ /^[0-9]/ { print $2, $6 }' /proc/net/snmp; }
flood_began=$(milliseconds)
read -r came_before lost_before < <(datagrams)
while [ $(($(milliseconds) - flood_began)) -lt 10000 ]; do
    for node in 1 2 3; do flood "$node"; done
done
read -r came lost < <(datagrams)
printf 'flooded for %s ms: %s datagrams came, %s more found no room in a socket\n' $(($(milliseconds) - flood_began)) \
    $((came - came_before)) $((lost - lost_before))
more_events 50
say_silence "during the flood" "$flood_began" "$(milliseconds)"

operator_sees "after" 1 2 3
[ "$(status_of 1 | grep -c '^node ')" = 4 ] || bad "there are not four members"
say_silence "during all of it" "$began" "$(milliseconds)"
printf 'what the members say of it:\n'
refusals | sed -n 1,6p | cut -c 1-160
counted=$(curl -s "http://$(api_of 1)/metrics" | grep -E '^netdb_(mesh|net|peer|gossip)' || true)
stop_load
check_replicas 1 2 3
printf 'metrics of the mesh:\n%s\n' "${counted:-none}"
printf '%s\n' "$counted" | grep -Eq '(refused|unread|unfinished)[a-z_]*(\{[^}]*\})? [1-9]' || fault "what was refused is not counted in /metrics"
no_faults
