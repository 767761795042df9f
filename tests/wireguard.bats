# `warren wireguard` and [wireguard.NAME] as a user meets them, with wg, wg-quick and Debian's wireguard-go. WARREN is
# the program.

bats_require_minimum_version 1.5.0
load machine.bash

# Two hosts on one wire, each with a key: left (10.9.0.1, 10.7.0.1 inside) and right (10.9.0.2, 10.7.0.2 inside).
read -r -d '' hosts_prologue <<'BASH' || true
    umask 077
    ln -s warren /mnt/warren-wireguard
    ip netns add left
    ip netns add right
    ip link add wire netns left type veth peer name wire netns right
    number=1
    for host in left right; do
      ip -n $host link set lo up
      ip -n $host link set wire up
      ip -n $host address add 10.9.0.$number/24 dev wire
      wg genkey >$host.key
      wg pubkey <$host.key >$host.pub
      number=$((number + 1))
    done
    left() { ip netns exec left "$@"; }
    right() { ip netns exec right "$@"; }
    # interface HOST PROGRAM…: makes wg-HOST with it, with its key, port 51820, an address, and up.
    interface() {
      local host=$1
      shift
      ip netns exec $host "$@" wg-$host >/dev/null
      wg set wg-$host private-key $host.key listen-port 51820
      ip -n $host address add $([ $host = left ] && echo 10.7.0.1/24 || echo 10.7.0.2/24) dev wg-$host
      ip -n $host link set wg-$host up
    }
    # join_hosts: each knows the other, and only the left one where the right one is.
    join_hosts() {
      wg set wg-left peer $(cat right.pub) allowed-ips 10.7.0.2/32 endpoint 10.9.0.2:51820 "$@"
      wg set wg-right peer $(cat left.pub) allowed-ips 10.7.0.1/32 "$@"
    }
    ping_left() { left ping -q -c 1 -w 3 10.7.0.2; }
    ping_right() { right ping -q -c 1 -w 3 10.7.0.1; }
    gone() { [ ! -e /run/wireguard/$1.sock ] && ! ip -n ${2:-left} link show $1; }
    # The interface's process, which says its name in its command line.
    process_of() { pgrep -f "^(warren|warren-wireguard|wireguard-go) (.* )?$1( |\$)"; }
    ended() { ! process_of $1; }
BASH

# hosts <<'SH': the script runs on a machine with them.
hosts() {
  { echo "$hosts_prologue"; cat; } | machine
}

@test "it explains itself, by both names" {
  run -0 "$WARREN" wireguard --help
  [[ "$output" == *Examples:* ]]
  run -2 "$WARREN" wireguard
  [[ "$output" == *NAME*"warren wireguard --help"* ]]
  ln -s "$WARREN" "$BATS_TEST_TMPDIR/warren-wireguard"
  run -0 "$BATS_TEST_TMPDIR/warren-wireguard" --version
  [[ "$output" == "warren-wireguard "[0-9]* ]]
}

@test "congestion marks go through the tunnel and come back inwards" {
  command -v tcpdump >/dev/null || fail "needs tcpdump: scripts/setup run test"
  hosts <<'SH'
    interface left warren wireguard
    interface right warren wireguard
    join_hosts
    ping_left
    right nft -f - <<'NFT'
table netdev congested {
  chain way {
    type filter hook ingress device wire priority 0;
    ip ecn != not-ect ip ecn set ce
  }
}
NFT
    right tcpdump --immediate-mode -Uni wg-right -w inner "icmp[icmptype] == icmp-echo" 2>err &
    until_true grep listening err
    left ping -q -c 3 -i 0.05 -W 1 -Q 0xba 10.7.0.2
    left ping -q -c 3 -i 0.05 -W 1 -Q 0xb8 10.7.0.2
    seen() { [ "$(tcpdump -vnr inner 2>/dev/null | grep -c "tos $1")" -eq 3 ]; }
    until_true seen 0xbb,CE
    until_true seen 0xb8
    kill %1
SH
}

@test "interoperates with wireguard-go as initiator" {
  hosts <<'SH'
    interface left warren wireguard
    interface right wireguard-go
    wg genpsk >psk
    join_hosts preshared-key psk
    ping_left
    left ping -q -c 20 -i 0.01 -s 1400 -w 10 10.7.0.2
    wg show wg-left latest-handshakes | grep -vE '\s0$'
SH
}

