# `warren wireguard` beside the Linux kernel's own WireGuard. Where this kernel has none, Debian's has:
#   scripts/vm bats tests/wireguard_kernel.bats        (with WARREN=…/warren)

bats_require_minimum_version 1.5.0
load machine.bash

# left runs ours (wgl, 10.7.0.1), right the kernel's (wgr, 10.7.0.2), over 192.0.2.0/24 and 2001:db8::/64.
read -r -d '' hosts_prologue <<'BASH' || true
    mkdir -p /run/wireguard
    umask 077
    for host in left right; do
      ip netns add $host
      wg genkey >$host.key
      wg pubkey <$host.key >$host.pub
    done
    wg genpsk >psk
    ip link add w0 netns left type veth peer name w0 netns right
    number=1
    for host in left right; do
      ip -n $host address add 192.0.2.$number/24 dev w0
      ip -n $host address add 2001:db8::$number/64 dev w0 nodad
      ip -n $host link set lo up
      ip -n $host link set w0 up
      number=2
    done
    left() { ip netns exec left "$@"; }
    right() { ip netns exec right "$@"; }
    left env WG_PROCESS_FOREGROUND=1 LOG_LEVEL=debug warren wireguard wgl 2>>log &
    until_true [ -S /var/run/wireguard/wgl.sock ]
    ip -n right link add wgr type wireguard
    wg set wgl private-key left.key listen-port 51820 \
      peer "$(cat right.pub)" preshared-key psk allowed-ips 10.7.0.2/32,fd07::2/128
    right wg set wgr private-key right.key listen-port 51820 \
      peer "$(cat left.pub)" preshared-key psk allowed-ips 10.7.0.1/32,fd07::1/128
    ip -n left address add 10.7.0.1/24 dev wgl
    ip -n left address add fd07::1/64 dev wgl nodad
    ip -n right address add 10.7.0.2/24 dev wgr
    ip -n right address add fd07::2/64 dev wgr nodad
    ip -n left link set wgl mtu 1420 up
    ip -n right link set wgr mtu 1420 up
    python3 -c 'import socket'  # the first start takes long in an emulated machine
    # transfer FROM TO ADDRESS: a megabyte of noise, which arrives as it was.
    transfer() {
      head -c 1000000 /dev/urandom >sent
      $2 timeout 60 python3 -c '
import socket, sys
listener = socket.create_server((sys.argv[1], 7000), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
open("listening", "w").close()
connection = listener.accept()[0]
with open("received", "wb") as out:
    while data := connection.recv(65536): out.write(data)
' "$3" &
      local receiver=$!
      until_true [ -e listening ]
      $1 timeout 60 python3 -c '
import socket, sys
with socket.create_connection((sys.argv[1], 7000)) as out: out.sendall(open("sent", "rb").read())
' "$3"
      wait "$receiver"
      cmp sent received
      rm listening received
    }
BASH

kernel_peers() {
  unshare --net ip link add wgx type wireguard 2>/dev/null ||
    skip "this kernel has no WireGuard: scripts/vm runs this test under one that has"
  { echo "$hosts_prologue"; cat; } | machine
}

@test "a tunnel that we begin to the kernel's WireGuard" {
  kernel_peers <<'SH'
wg set wgl peer "$(cat right.pub)" endpoint 192.0.2.2:51820
left ping -q -c 3 -i 0.2 -W 5 10.7.0.2
left ping -q -c 3 -i 0.2 -W 5 fd07::2
transfer left right 10.7.0.2
transfer right left 10.7.0.1
transfer left right fd07::2
[ "$(right wg show wgr endpoints | cut -f2)" = 192.0.2.1:51820 ]
SH
}

@test "a tunnel that the kernel's WireGuard begins to us, over IPv6" {
  kernel_peers <<'SH'
right wg set wgr peer "$(cat left.pub)" endpoint '[2001:db8::1]:51820'
right ping -q -c 3 -i 0.2 -W 5 10.7.0.1
transfer right left 10.7.0.1
transfer left right 10.7.0.2
[ "$(wg show wgl endpoints | cut -f2)" = '[2001:db8::2]:51820' ]
SH
}

@test "new sessions with the kernel's WireGuard, whoever has forgotten the old one" {
  kernel_peers <<'SH'
wg set wgl peer "$(cat right.pub)" endpoint 192.0.2.2:51820
left ping -q -c 1 -W 5 10.7.0.2
for round in 1 2; do
  ip -n right link set wgr down
  ip -n right link set wgr up
  right ping -q -c 2 -i 0.5 -W 5 10.7.0.1
  ip -n left link set wgl down
  ip -n left link set wgl up
  left ping -q -c 2 -i 0.5 -W 5 10.7.0.2
done
# Another key of the same peer is not ours.
wg genpsk >other
wg set wgl peer "$(cat right.pub)" preshared-key other
ip -n left link set wgl down
ip -n left link set wgl up
! left ping -q -c 1 -W 1 10.7.0.2
SH
}
