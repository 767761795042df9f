# What goes wrong with a portable router, each first as it goes wrong, then with Warren's remedy. WARREN is the program.

bats_require_minimum_version 1.5.0
load router_machine.bash

needs() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || { echo "needs $tool: scripts/setup run test" >&2; return 1; }
  done
}

# `lease NS DEVICE`: asks for an address as a client that wants to know the MTU. Its resolv.conf is its own.
# shellcheck disable=SC2016
router_prologue+='
    lease() {
      ip netns exec "$1" bash -c "touch /mnt/resolv; mount --bind /mnt/resolv /etc/resolv.conf
        udhcpc -i $2 -O mtu -n -q -t ${3:-20} -T 1" >>/mnt/log 2>&1
    }
    # serve_dhcp NS DEVICE NETWORK LINES: dnsmasq for NETWORK.100 to 199.
    serve_dhcp() {
      printf "%s\n" "$4" >"dnsmasq.$1"
      ip netns exec "$1" dnsmasq --keep-in-foreground --port=0 --user=root --interface="$2" --bind-dynamic \
        --dhcp-range="$3.100,$3.199" --dhcp-leasefile="/mnt/leases.$1" --pid-file= --conf-file="/mnt/dnsmasq.$1" 2>>/mnt/log &
      until_true eval "ip netns exec $1 grep -q :0043 /proc/net/udp"
    }
'

@test "a client on the far L2 gets its address from home, and its MTU" {
  needs dnsmasq udhcpc
  router <<'SH'
    ip -n client address flush dev c0
    run_in home home.toml
    serve_dhcp home br-lan 192.168.35 ""
    # By hand, with a port that has no bridge, as the Wi-Fi of the story: the request comes in and goes nowhere.
    pocket ip link add br-lan2 type bridge
    pocket ip link add vx8 type vxlan id 8 dstport 4789 local 10.0.31.103 remote 10.0.31.1
    for device in br-lan2 vx8; do pocket ip link set $device up; done
    pocket ip link set vx8 master br-lan2
    ! lease client c0 2 || fail "an address came through a port without a bridge"
    pocket ip link delete vx8
    pocket ip link delete br-lan2
    # One file. It makes the port a port, and the address comes from home.
    write_pocket
    run_in pocket pocket.toml
    lease client c0
    client ip -o address show dev c0 | grep ' 192.168.35.1[0-9][0-9]/24' >/dev/null || fail "no address of home's"
    client ip route | grep '^default via 192.168.35.1 ' >/dev/null
    # The client keeps 1500, and what it sends is lost.
    [ "$(client cat /sys/class/net/c0/mtu)" -eq 1500 ]
    until_true ping_home -c 1
    ! ping_home -c 2 -s 2000 || fail "1500 bytes went through 1370"
    # With the lines that `warren plan` has for home's dnsmasq the client is told, and loses nothing.
    kill "$(home pgrep -x dnsmasq)"
    lines=$(home warren plan home.toml --wireguard wg0 | grep -o 'dhcp-option=.*')
    serve_dhcp home br-lan 192.168.35 "$lines"
    lease client c0
    [ "$(client cat /sys/class/net/c0/mtu)" -eq 1370 ] || fail "it was not told: $lines"
    ping_home -c 5 -s 2000 | grep ' 0% packet loss' || fail "it still loses"
SH
}