@test "interoperates with wireguard-go as responder" {
  hosts <<'SH'
    interface left wireguard-go
    interface right warren wireguard
    join_hosts
    ping_left
    ping_right
    wg show wg-right endpoints | grep '10.9.0.1:51820'
    # It roams: the peer answers from where it was heard last.
    ip -n left address del 10.9.0.1/24 dev wire
    ip -n left address add 10.9.0.11/24 dev wire
    until_true ping_left
    wg show wg-right endpoints | grep '10.9.0.11:51820'
SH
}

@test "wg sets, shows and takes away what it has set" {
  hosts <<'SH'
    left warren wireguard wg-left
    wg set wg-left private-key left.key listen-port 1234 fwmark 0xca6c
    wg set wg-left peer $(cat right.pub) endpoint '[2001:db8::7]:443' persistent-keepalive 25 allowed-ips 10.0.0.0/8,fd07::/64
    [ "$(wg show wg-left private-key)" = "$(cat left.key)" ]
    [ "$(wg show wg-left public-key)" = "$(cat left.pub)" ]
    [ "$(wg show wg-left listen-port)" = 1234 ]
    [ "$(wg show wg-left fwmark)" = 0xca6c ]
    wg show wg-left endpoints | grep -F '[2001:db8::7]:443'
    wg show wg-left persistent-keepalive | grep -w 25
    wg show wg-left allowed-ips | grep '10.0.0.0/8 fd07::/64'
    [ "$(wg show interfaces)" = wg-left ]
    # Who gets a prefix last takes it from whoever had it.
    other=$(wg genkey | wg pubkey)
    wg set wg-left peer $other allowed-ips 10.0.0.0/8
    wg show wg-left allowed-ips | grep "$(cat right.pub)" | grep -v 10.0.0.0
    wg set wg-left peer $other remove
    wg set wg-left fwmark 0 peer $(cat right.pub) persistent-keepalive 0 allowed-ips ''
    [ "$(wg show wg-left fwmark)" = off ]
    [ "$(wg show wg-left peers)" = "$(cat right.pub)" ]
    wg show wg-left persistent-keepalive | grep -w off
    wg showconf wg-left >shown
    wg setconf wg-left shown
    wg showconf wg-left | diff shown -
    # syncconf changes what differs, setconf replaces.
    printf '[Interface]\nPrivateKey = %s\nListenPort = 4321\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.1.0.0/16\n' \
      "$(cat left.key)" "$other" >new.conf
    wg syncconf wg-left new.conf
    [ "$(wg show wg-left peers)" = "$other" ]
    [ "$(wg show wg-left listen-port)" = 4321 ]
    wg addconf wg-left <(printf '[Peer]\nPublicKey = %s\n' "$(cat right.pub)")
    [ "$(wg show wg-left peers | wc -l)" = 2 ]
SH
}

@test "syncconf keeps sessions" {
  hosts <<'SH'
    interface left warren wireguard
    interface right warren wireguard
    join_hosts
    ping_left
    wg showconf wg-right >right.conf
    before=$(wg show wg-right latest-handshakes)
    sed -i 's/10.7.0.1\/32/10.7.0.0\/24/' right.conf
    wg syncconf wg-right right.conf
    ping_left
    [ "$(wg show wg-right latest-handshakes)" = "$before" ] || fail "there was another handshake"
SH
}

@test "a thousand peers in one file" {
  hosts <<'SH'
    left warren wireguard wg-left
    { printf '[Interface]\nPrivateKey = %s\n' "$(cat left.key)"
      for i in $(seq 1000); do
        printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.%d.%d.0/24\n' \
          "$(printf '%032d' $i | base64 -w 0)" $((i / 256)) $((i % 256))
      done; } >many.conf
    wg setconf wg-left many.conf
    [ "$(wg show wg-left peers | wc -l)" = 1000 ]
    [ "$(wg show wg-left allowed-ips | grep -c /24)" = 1000 ]
SH
}

