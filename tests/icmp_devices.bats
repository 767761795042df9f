# `warren icmp` on devices that not every kernel has. Where this one has none, Debian's has them:
#   scripts/vm bats tests/icmp_devices.bats        (with WARREN=…/warren)

bats_require_minimum_version 1.5.0
load icmp_machine.bash

# What a device is made with must be there, or the test is skipped with its name.
needs_link_type() {  # TYPE
  unshare --net ip link add x0 type "$1" 2>/dev/null || skip "this kernel has no $1 devices: scripts/vm runs this test under one that has"
}

# Instead of the wire between left and right, c0 and s0 are made by the script that comes on stdin.
devices() {
  {
    cat <<'SH'
    carries() {
      until_true ip netns exec left ping -c 1 -W 1 10.9.0.2
      python3 -c 'import random, socket'  # the first start takes long in an emulated machine
      cat >sizes.py <<'PY'
# Datagrams of all kinds of length, then forty in one system call; each must come back.
import random, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.9.0.2", 5000))
s.settimeout(10)
noise = random.Random(3).randbytes(4096)
for size in [*range(0, 1373, 49), 1372]:
    s.send(noise[size:2 * size])
    assert s.recv(65535) == noise[size:2 * size], size
burst = [noise[n:n + 1200] for n in range(40)]
s.setsockopt(socket.IPPROTO_UDP, 103, 1200)  # UDP_SEGMENT
try:
    s.send(b"".join(burst))
except OSError:  # EIO: older kernels want a device that completes checksums for this
    s.setsockopt(socket.IPPROTO_UDP, 103, 0)
    for data in burst:
        s.send(data)
assert sorted(s.recv(65535) for _ in burst) == sorted(burst)
PY
      echo_server 5000
      right warren icmp serve --port 5000 --user alice --first any --dev s0 --host 10.9.0.2 >ticket
      left warren icmp connect ticket --dev c0
      watch_wire right s0
      left python3 sizes.py
      # 30 lengths and 40 of the burst, there and back. What arrives may be whole; what leaves is counted in packets.
      left warren icmp stats | grep -E '^to 10.9.0.2:5000 +70 .* 70 ' || fail "$(left warren icmp stats)"
      seen_on_wire | grep -E '^icmp [1-9][0-9]* udp 0$' || fail "$(cat seen)"
      left warren icmp detach --dev c0
      ! exchange 5000 || fail "it left without a carrier"
      left warren icmp remove --all
      right warren icmp remove --all
      right warren icmp detach --dev s0
      exchange 5000
      nothing_left
    }
SH
    cat
  } | hosts
}

@test "on the kernel's WireGuard" {
  needs_link_type wireguard
  devices <<'SH'
    umask 077
    for host in left right; do wg genkey >$host.key; done
    ip -n left link delete c0
    ip link add c1 netns left type veth peer name s1 netns right
    ip -n left address add 192.0.2.1/24 dev c1
    ip -n right address add 192.0.2.2/24 dev s1
    ip -n left link set c1 up
    ip -n right link set s1 up
    ip -n left link add c0 type wireguard
    ip -n right link add s0 type wireguard
    left wg set c0 private-key left.key listen-port 51820 \
      peer "$(wg pubkey <right.key)" endpoint 192.0.2.2:51820 allowed-ips 10.9.0.2/32
    right wg set s0 private-key right.key listen-port 51820 \
      peer "$(wg pubkey <left.key)" endpoint 192.0.2.1:51820 allowed-ips 10.9.0.1/32
    ip -n left address add 10.9.0.1/24 dev c0
    ip -n right address add 10.9.0.2/24 dev s0
    ip -n left link set c0 up
    ip -n right link set s0 up
    carries
SH
}

@test "on PPP" {
  command -v pppd >/dev/null || skip "pppd is missing: apt-get install ppp"
  [ -c /dev/ppp ] || modprobe ppp_generic 2>/dev/null || skip "this kernel has no PPP: scripts/vm runs this test under one that has"
  devices <<'SH'
    ip -n left link delete c0
    options="nodetach noauth local nocrtscts noccp noipv6 nodefaultroute lcp-echo-interval 0"
    left pppd $options ifname c0 10.9.0.1:10.9.0.2 pty "ip netns exec right pppd $options notty ifname s0" >ppp.log 2>&1 &
    carries
SH
}

@test "on Wi-Fi" {
  command -v iw >/dev/null || skip "iw is missing: apt-get install iw"
  modprobe mac80211_hwsim radios=2 2>/dev/null || skip "this kernel has no simulated Wi-Fi: scripts/vm runs this test under one that has"
  exec 8</proc/self/ns/net  # where the module puts its radios
  devices <<'SH'
    ip -n left link delete c0
    number=0
    for end in "left c0 10.9.0.1" "right s0 10.9.0.2"; do
      set -- $end
      nsenter --net=/proc/self/fd/8 iw phy phy$number set netns name $1
      until_true ip -n $1 link set wlan$number name $2
      on="ip netns exec $1 iw dev $2"
      $on set type ibss
      ip -n $1 address add $3/24 dev $2
      ip -n $1 link set $2 up
      $on ibss join warren 2412 fixed-freq 02:00:00:00:00:01  # one cell from the start
      number=1
    done
    carries
SH
  exec 8<&-
  modprobe -r mac80211_hwsim
}