@test "a client on the far L2 is told the MTU of IPv6 by router advertisements" {
  needs dnsmasq
  router <<'SH'
    for ns in client home; do
      ip netns exec $ns sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0
    done
    sed -i 's/^address.*/address = ["fd35::1\/64"]/' home.toml
    run_in home home.toml
    write_pocket
    run_in pocket pocket.toml
    # advertise LINE: a dnsmasq at home that gives addresses out by router advertisements.
    advertise() {
      printf '%s\n' "$1" >dnsmasq.conf
      ip netns exec home dnsmasq --keep-in-foreground --port=0 --user=root --interface=br-lan --bind-dynamic --enable-ra \
        --dhcp-range=fd35::,ra-only --pid-file= --conf-file=/mnt/dnsmasq.conf 2>>/mnt/log &
      dnsmasq=$!
      # As a client that has just come: it asks.
      client sysctl -qw net.ipv6.conf.c0.disable_ipv6=1
      client sysctl -qw net.ipv6.conf.c0.disable_ipv6=0 net.ipv6.conf.c0.accept_ra=2
      until_true eval "client ip -6 -o address show dev c0 scope global -tentative | grep fd35::"
    }
    ping6_home() { client ping -q -i 0.1 -W 1 "$@" fd35::1; }
    # Nobody tells: the client keeps 1500, and what it sends is lost.
    advertise 'ra-param=br-lan,mtu:off,600'
    until_true ping6_home -c 1
    [ "$(client sysctl -n net.ipv6.conf.c0.mtu)" -eq 1500 ] || fail "it was told"
    ! ping6_home -c 2 -s 2000 || fail "1500 bytes went through 1370"
    kill $dnsmasq; wait $dnsmasq || true
    # The line that `warren plan` has for home's dnsmasq.
    line=$(home warren plan home.toml --wireguard wg0 | grep -o 'ra-param=.*')
    advertise "$line"
    until_true eval '[ "$(client sysctl -n net.ipv6.conf.c0.mtu)" -eq 1370 ]'
    until_true ping6_home -c 1
    ping6_home -c 5 -s 2000 | grep ' 0% packet loss' || fail "it still loses"
SH
}

@test "a router that asks for an address on the far L2 loses its default route, one that does not keeps it" {
  needs dnsmasq udhcpc
  router <<'SH'
    run_in home home.toml
    serve_dhcp home br-lan 192.168.35 ""
    pocket ip route add default dev wg0 metric 100
    write_pocket
    run_in pocket pocket.toml
    pocket ip route get 198.51.100.1 | grep 'dev wg0' >/dev/null
    # The router's bridge has no address and asks for none: nothing of the other network gets in its way.
    [ -z "$(pocket ip -o address show dev br-lan2 scope global)" ]
    # Somebody lets a DHCP client run there.
    lease pocket br-lan2
    pocket ip route get 198.51.100.1 | grep 'via 192.168.35.1 dev br-lan2' >/dev/null || fail "it kept its route"
    pocket warren doctor pocket.toml --json >doctor.json || true
    jq -e '.findings | any(.kind == "default-route-stolen")' doctor.json >/dev/null || fail "$(cat doctor.json)"
SH
}

@test "a VXLAN that is bound goes with the device below it, one over it stays" {
  router <<'SH'
    run_in home home.toml
    # As people make it.
    pocket ip link add bound type vxlan id 9 dstport 4790 dev wg0 remote 10.0.31.1
    write_pocket
    run_in pocket pocket.toml
    until_true ping_home -c 1
    before=$(pocket cat /sys/class/net/vx8/ifindex)
    # WireGuard is started again.
    ip -n pocket link delete wg0
    ! pocket test -e /sys/class/net/bound || fail "what was bound is still there"
    [ "$(pocket cat /sys/class/net/vx8/ifindex)" = "$before" ] || fail "vx8 went, too"
    [ "$(basename "$(pocket readlink /sys/class/net/vx8/master)")" = br-lan2 ] || fail "vx8 left its bridge"
    wire pocket wg0 home wg0
    ip -n pocket link set wg0 mtu 1420
    ip -n home link set wg0 mtu 1420
    ip -n home address add 10.0.31.1/24 dev wg0
    ip -n pocket address add 10.0.31.103/24 dev wg0
    until_true ping_home -c 1
    [ "$(pocket cat /sys/class/net/vx8/ifindex)" = "$before" ] || fail "vx8 was made anew"
SH
}

