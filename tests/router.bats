# A portable router, its home, and who is behind them: what Warren does for them. WARREN is the program.

bats_require_minimum_version 1.5.0
load router_machine.bash

@test "a plan shows three packets out and two back" {
  cd "$BATS_TEST_TMPDIR"
  printf '[bridge.br]\nports = ["lan3", "vx8"]\n[vxlan.vx8]\nvni = 8\nover = "wgx"\npeers = ["10.0.31.1"]\nmtu = "transparent"\n' >pocket.toml
  printf '[vxlan.vx8]\nvni = 8\nover = "wgx"\npeers = ["10.0.31.103"]\nmtu = 1370\n' >home.toml
  run -0 "$WARREN" plan pocket.toml home.toml --wireguard wgx
  [[ "$output" == *"ip(wgx) | udp | wireguard | ip(vx8) | udp | vxlan | eth | packet"* ]]
  [[ "$output" == *"a ping of 2000 bytes, from a host that keeps 1500: 3 packets on the wire"* ]]
  [[ "$output" == *"1420 + 150 + 598, fragmented"* ]]
  [[ "$output" == *"its answer, from the far router: 2 packets on the wire"* ]]
  [[ "$output" == *"1414 + 734"* ]]
  [[ "$output" == *"dhcp-option=tag:br,option:mtu,1370"* ]]
  "$WARREN" plan pocket.toml home.toml --wireguard wgx --json >plan.json
  jq -e '.paths[0] | .never_fragments == 1370 and .ping.packets_on_wire == 3 and .answer.packets_on_wire == 2
         and .layers[1].overhead == 60 and .layers[2].mtu == 1500' plan.json
  run -0 "$WARREN" plan home.toml --wireguard wgx --wire-mtu 1400
  [[ "$output" == *"warning: wgx: packets above 1340 bytes leave in two fragments on wire"* ]]
  run -1 "$WARREN" plan absent.toml
}

@test "a bridge loses what is too large, and a transparent L2 carries it in three packets" {
  router <<'SH'
    run_in home home.toml
    write_pocket 'mtu = 1370'
    run_in pocket pocket.toml
    until_true ping_home -c 1
    ! ping_home -c 3 -s 2000 || fail "1500 bytes went through 1370"
    # The remedy, without a restart: the device stays the same.
    before=$(pocket cat /sys/class/net/vx8/ifindex)
    write_pocket 'mtu = "transparent"'
    warren reload pocket
    [ "$(pocket cat /sys/class/net/vx8/ifindex)" = "$before" ] || fail "vx8 was made anew"
    until_true ping_home -c 1 -s 2000
    until_true ping_takes wg0 3 2
SH
}

@test "connections through a narrow port agree on segments that fit, others keep theirs" {
  router <<'SH'
    wire client2 d0 pocket lan4 2>/dev/null || { ip netns add client2; ip -n client2 link set lo up; wire client2 d0 pocket lan4; }
    for ns in client pocket home host client2; do
      ip netns exec $ns sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0
    done
    ip -n client2 address add 192.168.35.136/24 dev d0
    ip -n client address add fd35::135/64 dev c0 nodad
    ip -n host address add fd35::2/64 dev h0 nodad
    sed -i 's/^mtu = 1370/mtu = 1500/; s/^peers.*/&\nmtu = "transparent"/' home.toml
    run_in home home.toml
    bridge_lines='' write_pocket 'mtu = "transparent"'
    sed -i 's/"lan3", "vx8"/"lan3", "lan4", "vx8"/' pocket.toml
    run_in pocket pocket.toml
    until_true client ping -q -c 1 -W 1 192.168.35.2
    until_true client ping -q -c 1 -W 1 fd35::2
    listen_in host 192.168.35.2
    listen_in host fd35::2
    listen_in client2 192.168.35.136
    # Timestamps take 12 bytes of a segment.
    [ "$(segment client 192.168.35.2)" -eq 1448 ] || fail "it was small before"
    until_true [ "$(cat accepted)" = 1448 ]
    [ "$(segment client fd35::2)" -eq 1428 ] || fail "it was small before, IPv6"
    sed -i 's/^mtu = "transparent"/&\nclamp-mss = "auto"/' pocket.toml
    warren reload pocket
    [ "$(segment client 192.168.35.2)" -eq 1318 ] || fail "client sends $(segment client 192.168.35.2)"
    until_true [ "$(cat accepted)" = 1318 ]
    [ "$(segment client fd35::2)" -eq 1298 ] || fail "client sends $(segment client fd35::2) over IPv6"
    until_true [ "$(cat accepted)" = 1298 ]
    [ "$(segment client 192.168.35.136)" -eq 1448 ] || fail "a connection that does not leave by vx8 shrank"
    # A number is that of an IPv4 segment.
    sed -i 's/^clamp-mss.*/clamp-mss = 1000/' pocket.toml
    warren reload pocket
    [ "$(segment client 192.168.35.2)" -eq 988 ] || fail "client sends $(segment client 192.168.35.2)"
SH
}

