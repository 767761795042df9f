# A machine for each test: network, mount and process namespaces of its own, so that nothing can be left behind. The test's
# script comes on stdin and runs in /mnt, an empty memory file system, with the helpers below. A pipe fails with any of its
# programs, so none of them may end before it has read everything: grep without -q.
#
#   machine <<'SH'
#   write_home
#   start home.toml
#   SH

machine() {
  [ "$(id -u)" -eq 0 ] || skip "needs root, for namespaces and devices"
  [ -c /dev/net/tun ] || skip "this machine has no /dev/net/tun"
  { declare -f until_true fail start stop write_home ping_across watch_wire seen_on_wire; echo "$machine_prologue"; cat; } >"$BATS_TEST_TMPDIR/script"
  unshare --net --mount --pid --fork --kill-child --mount-proc bash "$BATS_TEST_TMPDIR/script"
}

# shellcheck disable=SC2016
machine_prologue='
  set -euo pipefail
  mount -t tmpfs none /mnt
  mount -t tmpfs none /run
  cd /mnt
  chmod 755 /mnt
  cp "$WARREN" /mnt/warren
  export PATH=/mnt:$PATH WARREN_RUN_DIR=/mnt/run
  ip link set lo up
  trap "echo FAILED in line \$LINENO: \$BASH_COMMAND; cat /mnt/log 2>/dev/null" ERR
'

fail() {
  echo "$*" >&2
  cat /mnt/log >&2 2>/dev/null
  exit 1
}

# until_true COMMAND…: waits for a condition, 20 seconds at most.
until_true() {
  local deadline=$((SECONDS + 20))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "this never became true: $*"
    sleep 0.02
  done
}

# start FILE…: runs it in the background, and returns when it is up. Its process is in $pid.
start() {
  local name
  name="$(basename "$1" .toml)"
  warren up "$@" 2>>/mnt/log &
  pid=$!
  until_true eval "! kill -0 $pid || warren status $name"
  kill -0 "$pid" || fail "warren up $* ended"
}

# stop SIGNAL: ends the last one that was started, and its status must be 0.
stop() {
  kill "-$1" "$pid"
  wait "$pid"
}

# Two devices in namespaces of their own, linked.
write_home() {
  ip netns add left
  ip netns add right
  cat >home.toml <<'TOML'
links = [["tun11", "tun22"]]

[tun.tun11]
netns = "left"
address = ["10.0.1.1/24"]
routes = ["10.0.2.0/24"]

[tun.tun22]
netns = "right"
address = ["10.0.2.1/24"]
routes = ["10.0.1.0/24"]
TOML
}

ping_across() { ip netns exec left ping -q "$@" 10.0.2.1; }

# watch_wire HOST DEVICE: counts the IPv4 packets on a device, by protocol, until `seen_on_wire`.
watch_wire() {
  cat >wire.py <<'PY'
import socket, signal, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))  # ETH_P_ALL: as it is on the wire
s.bind((sys.argv[1], 3))
counts = {1: 0, 17: 0}
def end(*_):
    print("icmp", counts[1], "udp", counts[17], file=open("seen", "w"))
    sys.exit()
signal.signal(signal.SIGTERM, end)
open("watching", "w").close()
while True:
    packet, address = s.recvfrom(65535)
    if address[1] == 0x0800:
        counts[packet[9]] = counts.get(packet[9], 0) + 1
PY
  rm -f watching seen
  ip netns exec "$1" python3 wire.py "$2" &
  watcher=$!
  until_true [ -e watching ]
}

# What it has seen: "icmp 8 udp 0".
seen_on_wire() {
  kill "$watcher" 2>/dev/null || true
  until_true [ -s seen ]
  cat seen
}
