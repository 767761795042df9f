# What `warren icmp` puts on the wire, seen with tcpdump, and what becomes of it behind hosts that translate addresses.

bats_require_minimum_version 1.5.0
load machine.bash

# lan's packets are forwarded by one, which carries them as it carries its own. nat masquerades both families, and the server
# has no way back to anybody but nat.
#
#   lan ─── one ─── nat ─── server (10.9.0.2, fd09::2)
#           two ────┘
# shellcheck disable=SC2016
hosts_prologue='
    mount -t bpf none /sys/fs/bpf
    wire() {  # HOST DEVICE NET HOST DEVICE: a wire whose ends are .1 and .2 in 10.NET.0.0/24 and fd0NET::/64
      ip link add "$2" netns "$1" type veth peer name "$5" netns "$4"
      ip -n "$1" address add "10.$3.0.1/24" dev "$2"
      ip -n "$4" address add "10.$3.0.2/24" dev "$5"
      ip -n "$1" address add "fd0$3::1/64" dev "$2" nodad
      ip -n "$4" address add "fd0$3::2/64" dev "$5" nodad
      ip -n "$1" link set "$2" up
      ip -n "$4" link set "$5" up
    }
    on() { local host=$1; shift; ip netns exec "$host" "$@"; }
    for host in lan one two nat server; do
      ip netns add $host
      ip -n $host link set lo up
    done
    wire lan l0 3 one o1
    wire one o0 1 nat n1
    wire two t0 2 nat n2
    wire nat n0 9 server s0
    for way in "lan 3" "one 1" "two 2"; do
      set -- $way
      ip -n $1 route add default via 10.$2.0.2
      ip -n $1 route add default via fd0$2::2
    done
    ip -n nat route add 10.3.0.0/24 via 10.1.0.1
    ip -n nat route add fd03::/64 via fd01::1
    for host in one nat; do
      on $host sh -c "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"
    done
    on nat nft -f - <<NFT
    table inet nat {
      chain out { type nat hook postrouting priority srcnat; oifname "n0" masquerade; }
    }
NFT
    export PYTHONDONTWRITEBYTECODE=1
    cat >datagrams.py <<PY
import random, struct
base = random.Random(7).randbytes(4096)
def payload(size):  # every length has bytes of its own
    return base[size:2 * size]
def total(data):
    data += bytes(len(data) % 2)
    words = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while words >> 16:
        words = (words & 0xffff) + (words >> 16)
    return words
PY
    cat >server.py <<PY
# Echoes UDP on a port, and looks at every datagram to it as it was restored: checksum, length, bytes.
import os, select, signal, socket, struct, sys
from datagrams import payload, total
port = int(sys.argv[1])
seen, wrong = 0, []
def ended(*_):
    print("restored", seen, "wrong", len(wrong), *wrong[:5], file=open("restored.part", "w"))
    os.rename("restored.part", "restored")
    os._exit(0)
signal.signal(signal.SIGTERM, ended)
udp, raw = [], []
for family, any in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    raw.append(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP))
    raw[-1].setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    udp.append(socket.socket(family, socket.SOCK_DGRAM))
    if family == socket.AF_INET6:
        udp[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    udp[-1].setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
    udp[-1].bind((any, port))
def look(datagram, addresses):
    global seen
    if struct.unpack("!H", datagram[2:4])[0] != port:
        return
    seen += 1
    data = datagram[8:]
    length, checksum = struct.unpack("!HH", datagram[4:8])
    if length != len(datagram) or not checksum or total(addresses + struct.pack("!HH", 17, length) + datagram) != 0xffff:
        wrong.append("%d bytes from port %d: %s" % (len(data), struct.unpack("!H", datagram[:2])[0], datagram[:8].hex()))
    elif not data.startswith(b"any:") and data != payload(len(data)):
        wrong.append("%d bytes are others" % len(data))
open("ready.%d" % port, "w").close()
while True:
    for s in select.select(udp + raw, [], [])[0]:
        data, peer = s.recvfrom(65535)
        if s in udp:
            s.sendto(data, peer)
        elif s is raw[0]:
            head = 4 * (data[0] & 15)
            look(data[head:], data[12:20])
        else:
            look(data, socket.inet_pton(socket.AF_INET6, peer[0].split("%")[0]) + socket.inet_pton(socket.AF_INET6, "fd09::2"))
PY
    cat >exchange.py <<PY
# exchange.py HOST PORT FIRST LAST STEP: a datagram of each length there and back, one at a time, from port 40000.
import socket, sys
from datagrams import payload
host, port, first, last, step = sys.argv[1], *map(int, sys.argv[2:])
ipv6 = ":" in host
s = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("::" if ipv6 else "0.0.0.0", 40000))
s.connect((host, port))
s.settimeout(10)
for size in range(first, last + 1, step):
    s.send(payload(size))
    if s.recv(65535) != payload(size):
        sys.exit("%d bytes came back changed" % size)