@test "devices of one zone reach each other, also where it names no other zone" {
  router <<'SH'
    wire pocket lan1 client c1
    ip -n pocket address add 192.168.1.1/24 dev lan1
    ip -n client address add 192.168.1.2/24 dev c1
    ip -n client route add 10.0.31.0/24 via 192.168.1.1
    ip -n home route add 192.168.1.0/24 via 10.0.31.103
    ! client ping -q -c 1 -W 1 10.0.31.1 || fail "it forwards by itself"
    printf '[zone.all]\ndevices = ["lan1", "wg0"]\n' >pocket.toml
    run_in pocket pocket.toml
    until_true client ping -q -c 1 -W 1 10.0.31.1
    home ping -q -c 1 -W 1 192.168.1.2
SH
}

@test "the underlay may be IPv6: 20 bytes less fit" {
  router <<'SH'
    for ns in pocket home; do ip netns exec $ns sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.wg0.disable_ipv6=0; done
    ip -n pocket address add fd31::103/64 dev wg0 nodad
    ip -n home address add fd31::1/64 dev wg0 nodad
    sed -i 's/10.0.31.103/fd31::103/; s/^mtu = 1370/mtu = 1350/' home.toml
    run_in home home.toml
    write_pocket
    sed -i 's/10.0.31.1"/fd31::1"/' pocket.toml
    run_in pocket pocket.toml
    until_true ping_home -c 1
    [ "$(pocket cat /sys/class/net/vx8/mtu)" -eq 1350 ] || fail "not 1420 - 70"
    ip -n client link set c0 mtu 1350
    out=$(sent pocket wg0)
    ping_home -c 20 -s 1322 -M do | grep ' 0% packet loss' || fail "what fits is lost"
SH
}

# Two pocket routers and home, over WireGuard of our own. Their L2 is one.
@test "a second pocket router joins the first one's L2, and nobody loses a packet by it" {
  needs wg
  router <<'SH'
    ip -n pocket link delete wg0
    for name in pocket2 client2; do
      ip netns add $name
      ip netns exec $name sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
      ip -n $name link set lo up
    done
    pocket2() { ip netns exec pocket2 "$@"; }
    wire client2 d0 pocket2 lan3
    wire pocket wan home wan
    wire pocket2 wan home wan2
    ip -n pocket address add 203.0.113.2/24 dev wan
    ip -n home address add 203.0.113.1/24 dev wan
    ip -n pocket2 address add 198.51.100.2/24 dev wan
    ip -n home address add 198.51.100.1/24 dev wan2
    ip -n client2 address add 192.168.35.136/24 dev d0
    umask 077
    for side in pocket pocket2 home; do wg genkey >$side.key; wg pubkey <$side.key >$side.pub; done
    # write_router NAME ADDRESS ENDPOINT PEERS
    write_router() {
      cat >"$1.toml" <<TOML
[wireguard.wg0]
private-key-file = "/mnt/$1.key"
address = ["$2/24"]
[[wireguard.wg0.peer]]
public-key = "$(cat home.pub)"
endpoint = "$3:51820"
allowed-ips = ["10.0.31.0/24"]
keepalive = 25

[vxlan.vx8]
vni = 8
over = "wg0"
peers = [$4]

[bridge.br-lan2]
ports = ["lan3", "vx8"]
TOML
    }
    # write_home_of PEERS: home, where both routers may come in, and reach each other.
    write_home_of() {
      cat >home.toml <<TOML
[wireguard.wg0]
private-key-file = "/mnt/home.key"
listen = 51820
address = ["10.0.31.1/24"]
[[wireguard.wg0.peer]]
public-key = "$(cat pocket.pub)"
allowed-ips = ["10.0.31.103/32"]
[[wireguard.wg0.peer]]
public-key = "$(cat pocket2.pub)"
allowed-ips = ["10.0.31.104/32"]

[vxlan.vx8]
vni = 8
over = "wg0"
peers = [$1]

[bridge.br-lan]
ports = ["eth0", "vx8"]
address = ["192.168.35.1/24"]

[zone.routers]
devices = ["wg0"]
forward = ["routers"]
TOML
    }
    write_home_of '"10.0.31.103"'
    write_router pocket 10.0.31.103 203.0.113.1 '"10.0.31.1"'
    write_router pocket2 10.0.31.104 198.51.100.1 '"10.0.31.1"'
    run_in home home.toml
    run_in pocket pocket.toml
    run_in pocket2 pocket2.toml
    until_true ping_home -c 1
    client2_pings() { ip netns exec client2 ping -q -c 1 -W 1 "$1"; }
    # Nobody has heard of the second one's client yet, and the question for it does not get there.
    ! host ping -q -c 1 -W 1 192.168.35.136 || fail "home knows the second router before it is told"
    # The first one's client keeps talking all the time.
    client ping -q -i 0.01 -c 400 192.168.35.1 >flow.txt &
    flow=$!
    write_home_of '"10.0.31.103", "10.0.31.104"'
    home warren reload home
    until_true host ping -q -c 1 -W 1 192.168.35.136
    client2_pings 192.168.35.1
    # The routers' own clients: what comes out of a tunnel is not sent into it again, so they list each other.
    ! client2_pings 192.168.35.135 || fail "home floods what came out of the tunnel back into it"
    write_router pocket 10.0.31.103 203.0.113.1 '"10.0.31.1", "10.0.31.104"'
    write_router pocket2 10.0.31.104 198.51.100.1 '"10.0.31.1", "10.0.31.103"'
    pocket warren reload pocket
    pocket2 warren reload pocket2
    until_true client2_pings 192.168.35.135
    wait $flow
    grep ' 0% packet loss' flow.txt || fail "$(cat flow.txt)"
SH
}

