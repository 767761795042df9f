# Two hosts for `warren icmp`.

load machine.bash

# Two hosts on one wire: left (10.9.0.1, c0) and right (10.9.0.2, s0), and small programs for UDP.
read -r -d '' hosts_prologue <<'BASH' || true
    mount -t bpf none /sys/fs/bpf
    connect_hosts() {
      ip link add c0 netns left type veth peer name s0 netns right
      ip -n left address add 10.9.0.1/24 dev c0
      ip -n right address add 10.9.0.2/24 dev s0
      for end in "left c0" "right s0"; do
        set -- $end
        ip -n $1 link set lo up
        ip -n $1 link set $2 up
      done
    }
    ip netns add left
    ip netns add right
    connect_hosts
    left() { ip netns exec left "$@"; }
    right() { ip netns exec right "$@"; }
    # echo_server PORT: answers every datagram with itself, until the machine ends.
    cat >echo.py <<'PY'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(sys.argv[1])))
open(sys.argv[2], "w").close()
while True:
    data, peer = s.recvfrom(65535)
    try:
        s.sendto(data, peer)
    except PermissionError:
        pass
PY
    echo_server() {
      right python3 echo.py "$1" ready.$1 &
      until_true [ -e ready.$1 ]
    }
    # exchange PORT: true where an answer comes back.
    cat >ask.py <<'PY'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.5)
try:
    s.sendto(b"question", ("10.9.0.2", int(sys.argv[1])))
    sys.exit(s.recv(100) != b"question")
except (socket.timeout, PermissionError):
    sys.exit(1)
PY
    exchange() { left python3 ask.py "$1"; }
    nothing_left() {
      [ -z "$(find /sys/fs/bpf -name 'net-*')" ] || fail "pins: $(find /sys/fs/bpf)"
      for host in left right; do
        ! ip -n $host -br link | grep '^wc' || fail "$host: $(ip -n $host -br link)"
      done
    }
BASH

# hosts <<'SH': the script runs on a machine with them.
hosts() {
  { echo "$hosts_prologue"; cat; } | machine
}