PY
    serve_port() {  # PORT
      rm -f ready.$1 restored
      ip netns exec server python3 server.py $1 &
      server=$!
      until_true [ -e ready.$1 ]
    }
    restored() {  # N: the server saw so many datagrams, and none was wrong
      kill $server
      until_true [ -s restored ]
      [ "$(cat restored)" = "restored $1 wrong 0" ] || fail "expected $1: $(cat restored)"
    }
    capture() {
      rm -f packets
      ip netns exec nat tcpdump -Uni n0 -B 16384 -w packets "icmp or icmp6 or udp" 2>tcpdump.err &
      tcpdump=$!
      until_true grep listening tcpdump.err
    }
    seen_on_the_wire() {  # N: so many echo requests and as many replies, all correct, and no UDP
      until_true eval "[ \$(tcpdump -nr packets 2>/dev/null | grep -c \"echo reply\") -ge $1 ]"
      kill $tcpdump
      wait $tcpdump || true
      grep -q "^0 packets dropped by kernel" tcpdump.err || fail "$(cat tcpdump.err)"
      tcpdump -nvvr packets >text 2>/dev/null
      # "bad" alone may be a part of a MAC address.
      ! grep -E "(wrong|bad|incorrect) ([a-z0-9]+ )?cksum" text | head -5 | grep . || fail "checksums"
      [ "$(grep -c "echo request" text)" -eq $1 ] || fail "$(grep -c "echo request" text) requests, not $1"
      [ "$(grep -c "echo reply" text)" -eq $1 ] || fail "$(grep -c "echo reply" text) replies, not $1"
      ! grep UDP text || fail "plain UDP"
    }
    # The tickets of both users, for both families.
    connect_all() {  # OPTION...
      on one warren icmp connect alice.ticket --dev o0 "$@"
      on one warren icmp connect alice.ticket --server [fd09::2]:5000 --dev o0 "$@"
      on two warren icmp connect bob.ticket --dev t0 "$@"
      on two warren icmp connect bob.ticket --server [fd09::2]:5000 --dev t0 "$@"
    }
    serve_both() {  # OPTION...
      on server warren icmp serve --port 5000 --user alice --user bob --first any --dev s0 "$@" >tickets
      grep alice tickets >alice.ticket
      grep bob tickets >bob.ticket
    }
    # exchange_all STEP: from every sender, over both families, each length, or every STEPth.
    exchange_all() {
      for sender in one two lan; do
        on $sender python3 exchange.py 10.9.0.2 5000 0 1472 $1
        on $sender python3 exchange.py fd09::2 5000 0 1452 $1
      done
    }
    of_user() { on server warren icmp stats --json | jq -r ".users[] | select(.user == \"$1\").rx_packets"; }
'

hosts() {
  { echo "$hosts_prologue"; cat; } | machine
}

# Lengths are odd and even; both clients and the forwarded host use one port, so that the NAT must rewrite identifiers.
@test "every checksum is right and the identity survives NAT and NAT66" {
  hosts <<'SH'
    serve_both
    connect_all
    serve_port 5000
    capture
    exchange_all 1
    seen_on_the_wire $((3 * (1473 + 1453)))
    restored $((3 * (1473 + 1453)))
    # One is alice, also with what it forwards; two is bob.
    [ "$(of_user alice)" = $((2 * (1473 + 1453))) ] || fail "$(on server warren icmp stats)"
    [ "$(of_user bob)" = $((1473 + 1453)) ] || fail "$(on server warren icmp stats)"
SH
}