@test "wg-quick up and down" {
  hosts <<'SH'
    export WG_QUICK_USERSPACE_IMPLEMENTATION=warren-wireguard
    for host in left right; do
      { printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n' "$(cat $host.key)"
        [ $host = left ] && echo 'Address = 10.7.0.1/32' || echo 'Address = 10.7.0.2/32'
        echo 'PostUp = touch /mnt/up-%i'
        echo '[Peer]'
        [ $host = left ] && echo "PublicKey = $(cat right.pub)" || echo "PublicKey = $(cat left.pub)"
        # Everything through the tunnel: wg-quick makes rules with a firewall mark.
        [ $host = left ] && printf 'AllowedIPs = 0.0.0.0/0\nEndpoint = 10.9.0.2:51820\n' || echo 'AllowedIPs = 10.7.0.1/32'
      } >wg-$host.conf
      ip netns exec $host wg-quick up ./wg-$host.conf
      [ -e up-wg-$host ] || fail "PostUp did not run"
    done
    left wg show wg-left fwmark | grep 0xca6c
    ping_left
    left ip route get 192.0.2.1 | grep 'dev wg-left'
    for host in left right; do ip netns exec $host wg-quick down ./wg-$host.conf; done
    until_true gone wg-left left
    until_true gone wg-right right
    until_true ended wg-left
    left ip rule | grep -c 51820 && fail "rules are left" || true
SH
}

@test "it goes to the background only when it is ready, and says what it cannot do" {
  hosts <<'SH'
    # No pipe of ours is held open: this would hang.
    out="$(left warren wireguard wg-left 2>&1)"
    [ -z "$out" ] || fail "$out"
    [ -S /run/wireguard/wg-left.sock ] && [ "$(stat -c %a /run/wireguard/wg-left.sock)" = 600 ] || fail "$(ls -l /run/wireguard)"
    ip -n left link show wg-left | grep 'mtu 1420'
    refused() {
      local status=0
      "${@:2}" 2>err >out || status=$?
      [ "$status" -eq 1 ] || fail "status $status: ${*:2}"
      grep -qE "$1" err && [ "$(wc -l <err)" -eq 1 ] || fail "expected '$1' of ${*:2}: $(cat err)"
    }
    refused 'wg-left.*resource busy' left warren wireguard wg-left
    refused 'wire: .*Invalid argument' left warren wireguard wire
    refused '16 bytes' left warren wireguard a234567890123456
    refused 'wg-left.*another process' right warren wireguard wg-left
    ! ip -n right link show wg-left 2>/dev/null || fail "it left a device"
    refused 'WG_TUN_FD=99' left env WG_TUN_FD=99 warren wireguard x
    refused 'WG_UAPI_FD=x' left env WG_UAPI_FD=x warren wireguard x
    refused '(denied|not permitted).*as root' left setpriv --reuid=65534 --regid=65534 --clear-groups /mnt/warren wireguard x
    refused 'belong to --carrier icmp' left warren wireguard x --user alice:7
    refused 'needs --ticket' left warren wireguard x --carrier icmp
    [ "$(ls /run/wireguard)" = wg-left.sock ] || fail "$(ls /run/wireguard)"
SH
}

@test "TCP stays up over a line that loses, reorders and doubles packets" {
  hosts <<'SH'
    ip -n left link delete wire
    cat >line.toml <<'TOML'
links = [["tap0", "line.a"], ["line.b", "tap1"]]
[tun.tap0]
mode = "tap"
netns = "left"
address = ["10.9.0.1/24"]
[tun.tap1]
mode = "tap"
netns = "right"
address = ["10.9.0.2/24"]
[impair.line]
medium = "ethernet"
loss = "5%"
duplicate = "5%"
reorder = "5%"
delay = "1ms"
jitter = "200us"
seed = 7
TOML
    start line.toml
    interface left warren wireguard
    interface right warren wireguard
    join_hosts
    until_true ping_left
    for direction in "" --reverse; do
      right iperf3 --server --one-off >/dev/null &
      server=$!
      until_true eval 'right ss -Hltn "sport = 5201" | grep 5201'
      left iperf3 --client 10.7.0.2 --bytes 4M $direction >out || fail "$(cat out)"
      wait "$server"
    done
    # What arrives twice counts once, and what is lost not at all.
    arrived=$(wg show wg-right transfer | cut -f 2)
    sent=$(wg show wg-left transfer | cut -f 3)
    [ "$arrived" -le "$sent" ] && [ "$arrived" -ge $((sent * 9 / 10)) ] || fail "sent $sent, arrived $arrived"
    # A device that goes down and up again begins anew.
    ip -n left link set wg-left down
    ip -n left link set wg-left up
    until_true ping_left
    stop TERM
SH
}

@test "without /dev/net/tun" {
  hosts <<'SH'
    mount -t tmpfs none /dev/net
    ! warren wireguard wg0 2>err || fail "it ran"
    grep -q '/dev/net/tun: No such file or directory' err || fail "$(cat err)"
    [ ! -e /run/wireguard/wg0.sock ]
SH
}