# The source address is a part of who a peer is.
@test "a VXLAN follows the address of the device below it" {
  router <<'SH'
    # Ours takes nothing from strangers.
    sed -i 's/^peers.*/peers = ["10.0.31.104"]\nengine = "user"/' home.toml
    run_in home home.toml
    for engine in kernel user; do
      write_pocket "engine = \"$engine\""
      run_in pocket pocket.toml
      # The router has an address that home does not expect.
      ! ping_home -c 2 || fail "home takes from strangers"
      before=$(pocket cat /sys/class/net/vx8/ifindex)
      # It gets another: from a DHCP client, by hand, or from a provider that calls it anew.
      ip -n pocket address delete 10.0.31.103/24 dev wg0
      ip -n pocket address add 10.0.31.104/24 dev wg0
      until_true ping_home -c 1
      [ "$(pocket cat /sys/class/net/vx8/ifindex)" = "$before" ] || fail "vx8 was made anew"
      [ "$(basename "$(pocket readlink /sys/class/net/vx8/master)")" = br-lan2 ] || fail "vx8 left its bridge"
      [ $engine = kernel ] || warren status pocket | grep '10.0.31.104' >/dev/null || fail "$(warren status pocket)"
      # While there is none, it waits.
      ip -n pocket address flush dev wg0
      ! ping_home -c 2 || fail "without an address"
      ip -n pocket address add 10.0.31.104/24 dev wg0
      until_true ping_home -c 1
      ip -n pocket address flush dev wg0
      ip -n pocket address add 10.0.31.103/24 dev wg0
      kill $pid_pocket; wait $pid_pocket || true
    done
SH
}

# finds KIND TEXT: whether doctor says so, on the router.
# shellcheck disable=SC2016
router_prologue+='
    finds() {
      pocket warren doctor pocket.toml --json >doctor.json || true
      jq -e --arg kind "$1" --arg what "${2:-}" ".findings | any(.kind == \$kind and ((.what + .why) | contains(\$what)))" doctor.json >/dev/null
    }
'