# auto balances where the device completes no checksums, since then the kernel does before the NAT sees the packet.
@test "without transmit offload checksums are balanced, or finished where that is asked for" {
  hosts <<'SH'
    for end in "one o0" "two t0" "server s0" "lan l0"; do
      set -- $end
      on $1 ethtool -K $2 tx off >/dev/null
    done
    serve_both
    for mode in auto balance software; do
      connect_all --checksum $mode
      on one warren icmp list | grep "checksum $([ $mode = auto ] && echo balance || echo $mode)" || fail "$mode: $(on one warren icmp list)"
      serve_port 5000
      capture
      exchange_all 23
      seen_on_the_wire $((3 * (65 + 64)))
      restored $((3 * (65 + 64)))
    done
SH
}

# With no checksum, with any, and where the checksum of the datagram comes out as 0, which is sent as ffff.
@test "packets of raw sockets are carried and come out right" {
  hosts <<'SH'
    cat >raw.py <<'PY'
import random, socket, struct, sys
from datagrams import total
random.seed(1)
def udp(source, destination, data, checksum=None):
    head = struct.pack("!HHHH", 40001, 5000, 8 + len(data), 0)
    if checksum is None:
        checksum = 0xffff - total(source + destination + struct.pack("!HH", 17, 8 + len(data)) + head + data) or 0xffff
    return head[:6] + struct.pack("!H", checksum) + data
def sums_to_nothing(source, destination, size):
    """The data with which the checksum is ffff."""
    data = b"any:" + random.randbytes(size - 6)
    rest = 0xffff - total(source + destination + struct.pack("!HHHHHH", 17, 8 + size, 40001, 5000, 8 + size, 0) + data)
    return data + struct.pack("!H", rest)
sent = 0
for family, source, destination in ((socket.AF_INET, "10.1.0.1", "10.9.0.2"), (socket.AF_INET6, "fd01::1", "fd09::2")):
    here, there = socket.inet_pton(family, source), socket.inet_pton(family, destination)
    raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP)
    echoes = socket.socket(family, socket.SOCK_DGRAM)
    echoes.bind((source, 40001))
    echoes.settimeout(10)
    for size in (6, 20, 148, 1000, 1452):
        whole, odd = sums_to_nothing(here, there, size), b"any:" + random.randbytes(size - 5)
        assert udp(here, there, whole)[6:8] == b"\xff\xff"
        datagrams = [udp(here, there, whole), udp(here, there, odd)]
        if family == socket.AF_INET:  # IPv6 has no datagrams without a checksum
            datagrams += [udp(here, there, whole, 0), udp(here, there, odd, 0)]
        for datagram in datagrams:
            raw.sendto(datagram, (destination, 0))
            assert echoes.recv(65535) == datagram[8:]
            sent += 1
print(sent)
PY
    serve_both
    for offload in on off; do
      on one ethtool -K o0 tx $offload >/dev/null
      connect_all
      serve_port 5000
      capture
      on one python3 raw.py >sent
      [ "$(cat sent)" -eq 30 ] || fail "$(cat sent)"
      seen_on_the_wire 30
      restored 30
    done
SH
}

@test "super-packets are segmented and pass a NAT" {
  hosts <<'SH'
    serve_both
    connect_all
    cat >burst.py <<'PY'
# 41 datagrams in one system call, and 41 answers.
import socket, sys
from datagrams import base
ipv6 = ":" in sys.argv[1]
s = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
s.settimeout(10)
s.connect((sys.argv[1], 5000))
data = b"".join(b"any:%02d:" % n + base[n:n + 1393] for n in range(40)) + b"any:40:the end"
s.setsockopt(socket.IPPROTO_UDP, 103, 1400)  # UDP_SEGMENT
s.send(data)
answers = [s.recv(65535) for n in range(41)]
assert sorted(answers) == sorted([data[n:n + 1400] for n in range(0, len(data), 1400)]), [a[:8] for a in answers]
PY
    serve_port 5000
    capture
    for host in 10.9.0.2 fd09::2; do
      for sender in one two lan; do on $sender python3 burst.py $host; done
    done
    seen_on_the_wire $((6 * 41))
    restored $((6 * 41))
SH
}

@test "native XDP restores the same" {
  hosts <<'SH'
    serve_both --xdp auto
    connect_all --xdp auto
    for end in "server s0" "one o0" "two t0"; do
      set -- $end
      on $1 ip link show $2 | grep -w "xdp" || fail "no native XDP on $2: $(on $1 ip link show $2)"
    done
    serve_port 5000
    capture
    exchange_all 23
    seen_on_the_wire $((3 * (65 + 64)))
    restored $((3 * (65 + 64)))
SH
}