# A segment has no router that could say what is too large for the tunnel: the tunnel's end says it.
@test "who forbids fragments is told what fits, by either engine, and a transparent L2 carries it nevertheless" {
  router <<'SH'
    for ns in client pocket home; do
      ip netns exec $ns sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.default.accept_dad=0
    done
    ip -n client address add fd35::135/64 dev c0 nodad
    sed -i 's/^address.*/address = ["192.168.35.1\/24", "fd35::1\/64"]/' home.toml
    run_in home home.toml
    for engine in kernel user; do
      write_pocket "mtu = \"transparent\"
engine = \"$engine\""
      run_in pocket pocket.toml
      until_true ping_home -c 1
      for of in 192.168.35.1:1472 fd35::1:1452; do
        host=${of%:*} size=${of##*:}
        until_true client ping -q -c 1 -W 1 $host
        client ip route flush cache; client ip -6 route flush cache
        # The first one learns, those after it do not leave any more.
        client ping -c 2 -i 0.2 -W 1 -M do -s $size $host >told.txt 2>&1 || true
        grep -E 'mtu ?= ?1370' told.txt >/dev/null || fail "$engine: nobody told who pings $host: $(cat told.txt)"
        client ping -q -c 3 -i 0.1 -W 1 -M do -s $((size - 130)) $host | grep ' 0% packet loss' || fail "$engine: what fits is lost"
      done
      [ $engine = kernel ] || warren status pocket --json | jq -e '.nodes[] | select(.name == "vx8") | .details["senders told"] | tonumber >= 2' >/dev/null || fail "$(warren status pocket)"
      # Who does not listen is served with fragments by ours; the kernel's drops what it has answered.
      client nft -f - <<'NFT'
table inet deaf {
  chain in {
    type filter hook prerouting priority -400
    icmp type destination-unreachable drop
    icmpv6 type packet-too-big drop
  }
}
NFT
      client ip route flush cache; client ip -6 route flush cache
      for of in 192.168.35.1:1472 fd35::1:1452; do
        [ $engine = kernel ] || client ping -q -c 3 -i 0.1 -W 1 -M do -s ${of##*:} ${of%:*} | grep ' 0% packet loss' || fail "$engine: a transparent L2 lost something"
      done
      client nft delete table inet deaf
      kill $pid_pocket; wait $pid_pocket || true
    done
SH
}

needs_nft_for_bridges() {
  unshare --net nft -f - 2>/dev/null <<'NFT' || skip "this kernel's nf_tables has no meta expressions for bridges (CONFIG_NFT_BRIDGE_META)"
    table bridge t { chain c { type filter hook prerouting priority -301; meta pkttype set host; ether daddr set 02:00:00:00:00:01; }; }
NFT
}

# bridge_to_router METHOD: the problem, the remedy, and what it must not bring.
bridge_to_router() {
  { echo "method=$1"; cat <<'SH'; } | router
    run_in home home.toml
    write_pocket 'mtu = 1370'
    run_in pocket pocket.toml
    until_true ping_home -c 1
    ! ping_home -c 3 -s 2000 || fail "1500 bytes went through 1370"
    bridge_lines="address = [\"192.168.35.137/24\"]
bridge-to-router = [\"192.168.35.0/24\"]
bridge-to-router-with = \"$method\"" write_pocket 'mtu = 1370'
    warren reload pocket
    client tcpdump -Uni c0 -w redirects 'icmp[icmptype] == icmp-redirect' 2>tcpdump.err &
    watcher=$!
    until_true grep listening tcpdump.err
    until_true ping_home -c 1 -s 2000
    ping_home -c 20 -s 2000 | grep ' 0% packet loss' || fail "large pings are lost"
    # Those that must not be fragmented are told.
    client ping -c 1 -W 2 -M do -s 1472 192.168.35.1 >df.txt 2>&1 || true
    grep 'mtu = 1370' df.txt || grep 'mtu=1370' df.txt || fail "nobody said 1370: $(cat df.txt)"
    # Small frames are bridged: nobody takes a hop off.
    client ip route flush cache
    client ping -c 1 -W 1 192.168.35.1 | grep ttl=64 || fail "a small frame was routed"
    kill $watcher; wait $watcher || true
    [ "$(tcpdump -nr redirects 2>/dev/null | wc -l)" -eq 0 ] || fail "ICMP redirects"
    as_before ping_home
SH
}

@test "frames that are too large are routed, with nft" {
  needs_nft_for_bridges
  bridge_to_router nft
}

@test "frames that are too large are routed, with a kernel program" {
  bridge_to_router tc
}

# The same over IPv6, where routers fragment nothing: the sender is told.
bridge_to_router_ipv6() {
  { echo "method=$1"; cat <<'SH'; } | router
    for ns in client pocket home; do
      ip netns exec $ns sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.default.accept_dad=0
    done
    ip -n client address add fd35::135/64 dev c0 nodad
    ping6_home() { client ping -q -i 0.1 -W 1 "$@" fd35::1; }
    forget() { client ip -6 route flush cache; }
    sed -i 's/^address.*/address = ["fd35::1\/64"]/' home.toml
    run_in home home.toml
    write_pocket 'mtu = 1370'
    run_in pocket pocket.toml
    until_true ping6_home -c 1
    ! ping6_home -c 3 -s 2000 || fail "1500 bytes went through 1370"
    ! client ip -6 route get fd35::1 | grep 'mtu 1370' || fail "somebody said it before"
    bridge_lines="address = [\"fd35::137/64\"]
bridge-to-router = [\"fd35::/64\"]
bridge-to-router-with = \"$method\"" write_pocket 'mtu = 1370'
    warren reload pocket
    client tcpdump --immediate-mode -Uni c0 -w told 'icmp6 and (ip6[40] == 2 or ip6[40] == 137)' 2>tcpdump.err &
    watcher=$!
    until_true grep listening tcpdump.err
    # "Packet too big" is said once, and the client fragments from then on.
    until_true ping6_home -c 1 -s 2000
    client ip -6 route get fd35::1 | grep 'mtu 1370' >/dev/null || fail "$(client ip -6 route get fd35::1)"
    ping6_home -c 20 -s 2000 | grep ' 0% packet loss' || fail "large pings are lost"
    until_true eval "tcpdump -nr told 2>/dev/null | grep 'packet too big, mtu 1370'"
    forget
    client ping -c 1 -W 2 -M do -s 1452 fd35::1 >df.txt 2>&1 || true
    grep -E 'mtu ?= ?1370' df.txt || fail "nobody said 1370: $(cat df.txt)"
    # Small frames are bridged: nobody takes a hop off.
    forget
    client ping -c 1 -W 1 fd35::1 | grep ttl=64 || fail "a small frame was routed"
    kill $watcher; wait $watcher || true
    ! tcpdump -nr told 2>/dev/null | grep -i redirect || fail "ICMP redirects"
    as_before ping6_home
SH
}

@test "IPv6 frames that are too large are routed, with nft, and their senders told" {
  needs_nft_for_bridges
  bridge_to_router_ipv6 nft
}

@test "IPv6 frames that are too large are routed, with a kernel program, and their senders told" {
  bridge_to_router_ipv6 tc
}

@test "what came in by a device is answered by it" {
  router <<'SH'
    # Another site, behind home. Home takes from wg0 only what has a tunnel address, as WireGuard's allowed IPs do.
    ip netns add site
    ip -n site link set lo up
    wire site s0 home eth1
    ip -n site address add 192.168.36.2/24 dev s0
    ip -n site route add default via 192.168.36.1
    ip -n home address add 192.168.36.1/24 dev eth1
    home sysctl -qw net.ipv4.ip_forward=1
    home nft -f - <<'NFT'
table inet allowed { chain in { type filter hook prerouting priority -400; iifname "wg0" ip saddr != 10.0.31.0/24 drop; }; }
NFT
    run_in home home.toml
    bridge_lines='address = ["192.168.35.137/24"]' write_pocket
    ip -n pocket route add default via 10.0.31.1 dev wg0
    pocket sysctl -qw net.ipv4.conf.all.rp_filter=1
    state_of pocket >before
    run_in pocket pocket.toml
    from_site() { ip netns exec site ping -q -c 1 -W 1 192.168.35.137; }
    until_true home ping -q -c 1 -W 1 192.168.35.137
    ! from_site || fail "the answer found its way without the remedy"
    bridge_lines='address = ["192.168.35.137/24"]
same-way-back = true
gateway = "192.168.35.1"' write_pocket
    warren reload pocket
    until_true from_site
    pocket ip rule | grep 'fwmark' >/dev/null
    # What it asks itself goes the ordinary way.
    pocket ping -q -c 1 -W 1 10.0.31.1
    kill $pid_pocket; wait $pid_pocket
    state_of pocket >after
    diff before after || fail "something was left"
SH
}

@test "zones forward where they say, under the address that they say" {
  router <<'SH'
    wire pocket lan1 client c1
    ip -n client address add 192.168.1.2/24 dev c1
    ip -n client route add 10.0.0.0/8 via 192.168.1.1
    state_of pocket >before
    cat >pocket.toml <<'TOML'
[bridge.br-lan]
ports = ["lan1"]
address = ["192.168.1.1/24"]
TOML
    run_in pocket pocket.toml
    until_true client ping -q -c 1 -W 1 192.168.1.1
    ! client ping -q -c 1 -W 1 10.0.31.1 || fail "home knows 192.168.1.0/24?"
    cat >>pocket.toml <<'TOML'
[zone.lan]
devices = ["br-lan"]
forward = ["home"]
[zone.home]
devices = ["wg0"]
masquerade = true
TOML
    warren reload pocket
    until_true client ping -q -c 1 -W 1 10.0.31.1
    # Home cannot begin a connection into the LAN; answers are no beginning.
    ip -n home route add 192.168.1.0/24 via 10.0.31.103
    ! home ping -q -c 1 -W 1 192.168.1.2 || fail "home reached into the LAN"
    sed -i 's/^forward.*/forward = []/' pocket.toml
    warren reload pocket
    ! client ping -q -c 1 -W 1 10.0.31.1 || fail "lan may still go home"
    kill $pid_pocket; wait $pid_pocket
    state_of pocket >after
    diff before after || fail "something was left"
SH
}

@test "peers come and go without touching the others" {
  router <<'SH'
    run_in home home.toml
    write_pocket
    run_in pocket pocket.toml
    until_true ping_home -c 1
    before=$(pocket cat /sys/class/net/vx8/ifindex)
    client ping -q -i 0.005 -c 300 192.168.35.1 >flow.txt &
    flow=$!
    for list in '"10.0.31.1", "10.0.31.7"' '"10.0.31.8", "10.0.31.1", "10.0.31.7"' '"10.0.31.1"'; do
      sed -i "s/^peers.*/peers = [$list]/" pocket.toml
      warren reload pocket
      [ "$(pocket bridge fdb show dev vx8 | grep -c '^00:00:00:00:00:00')" -eq "$(tr -cd , <<<"$list" | wc -c | xargs -I{} expr {} + 1)" ] || fail "not $list"
    done
    wait $flow
    grep ' 0% packet loss' flow.txt || fail "$(cat flow.txt)"
    [ "$(pocket cat /sys/class/net/vx8/ifindex)" = "$before" ] || fail "vx8 was made anew"
SH
}

@test "a port that lost its bridge gets it back" {
  router <<'SH'
    run_in home home.toml
    write_pocket
    run_in pocket pocket.toml
    until_true ping_home -c 1
    ip -n pocket link set lan3 nomaster
    until_true ping_home -c 1
    # And one that vanished and returned, as a Wi-Fi access point does.
    ip -n pocket link delete lan3
    until_true grep 'tried again when devices' log
    wire client c0 pocket lan3
    ip -n client address add 192.168.35.135/24 dev c0
    until_true ping_home -c 1
    # And a VXLAN that somebody deleted.
    ip -n pocket link delete vx8
    until_true ping_home -c 1
SH
}

@test "what is killed is taken back by the next start, and by down" {
  router <<'SH'
    pocket sysctl -qw net.ipv4.conf.all.rp_filter=1
    state_of pocket >before
    bridge_lines='address = ["192.168.35.137/24"]
same-way-back = true
gateway = "192.168.35.1"
bridge-to-router = ["192.168.35.0/24"]' write_pocket 'clamp-mss = "auto"'
    printf '[zone.l2]\ndevices = ["br-lan2"]\n[device.lan3]\nmtu = 1400\n' >>pocket.toml
    run_in home home.toml
    run_in pocket pocket.toml
    until_true ping_home -c 1
    kill -KILL $pid_pocket
    wait $pid_pocket || true
    ! warren down pocket 2>err || fail "down works elsewhere"
    grep 'in another network namespace' err >/dev/null || fail "$(cat err)"
    pocket warren up pocket.toml --dry-run | grep 'first takes back' >/dev/null
    run_in pocket pocket.toml
    until_true ping_home -c 1
    kill -KILL $pid_pocket
    wait $pid_pocket || true
    pocket warren down pocket
    state_of pocket >after
    diff before after || fail "something was left"
    # In the middle of it, wherever that is.
    for delay in 0.01 0.02 0.03 0.04 0.06 0.08 0.1 0.13; do
      timeout -s KILL $delay ip netns exec pocket warren up pocket.toml 2>>log || true
      pocket warren down pocket 2>>log || true
      state_of pocket >after
      diff before after || fail "something was left after $delay seconds"
    done
SH
}

@test "a dry run says what would change, and down restores what was there" {
  router <<'SH'
    ip -n pocket link add br-old type bridge
    ip -n pocket link set lan3 master br-old
    state_of pocket >before
    write_pocket
    printf '[device.wg0]\naddress = ["10.0.31.103/24", "10.0.32.1/24"]\nmtu = 1400\n' >>pocket.toml
    pocket warren up pocket.toml --dry-run >dry.txt
    state_of pocket >after
    diff before after || fail "a dry run changed something"
    for line in 'vx8: vxlan vx8: VNI 8, port 4789, over wg0' 'vx8: peer 10.0.31.1 of vx8' 'br-lan2: bridge of lan3: br-lan2' \
                'device.wg0: MTU of wg0: 1400' 'device.wg0: address 10.0.32.1/24 on wg0' 'nothing was done'; do
      grep -F "$line" dry.txt >/dev/null || fail "no '$line' in $(cat dry.txt)"
    done
    ! grep -F '10.0.31.103' dry.txt || fail "it names what is there already"
    run_in pocket pocket.toml
    [ "$(pocket cat /sys/class/net/vx8/mtu)" -eq 1350 ] || fail "auto is not 1400 - 50"
    # Others do not change it.
    ip -n pocket link set wg0 mtu 1300
    until_true eval '[ "$(pocket cat /sys/class/net/wg0/mtu)" -eq 1400 ]'
    kill $pid_pocket; wait $pid_pocket
    state_of pocket >after
    diff before after || fail "not as it was"
SH
}

@test "what is wrong with a router's file is said before anything changes" {
  router <<'SH'
    state_of pocket >before
    refused() {
      printf "$1" >bad.toml
      ! pocket warren up bad.toml 2>err || fail "accepted: $1"
      grep -qF -- "$2" err || fail "expected '$2': $(cat err)"
      state_of pocket >after
      diff before after || fail "changed something: $1"
    }
    refused '[bridge.br0]\nports = ["lan9"]\n' 'bad.toml:2:10: there is no device "lan9"'
    refused '[vxlan.vx8]\nvni = 8\nover = "wg7"\n' 'bad.toml:3:8: there is no device "wg7"'
    refused '[vxlan.vx8]\nvni = 8\nover = "wg0"\npeers = ["10.0.31.1", "10.0.31.103"]\n' 'bad.toml:4:9: the peer 10.0.31.103 is this host itself (wg0'
    refused '[vxlan.vx8]\nvni = 8\npeers = ["10.0.0.1", "fd00::1"]\n' 'bad.toml:3:22: the peer fd00::1 is IPv6'
    refused '[vxlan.vx8]\nvni = 8\n[vxlan.vx9]\nvni = 8\n' 'bad.toml:3:1: VNI 8'
    refused '[vxlan.vx8]\nvni = 8\ndev = "wg0"\nmtu = 1500\n' 'the kernel refuses more for a VXLAN that is bound'
    refused '[bridge.br0]\nmtu = 1200\naddress = ["fd00::1/64"]\n' 'bad.toml:2:7: mtu is 1200'
    refused '[vxlan.vx8]\nvni = 8\nover = "lan3"\n' 'lan3 has no IPv4 address'
    refused '[bridge.lan3]\n' 'lan3 exists already'
    refused '[vxlan.vx8]\nvni = 8\nengine = "turbo"\n' 'bad.toml:3:10: engine is "turbo"'
    # Two files that clash.
    write_pocket
    run_in pocket pocket.toml
    state_of pocket >before
    refused '[bridge.br9]\nports = ["lan3"]\n' 'lan3 is a port of br-lan2, which the instance pocket made'
    refused '[bridge.br-lan2]\n' 'br-lan2 exists already, made by the instance pocket'
    refused '[vxlan.vx9]\nvni = 8\nover = "wg0"\n' 'make VXLAN vx9 with VNI 8'
SH
}

@test "doctor names what hurts, and nothing where all is well" {
  router <<'SH'
    run_in home home.toml
    write_pocket 'mtu = "transparent"
clamp-mss = "auto"'
    run_in pocket pocket.toml
    until_true ping_home -c 1
    doctor_finds() {
      pocket warren doctor pocket.toml --json >doctor.json || true
      jq -e --arg kind "$1" --arg what "$2" '.findings | any(.kind == $kind and (.what | contains($what)))' doctor.json >/dev/null ||
        fail "no $1 '$2' in $(cat doctor.json)"
    }
    pocket warren doctor pocket.toml >doctor.txt || fail "$(cat doctor.txt)"
    ! grep broken doctor.txt || fail "$(cat doctor.txt)"
    # From here on nobody repairs anything.
    kill -STOP $pid_pocket
    ip -n pocket link set lan3 nomaster
    doctor_finds port-without-bridge 'lan3 lost its bridge'
    ip -n pocket link add br-other type bridge
    ip -n pocket link set lan3 master br-other
    doctor_finds port-without-bridge 'lan3 is a port of br-other, and should be one of br-lan2'
    ip -n pocket link set lan3 master br-lan2
    ip -n pocket link set vx8 mtu 1370
    doctor_finds mtu-mismatch 'vx8 has 1370, lan3 has 1500'
    pocket bridge fdb del 00:00:00:00:00:00 dev vx8 dst 10.0.31.1
    doctor_finds peer-missing 'vx8 does not flood to its peer 10.0.31.1'
    ip -n pocket link delete vx8
    doctor_finds device-missing 'there is no VXLAN vx8'
    ip -n pocket link add vx8 type vxlan id 8 dstport 4789 dev wg0
    doctor_finds vxlan-bound 'vx8 is bound to wg0'
    # What a DHCP client on the extended L2 does.
    ip -n pocket address add 192.168.35.137/24 dev br-lan2
    ip -n pocket route add default via 192.168.35.1 dev br-lan2 proto dhcp
    doctor_finds default-route-stolen 'as a DHCP client was told'
    ip -n pocket route add default via 10.0.31.1 dev wg0 metric 0 2>/dev/null || ip -n pocket route replace default via 10.0.31.1 dev wg0
    ip -n pocket route del default via 192.168.35.1 dev br-lan2 2>/dev/null || true
    doctor_finds asymmetric-routes 'br-lan2 has an address, and the default route leads through wg0'
    pocket sysctl -qw net.ipv4.conf.br-lan2.rp_filter=1
    doctor_finds rp-filter 'strict on br-lan2'
    # A way to the peer that is not through wg0.
    ip -n pocket address add 10.99.0.1/24 dev lan3
    ip -n pocket route add 10.0.31.1/32 dev lan3
    doctor_finds wrong-way 'is lan3, and should be wg0'
    ip -n pocket route del 10.0.31.1/32
    # A host in two L2s.
    wire client e0 pocket lan4
    ip -n client link set e0 address "$(client cat /sys/class/net/c0/address)"
    ip -n pocket link set lan4 master br-other
    ip -n pocket link set br-other up
    client arping -c 1 -I c0 10.1.1.1 >/dev/null 2>&1 || client ping -c 1 -W 1 -I c0 192.168.35.99 >/dev/null || true
    ip -n client address add 172.16.0.1/24 dev e0
    client ping -c 1 -W 1 -I e0 172.16.0.2 >/dev/null || true
    doctor_finds client-on-both 'is in br-lan2 and in br-other'
    pocket sysctl -qw net.bridge.bridge-nf-call-iptables=1
    doctor_finds bridge-netfilter 'bridge-nf-call-iptables is 1'
    ! pocket warren doctor pocket.toml >doctor.txt || fail "nothing is broken"
    grep '^broken' doctor.txt >/dev/null
    kill -CONT $pid_pocket
SH
}

@test "doctor names what the kernel lacks, as nft says it" {
  router <<'SH'
    bridge_lines='address = ["192.168.35.137/24"]
bridge-to-router = ["192.168.35.0/24"]' write_pocket 'clamp-mss = "auto"'
    # An nft that refuses as a kernel without these expressions does.
    mkdir lacking
    printf '#!/bin/sh\ninput=$(cat)\ncase "$input" in *pkttype*|*egress*) echo "Error: Could not process rule: No such file or directory"; exit 1;; esac\nexit 0\n' >lacking/nft
    chmod +x lacking/nft
    PATH=/mnt/lacking:$PATH pocket warren doctor pocket.toml --json >doctor.json || true
    jq -e '[.findings[] | select(.kind == "missing-feature")] | (map(.fix) | join(" ")) | contains("CONFIG_NFT_BRIDGE_META") and contains("CONFIG_NETFILTER_EGRESS")' doctor.json >/dev/null || fail "$(cat doctor.json)"
    # And up takes the kernel program by itself, but cannot clamp.
    ! PATH=/mnt/lacking:$PATH pocket warren up pocket.toml 2>err || fail "it clamped without egress"
    grep 'the kernel lacks an expression' err >/dev/null || fail "$(cat err)"
    [ ! -e /sys/class/net/vx8 ]
    [ -z "$(pocket nft list ruleset)" ]
SH
}

@test "one file on each side: WireGuard, VXLAN, bridge, routes and translation" {
  router <<'SH'
    command -v wg >/dev/null || { echo "# needs wg(8)" >&2; exit 1; }
    ip -n pocket link delete wg0
    wire pocket wan home wan
    # Two datagrams in one super-packet would count as one.
    for ns in pocket home; do ip netns exec $ns ethtool -K wan tx-udp-segmentation off; done
    ip -n pocket address add 203.0.113.2/24 dev wan
    ip -n home address add 203.0.113.1/24 dev wan
    wire pocket lan1 client c1
    ip -n client address add 192.168.1.2/24 dev c1
    ip -n client route add 10.0.31.0/24 via 192.168.1.1
    umask 077
    for side in pocket home; do wg genkey >$side.key; wg pubkey <$side.key >$side.pub; done
    cat >pocket.toml <<TOML
[wireguard.wg0]
private-key-file = "/mnt/pocket.key"
address = ["10.0.31.103/24"]
[[wireguard.wg0.peer]]
public-key = "$(cat home.pub)"
endpoint = "203.0.113.1:51820"
allowed-ips = ["10.0.31.0/24"]
keepalive = 25

[vxlan.vx8]
vni = 8
over = "wg0"
peers = ["10.0.31.1"]
mac = "12:0a:f7:78:24:b0"
mtu = "transparent"
clamp-mss = "auto"

[bridge.br-lan2]
ports = ["lan3", "vx8"]

[bridge.br-lan]
ports = ["lan1"]
address = ["192.168.1.1/24"]

[zone.lan]
devices = ["br-lan"]
forward = ["home"]

[zone.home]
devices = ["wg0"]
masquerade = true
TOML
    cat >home.toml <<TOML
[wireguard.wg0]
private-key-file = "/mnt/home.key"
listen = 51820
address = ["10.0.31.1/24"]
[[wireguard.wg0.peer]]
public-key = "$(cat pocket.pub)"
allowed-ips = ["10.0.31.103/32"]

[vxlan.vx8]
vni = 8
over = "wg0"
peers = ["10.0.31.103"]

[bridge.br-lan]
ports = ["eth0", "vx8"]
address = ["192.168.35.1/24"]
mtu = 1370
TOML
    warren plan pocket.toml home.toml --json >plan.json
    jq -e '.paths[0] | (.layers | map(.mtu)) == [1500, 1420, 1500] and .ping.packets_on_wire == 3 and .answer.packets_on_wire == 2' plan.json >/dev/null || fail "$(cat plan.json)"
    run_in home home.toml
    run_in pocket pocket.toml
    until_true ping_home -c 1 -s 2000
    until_true ping_takes wan 3 2
    until_true client ping -q -c 1 -W 1 10.0.31.1
    pocket warren doctor pocket.toml >doctor.txt || fail "$(cat doctor.txt)"
    warren status pocket | grep 'vx8 (vxlan-user)' >/dev/null
    kill $pid_pocket; wait $pid_pocket
    [ "$(ip -n pocket -o link | wc -l)" -eq 4 ] || fail "devices left: $(ip -n pocket -o link)"
    [ -z "$(pocket nft list ruleset)" ] || fail "rules left"
SH
}