@test "wg is told errno values" {
  hosts <<'SH'
    interface left warren wireguard
    cat >taken.py <<'PY'
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7777))
open("taken", "w").close()
time.sleep(60)
PY
    left python3 taken.py &
    until_true [ -e taken ]
    ! wg set wg-left listen-port 7777 2>err || fail "it took a port in use"
    grep -q 'Address already in use' err || fail "$(cat err)"
    [ "$(wg show wg-left listen-port)" = 51820 ] || fail "the former port is gone"
    cat >ask.py <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("/run/wireguard/wg-left.sock")
for request, errno in [("set=1\nprivate_key=12", 22), ("set=1\nlisten_port=65536", 22), ("set=1\nnonsense=1", 22),
                       ("set=1\npublic_key=" + 64 * "g", 22), ("set=1\nlisten_port", 71), ("get=2", 71), ("set=1", 0)]:
    s.sendall((request + "\n\n").encode())
    answer = s.recv(100).decode()
    if answer != f"errno={-errno}\n\n":
        sys.exit(f"{request!r}: {answer!r}")
PY
    python3 ask.py
    wg show wg-left >/dev/null
SH
}

@test "deleting the device or the socket ends it" {
  hosts <<'SH'
    left warren wireguard wg-left
    ip -n left link delete wg-left
    until_true ended wg-left
    gone wg-left
    left warren wireguard wg-left
    rm /run/wireguard/wg-left.sock
    until_true ended wg-left
    until_true gone wg-left
    left warren wireguard wg-left
    kill "$(process_of wg-left)"
    until_true ended wg-left
    until_true gone wg-left
SH
}

@test "killed, and started again" {
  hosts <<'SH'
    interface left warren wireguard
    interface right warren wireguard
    join_hosts
    ping_left
    kill -KILL "$(process_of wg-right)"
    until_true ended wg-right
    [ -S /run/wireguard/wg-right.sock ] || fail "a killed process cleans up?"
    until_true eval '! ip -n right link show wg-right'
    interface right warren wireguard
    wg set wg-right peer $(cat left.pub) allowed-ips 10.7.0.1/32 endpoint 10.9.0.1:51820
    until_true ping_right
SH
}

@test "in the foreground, with descriptors of others" {
  hosts <<'SH'
    cat >parent.py <<'PY'
# Makes the device and listens, as a program that confines its children would.
import fcntl, os, socket, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", b"wg-given", 0x0001 | 0x1000 | int(sys.argv[1], 16)))  # IFF_TUN, IFF_NO_PI
listener = socket.socket(socket.AF_UNIX)
listener.bind("/mnt/given.sock")
listener.listen()
os.set_inheritable(tun, True)
os.set_inheritable(listener.fileno(), True)
os.environ.update(WG_TUN_FD=str(tun), WG_UAPI_FD=str(listener.fileno()), WG_PROCESS_FOREGROUND="1")
os.execlp("warren", "warren", "wireguard", "wg-given")
PY
    cat >get.py <<'PY'
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("/mnt/given.sock")
s.sendall(b"get=1\n\n")
assert s.recv(1000).endswith(b"errno=0\n\n")
PY
    for flags in 4000 0; do  # with IFF_VNET_HDR, and without
      python3 parent.py $flags &
      pid=$!
      until_true python3 get.py
      [ ! -e /run/wireguard/wg-given.sock ] || fail "it made a socket of its own"
      rm given.sock
      wait $pid
    done
    LOG_LEVEL=debug warren wireguard -f wg0 2>log &
    pid=$!
    until_true grep -q 'wg0: ready' log
    stop TERM
    [ ! -e /run/wireguard/wg0.sock ]
SH
}

@test "it keeps what it needs and nothing else" {
  hosts <<'SH'
    left warren wireguard wg-left
    pid="$(process_of wg-left)"
    # CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_IPC_LOCK.
    grep -E '^CapPrm:\s*0000000000005400$' /proc/$pid/status || fail "$(grep Cap /proc/$pid/status)"
    grep -E '^NoNewPrivs:\s*1$' /proc/$pid/status
    wg set wg-left private-key left.key fwmark 1 listen-port 53
    ip -n left link set wg-left up
    wg show wg-left fwmark | grep 0x1
    ip -n left link set wg-left mtu 1300
SH
}

