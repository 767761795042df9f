# What the tests of a portable router share: a machine, as machine.bash makes it, with these hosts in it.
#
#   client ── lan3 pocket wg0 ══════ wg0 home br-lan ── host
#             a laptop  narrow: MTU 1420     192.168.35.1   192.168.35.2
#
# wg0 is a veth pair here: what matters is its MTU, and that it carries IP between 10.0.31.103 and 10.0.31.1.

load machine.bash

read -r -d '' router_prologue <<'BASH' || true
    mount -t bpf none /sys/fs/bpf
    for name in client pocket home host; do
      ip netns add $name
      ip netns exec $name sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
      ip -n $name link set lo up
      # Where netfilter sees bridged frames, it reassembles and fragments them, which hides the problem.
      for family in ip ip6 arp; do
        ip netns exec $name sysctl -qw net.bridge.bridge-nf-call-${family}tables=0 2>/dev/null || true
      done
    done
    wire() {  # wire NS DEVICE NS DEVICE
      ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
      ip -n "$1" link set "$2" up
      ip -n "$3" link set "$4" up
    }
    wire client c0 pocket lan3
    wire pocket wg0 home wg0
    wire home eth0 host h0
    for ns in pocket home; do ip -n $ns link set wg0 mtu 1420; done
    ip -n pocket address add 10.0.31.103/24 dev wg0
    ip -n home address add 10.0.31.1/24 dev wg0
    ip -n client address add 192.168.35.135/24 dev c0
    ip -n host address add 192.168.35.2/24 dev h0
    client() { ip netns exec client "$@"; }
    pocket() { ip netns exec pocket "$@"; }
    home() { ip netns exec home "$@"; }
    host() { ip netns exec host "$@"; }
    # run_in NS FILE…: as start(), in a namespace. Its process is in $pid_NS.
    run_in() {
      local ns="$1" name
      name="$(basename "$2" .toml)"
      shift
      # Each host has its own /run/wireguard.
      ip netns exec "$ns" bash -c 'mkdir -p /run/wireguard; mount -t tmpfs none /run/wireguard; exec warren up "$@"' up "$@" 2>>/mnt/log &
      declare -g "pid_$ns=$!"
      until_true eval "! kill -0 $! || warren status $name"
      kill -0 $! || fail "warren up $* ended"
    }
    # write_pocket LINES…: pocket.toml with these lines in its VXLAN section.
    write_pocket() {
      {
        printf '[bridge.br-lan2]\nports = ["lan3", "vx8"]\n%s\n' "${bridge_lines:-}"
        printf '[vxlan.vx8]\nvni = 8\nover = "wg0"\npeers = ["10.0.31.1"]\n%s\n' "$*"
      } >pocket.toml
    }
    # as_before PING…: nothing is routed with the file without bridge-to-router, and then nothing of it is left.
    as_before() {
      bridge_lines='' write_pocket 'mtu = 1370'
      warren reload pocket
      client ip route flush cache
      client ip -6 route flush cache
      ! "$@" -c 2 -s 2000 || fail "still routed"
      kill $pid_pocket; wait $pid_pocket
      [ -z "$(pocket nft list ruleset)" ] || fail "rules left"
      [ ! -e /sys/fs/bpf/warren ] || fail "programs left: $(find /sys/fs/bpf/warren)"
    }
    cat >home.toml <<'TOML'
[bridge.br-lan]
ports = ["eth0", "vx8"]
address = ["192.168.35.1/24"]
mtu = 1370

[vxlan.vx8]
vni = 8
over = "wg0"
peers = ["10.0.31.103"]
TOML
    # What a change must not leave behind.
    state_of() {
      ip -n "$1" -o link show | sed 's/qdisc [a-z]*//; s/ state [A-Z]*//; s/@[^:]*//; s/<[^>]*>//; s/^[0-9]*: //'
      ip -n "$1" -o address show scope global
      ip -n "$1" route show table all
      ip -n "$1" rule
      ip netns exec "$1" nft list ruleset
      ip netns exec "$1" sysctl -a 2>/dev/null | grep -E 'forward|rp_filter|send_redirects' | grep -v -E 'br-lan|vx8'
    }
    ping_home() { client ping -q -i 0.1 -W 1 "$@" 192.168.35.1; }
    # segment NS ADDRESS [PORT]: bytes of the segments that a connection agrees on.
    cat >listen.py <<'PY'
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.create_server((sys.argv[1], 5001), family=family)
open("listening." + sys.argv[1], "w").close()
while True:
    connection, _ = s.accept()
    connection.recv(1)
    print(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), file=open("accepted", "w"), flush=True)
    connection.close()
PY
    cat >connect.py <<'PY'
import socket, sys
s = socket.create_connection((sys.argv[1], 5001), timeout=10)
print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
s.send(b"x")
s.recv(1)
PY
    listen_in() {
      ip netns exec "$1" python3 listen.py "$2" &
      until_true [ -e "listening.$2" ]
    }
    segment() { ip netns exec "$1" python3 connect.py "$2"; }
    sent() { ip netns exec "$1" cat "/sys/class/net/$2/statistics/tx_packets"; }
    came() { ip netns exec "$1" cat "/sys/class/net/$2/statistics/rx_packets"; }
    # ping_takes DEVICE OUT BACK: a ping of 2000 bytes takes so many packets on pocket's device. Where an ARP request came
    # between, it is worth another try.
    ping_takes() {
      local out in
      out=$(sent pocket "$1") in=$(came pocket "$1")
      ping_home -c 1 -s 2000
      out=$(($(sent pocket "$1") - out)) in=$(($(came pocket "$1") - in))
      echo "$out packets out on $1, $in back" >>/mnt/log
      [ "$out" -eq "$2" ] && [ "$in" -eq "$3" ]
    }
BASH

router() {
  { echo "$router_prologue"; cat; } | machine
}