@test "a client that is on both LANs answers by the wrong one, and doctor names it" {
  router <<'SH'
    wire pocket lan4 client e0
    ip -n client link set e0 address "$(client cat /sys/class/net/c0/address)"
    ip -n client address add 192.168.1.2/24 dev e0
    ip -n client route add default via 192.168.1.1
    client sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.e0.rp_filter=0
    home sysctl -qw net.ipv4.conf.all.rp_filter=1
    ip -n home route add 192.168.1.0/24 via 10.0.31.103
    ip -n pocket route add 192.168.35.0/24 via 10.0.31.1
    run_in home home.toml
    write_pocket
    cat >>pocket.toml <<'TOML'
[bridge.br-lan]
ports = ["lan4"]
address = ["192.168.1.1/24"]
[zone.lan]
devices = ["br-lan"]
forward = ["home"]
[zone.home]
devices = ["wg0"]
forward = ["lan"]
TOML
    run_in pocket pocket.toml
    until_true ping_home -c 1
    until_true client ping -q -c 1 -W 1 192.168.1.1
    # Home asks by the router, the client answers by the L2, where home expects no such sender.
    from_home() { home ping -q -c 1 -W 1 -I 192.168.35.1 192.168.1.2; }
    ! from_home || fail "the answer came the other way"
    until_true finds client-on-both 'is in br-lan and in br-lan2' || fail "$(cat doctor.json)"
    # It is in one of them.
    ip -n client link set c0 down
    until_true from_home
    until_true eval '! finds client-on-both'
SH
}

@test "a strict rp_filter drops in silence what doctor counts" {
  router <<'SH'
    ip netns add site
    ip -n site link set lo up
    wire site s0 home eth1
    ip -n site address add 192.168.36.2/24 dev s0
    ip -n site route add default via 192.168.36.1
    ip -n home address add 192.168.36.1/24 dev eth1
    home sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.wg0.rp_filter=0
    run_in home home.toml
    bridge_lines='address = ["192.168.35.137/24"]' write_pocket
    ip -n pocket route add default via 10.0.31.1 dev wg0
    run_in pocket pocket.toml
    until_true home ping -q -c 1 -W 1 192.168.35.137
    from_site() { ip netns exec site ping -q -c 1 -W 1 192.168.35.137; }
    pocket sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.br-lan2.rp_filter=0
    until_true from_site
    ! finds rp-filter || fail "$(cat doctor.json)"
    # The default of some distributions.
    pocket sysctl -qw net.ipv4.conf.all.rp_filter=1
    ! from_site || fail "rp_filter let it pass"
    finds rp-filter 'strict on br-lan2' || fail "$(cat doctor.json)"
    ! finds rp-filter ': 0 packets' || fail "$(cat doctor.json)"
    # What doctor proposes.
    fix=$(jq -r '.findings[] | select(.kind == "rp-filter") | .fix' doctor.json | cut -d';' -f1)
    pocket bash -c "$fix"
    from_site
    ! finds rp-filter || fail "$(cat doctor.json)"
SH
}

@test "doctor judges congestion control by what the path does" {
  needs iperf3
  router <<'SH'
    write_pocket
    transfer() {
      home iperf3 -s -1 -D -p "$1" >/dev/null
      until_true pocket timeout 15 iperf3 -c 10.0.31.1 -p "$1" -n "$2" --connect-timeout 1000
    }
    run_in home home.toml
    run_in pocket pocket.toml
    # What a namespace may always have; cubic is judged alike.
    pocket sysctl -qw net.ipv4.tcp_congestion_control=reno
    ! finds congestion-control || fail "nothing was sent yet: $(cat doctor.json)"
    transfer 5201 5M
    ! finds congestion-control || fail "it is right where nothing is lost: $(cat doctor.json)"
    home nft -f - <<'NFT'
table inet weak {
  chain air {
    type filter hook input priority 0
    iifname "wg0" tcp dport 5202 numgen random mod 100 < 4 drop
  }
}
NFT
    transfer 5202 20M
    finds congestion-control 'uses reno, and had to send' || fail "$(cat doctor.json; pocket cat /proc/net/snmp)"
    pocket sysctl -qw net.ipv4.tcp_congestion_control=bbr 2>/dev/null || { echo "# a namespace may have no bbr here: the remedy is not tried" >&2; exit 0; }
    ! finds congestion-control || fail "$(cat doctor.json)"
SH
}