write_networks() {
  carrier=${1:-udp}
  tag=$([ "$carrier" = udp ] || echo 'tag = "0007"')
  device=$([ "$carrier" = udp ] || echo 'dev = ["wire"]')
  wg genpsk >psk
  cat >left.toml <<TOML
[wireguard.wg-left]
private-key-file = "left.key"
address = ["10.7.0.1/32"]
carrier = "$carrier"

[[wireguard.wg-left.peer]]
public-key = "$(cat right.pub)"
preshared-key-file = "psk"
endpoint = "10.9.0.2:51820"
allowed-ips = ["10.7.0.2/32", "10.8.0.0/16"]
$tag
TOML
  cat >right.toml <<TOML
[wireguard.wg-right]
private-key-file = "right.key"
listen = 51820
address = ["10.7.0.2/32"]
carrier = "$carrier"
$device

[[wireguard.wg-right.peer]]
public-key = "$(cat left.pub)"
preshared-key-file = "psk"
allowed-ips = ["10.7.0.1/32"]
$tag
TOML
}

# On a host of its own: start's `warren up` runs where the script is.
start_on() {
  local host=$1
  ip netns exec "$host" warren up "$host.toml" 2>>/mnt/log &
  until_true warren status "$host"
}

@test "interfaces in a network file" {
  { declare -f write_networks start_on; cat <<'SH'; } | hosts
    write_networks
    start_on right
    start_on left
    ping_left
    left ip route get 10.8.1.1 | grep 'dev wg-left'
    warren status left >status
    grep -q "peer $(cat right.pub) at 10.9.0.2:51820, handshake" status && grep -qE 'encryption (ipsec-mb|OpenSSL)' status ||
      fail "$(cat status)"
    ! grep -qF -e "$(cat left.key)" -e "$(cat psk)" status log || fail "a key is shown"
    wg show wg-right endpoints | grep '10.9.0.1:'
    before=$(wg show wg-right latest-handshakes)
    # A reload tells the interface only what is different.
    sed -i 's/"10.7.0.1\/32"\]$/"10.7.0.1\/32", "10.7.1.0\/24"]/; s/address = .*/address = ["10.7.0.2\/32", "fd07::2\/64"]/' right.toml
    warren reload right
    right ip route get 10.7.1.1 | grep 'dev wg-right'
    right ip address show wg-right | grep 'fd07::2/64'
    ping_right
    [ "$(wg show wg-right latest-handshakes)" = "$before" ] || fail "there was another handshake"
    # Another key in the same file is another configuration.
    wg genpsk >other && cat other >psk
    warren reload right
    warren reload left
    [ "$(wg show wg-left preshared-keys | cut -f 2)" = "$(cat psk)" ]
    # What others delete comes back.
    ip -n left link delete wg-left
    until_true sh -c 'warren status left | grep "was deleted"'
    warren reload left
    until_true ping_left
    warren down left
    warren down right
    gone wg-left && gone wg-right right || fail "something is left"
SH
}

@test "a wg-quick file in a network file" {
  { declare -f start_on; cat <<'SH'; } | hosts
    printf '[Interface]\nPrivateKey = %s\nAddress = 10.7.0.1/32\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.7.0.2/32\nEndpoint = right.test:51820\n' \
      "$(cat left.key)" "$(cat right.pub)" >wg-left.conf
    printf '[wireguard.wg-left]\nconfig = "wg-left.conf"\n' >left.toml
    cp /etc/hosts hosts
    echo 10.9.0.2 right.test >>hosts
    mount --bind hosts /etc/hosts
    interface right warren wireguard
    wg set wg-right peer $(cat left.pub) allowed-ips 10.7.0.1/32
    start_on left
    until_true ping_left
    sed -i 's/^Address.*/&\nPostUp = true/' wg-left.conf
    ! warren reload left 2>err || fail "it took PostUp"
    grep -q "wg-left.conf:4: PostUp: this key is wg-quick's" err || fail "$(cat err)"
    ping_left
    chmod 644 wg-left.conf
    ! warren up left.toml --check 2>err || fail "it took a file that all may read"
    grep -q 'chmod 600' err || fail "$(cat err)"
SH
}

@test "a silent peer is looked up by its name again" {
  { declare -f start_on; cat <<'SH'; } | hosts
    printf '[Interface]\nPrivateKey = %s\nAddress = 10.7.0.1/32\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.7.0.2/32\nEndpoint = right.test:51820\n' \
      "$(cat left.key)" "$(cat right.pub)" >wg-left.conf
    printf '[wireguard.wg-left]\nconfig = "wg-left.conf"\n' >left.toml
    cp /etc/hosts hosts
    echo 10.9.0.77 right.test >>hosts
    mount --bind hosts /etc/hosts
    interface right warren wireguard
    wg set wg-right peer $(cat left.pub) allowed-ips 10.7.0.1/32
    start_on left
    until_true sh -c 'wg show wg-left endpoints | grep 10.9.0.77:51820'
    ! left ping -q -c 1 -w 1 10.7.0.2
    cp hosts moved
    sed -i 's/^10.9.0.77/10.9.0.2/' moved
    cat moved >hosts
    until_true ping_left
    wg show wg-left endpoints | grep 10.9.0.2:51820
SH
}

@test "a port in use is told by warren up" {
  { declare -f write_networks start_on; cat <<'SH'; } | hosts
    write_networks
    right warren wireguard wg0
    ip -n right link set wg0 up
    wg set wg0 listen-port 51820
    ! right warren up right.toml 2>err || fail "it ran"
    grep -q 'Address already in use' err || fail "$(cat err)"
    gone wg-right right || fail "something is left"
SH
}

@test "everything inside ICMP, with wg-quick" {
  hosts <<'SH'
    mount -t bpf none /sys/fs/bpf
    right warren wireguard wg-right --carrier icmp --user alice:7 --dev wire
    wg set wg-right private-key right.key listen-port 51820 peer $(cat left.pub) allowed-ips 10.7.0.1/32
    ip -n right address add 10.7.0.2/24 dev wg-right
    ip -n right link set wg-right up
    printf '#!/bin/sh\nexec warren wireguard --carrier icmp --ticket warren-icmp:alice@10.9.0.2:51820/7 "$1"\n' >wrapper
    chmod 755 wrapper
    printf '[Interface]\nPrivateKey = %s\nAddress = 10.7.0.1/32\n[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0\nEndpoint = 10.9.0.2:51820\n' \
      "$(cat left.key)" "$(cat right.pub)" >wg-left.conf
    WG_QUICK_USERSPACE_IMPLEMENTATION=wrapper left wg-quick up ./wg-left.conf
    ping_left
    # The way to the server is that of its packets, which have a mark: not into the tunnel.
    ip -n left link delete wire
    ip link add wire netns left type veth peer name wire netns right
    ip -n left link set wire up
    ip -n right link set wire up
    ip -n left address add 10.9.0.1/24 dev wire
    ip -n right address add 10.9.0.2/24 dev wire
    until_true ping_left
    left warren icmp list >list
    grep -q 'interface wire' list && ! grep -q 'interface wg-left' list || fail "$(cat list)"
    left wg-quick down ./wg-left.conf
    until_true ended wg-left
    left warren icmp list | grep 'nothing is carried'
SH
}

@test "inside ICMP, from a network file and from the command line" {
  { declare -f write_networks start_on; cat <<'SH'; } | hosts
    mount -t bpf none /sys/fs/bpf
    write_networks icmp
    watch_wire right wire
    start_on right
    start_on left
    ping_left
    ping_right
    warren status left | grep 'carrier icmp, icmp to 10.9.0.2:51820 tag 0007'
    warren status right | grep 'icmp users user wg-right-1, port 51820, tag 0007, sessions 1'
    warren down left
    warren down right
    [ -z "$(find /sys/fs/bpf -name 'net-*')" ] || fail "pins: $(find /sys/fs/bpf)"
    # A port that wg sets is served; one that another takes the place of, too.
    right warren wireguard wg-right --carrier icmp --user alice:7 --dev wire
    left warren wireguard wg-left --carrier icmp --ticket warren-icmp:alice@10.9.0.2:4444/7
    for host in left right; do
      wg set wg-$host private-key $host.key
      ip -n $host link set wg-$host up
    done
    ip -n left address add 10.7.0.1/24 dev wg-left
    ip -n right address add 10.7.0.2/24 dev wg-right
    wg set wg-right listen-port 51820 peer $(cat left.pub) allowed-ips 10.7.0.1/32
    wg set wg-right listen-port 4444
    wg set wg-left peer $(cat right.pub) allowed-ips 10.7.0.2/32 endpoint 10.9.0.2:4444
    ping_left
    right warren icmp list | grep 'server of alice on port 4444'
    ip -n left link delete wg-left
    rm /run/wireguard/wg-right.sock
    until_true ended wg-left
    until_true ended wg-right
    [ -z "$(find /sys/fs/bpf -name 'net-*')" ] || fail "pins: $(find /sys/fs/bpf)"
    seen_on_wire | grep -E '^icmp [1-9][0-9]* udp 0$' || fail "$(cat seen)"
SH
}
