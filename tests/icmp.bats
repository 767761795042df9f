# `warren icmp` as a user meets it. WARREN is the program.

bats_require_minimum_version 1.5.0
load icmp_machine.bash

@test "every subcommand explains itself" {
  run -0 "$WARREN" icmp --help
  [[ "$output" == *Examples:* ]]
  for command in serve connect list stats remove detach; do
    run -0 "$WARREN" icmp "$command" --help
    [[ "$output" == *Examples:* ]]
  done
  run -2 "$WARREN" icmp
  run -2 "$WARREN" icmp serve --user alice
  [[ "$output" == *--port*"warren icmp serve --help"* ]]
}

@test "a client and a server from the command line" {
  hosts <<'SH'
    echo_server 5000
    watch_wire right s0
    right warren icmp serve --port 5000 --user alice --first any --dev s0 >ticket
    grep -qE '^warren-icmp:alice@10\.9\.0\.2:5000/[0-9a-f]{4}$' ticket || fail "$(cat ticket)"
    left warren icmp connect ticket
    exchange 5000
    exchange 5000
    left ping -q -c 2 -i 0.01 -w 5 10.9.0.2
    left warren icmp list >list
    grep -q 'interface c0' list && grep -q 'checksum software: veth' list && grep -q 'client of 10.9.0.2:5000 as alice' list ||
      fail "$(cat list)"
    right warren icmp list --json | grep '"sessions": 2' || fail "$(right warren icmp list --json)"
    right warren icmp stats --json | grep '"rx_packets": 2' || fail "$(right warren icmp stats --json)"
    left warren icmp stats | grep -E '^to 10.9.0.2:5000 +2 +72 +2 +72' || fail "$(left warren icmp stats)"
    seen_on_wire | grep -E '^icmp 8 udp 0$' || fail "$(cat seen)"
    left warren icmp remove alice
    ! exchange 5000 || fail "a served port answers plain UDP"
    right warren icmp remove --all
    exchange 5000
    left warren icmp detach --dev c0
    right warren icmp detach
    nothing_left
SH
}

@test "stats show rates" {
  hosts <<'SH'
    right warren icmp serve --port 5000 --user alice --dev s0 >ticket
    timeout 3 ip netns exec right warren icmp stats --watch --json >rates || true
    grep -q '"rx_bits_per_second":0.0' rates || fail "$(cat rates)"
SH
}

@test "a flow that should be carried stays closed where nothing is attached" {
  hosts <<'SH'
    echo_server 5000
    exchange 5000
    right warren icmp serve --port 5000 --user alice --first any --dev s0 >ticket
    left warren icmp connect ticket
    left warren icmp detach --dev c0 2>err
    ! exchange 5000 || fail "it left"
    left warren icmp stats --json | grep '"not_attached": 1' || fail "$(left warren icmp stats)"
    left warren icmp connect ticket
    exchange 5000
SH
}

@test "bad input is named and leaves nothing" {
  hosts <<'SH'
    refused() {
      local host=$1 text=$2
      shift 2
      ! $host warren icmp "$@" 2>err >out || fail "accepted: $*"
      grep -qF -- "$text" err || fail "expected '$text' of $*: $(cat err)"
      [ "$(wc -l <err)" -eq 1 ] || fail "more than one line: $(cat err)"
    }
    refused right 'find network device nope: No such device' serve --port 5000 --user alice --dev nope --host h
    refused right 'there is no default route' serve --port 5000 --user alice
    refused right '1 to 65535' serve --port 0 --user alice --dev s0
    refused right '1 to 65535' serve --port 65536 --user alice --dev s0
    refused right '1 to 65535' serve --port wg --user alice --dev s0
    refused right 'tag 0000 is not usable' serve --port 5000 --user alice --dev s0 --tag 0
    refused right 'tag ffff is not usable' serve --port 5000 --user alice --dev s0 --tag 0xffff
    refused right 'is not a tag' serve --port 5000 --user alice --dev s0 --tag 12345
    refused right 'cannot name a user' serve --port 5000 --user 'a b' --dev s0
    refused right 'given twice' serve --port 5000 --user a --user a --dev s0
    refused right '--from' serve --port 5000 --user a --dev s0 --from 10.0.0.0/33
    refused right '--max-age' serve --port 5000 --user a --dev s0 --max-age 0s
    refused right '--uid' serve --port 5000 --user a --dev s0 --profile tutu
    refused right '--uid' serve --port 5000 --user a --dev s0 --profile tutu --uid 256
    refused right '--uid belongs to' serve --port 5000 --user a --dev s0 --uid 1
    refused right '--host' serve --port 5000 --user a --dev s0 --host 'a b'
    refused left 'is neither a ticket' connect absent.ticket
    refused left 'is not a ticket' connect warren-icmp:10.9.0.2:5000
    refused left 'tag ffff' connect warren-icmp:10.9.0.2:5000/ffff
    refused left 'find the route to 192.0.2.1' connect warren-icmp:192.0.2.1:5000/1
    refused left 'is an address of this host' connect warren-icmp:10.9.0.1:5000/1
    refused left 'HOST:PORT' connect 10.9.0.2 --profile tutu --uid 7
    refused left '--server' connect warren-icmp:10.9.0.2:5000/1 --server h
    refused left 'nothing is carried by the name "alice"' remove alice
    refused left 'say which flow ends' remove
    refused left 'c0 is not attached' detach --dev c0
    left warren icmp detach
    left warren icmp remove --all
    left warren icmp list | grep 'nothing is carried'
    nothing_left
    right warren icmp serve --port 5000 --user alice --dev s0 --tag 1 >/dev/null
    refused right 'alice is served already, on port 5000 with tag 0001' serve --port 6000 --user alice --dev s0
    refused right 'tag 0001 is taken, by alice' serve --port 5000 --user bob --tag 0x1 --dev s0
    right warren icmp serve --port 5000 --user bob --dev s0 >/dev/null
    right warren icmp remove bob
    left warren icmp connect warren-icmp:10.9.0.2:5000/1
    left warren icmp connect warren-icmp:10.9.0.2:5000/1
    refused left 'carried already, with tag 0001' connect warren-icmp:10.9.0.2:5000/2
    refused left 'in use for port 5000' connect warren-icmp:10.9.0.2:6000/1
SH
}

@test "without privileges" {
  hosts <<'SH'
    for command in 'serve --port 5000 --user alice --dev s0' 'connect warren-icmp:10.9.0.1:5000/1 --dev s0' 'detach'; do
      ! right setpriv --reuid=65534 --regid=65534 --clear-groups /mnt/warren icmp $command 2>err || fail "it ran: $command"
      grep -qi 'as root' err || fail "$(cat err)"
    done
    nothing_left
SH
}

@test "another XDP program keeps its place, and that is said" {
  hosts <<'SH'
    echo '__attribute__((section("xdp"))) int pass(void *context) { return 2; }' >pass.c
    clang -target bpf -O2 -c pass.c -o pass.o
    ip -n right link set s0 xdpdrv obj pass.o sec xdp
    right warren icmp serve --port 5000 --user alice --first any --dev s0 --xdp auto >ticket 2>err
    grep -q 'another XDP program sits on s0; tc is used' err || fail "$(cat err)"
    right warren icmp list | grep -E 'in (tcx|clsact)' || fail "$(right warren icmp list)"
    right warren icmp list | grep 'another XDP program' || fail "$(right warren icmp list)"
    right warren icmp detach
    ip -n right link show s0 | grep xdp || fail "it is gone"
    ip -n right link set s0 xdp off
    right warren icmp serve --port 5000 --user alice --first any --dev s0 --xdp auto >ticket
    right warren icmp list | grep 'in xdp' || fail "$(right warren icmp list)"
    echo_server 5000
    left warren icmp connect ticket --xdp auto
    exchange 5000
    exchange 5000
SH
}

@test "options that are not given stay as they are" {
  hosts <<'SH'
    serve() {
      right warren icmp serve --port 5000 --dev s0 --user "$@" >/dev/null
    }
    shows() {
      right warren icmp list >list
      for line; do grep -qE "$line" list || fail "no '$line' in: $(cat list)"; done
    }
    serve alice
    shows 'in (tcx|clsact)' 'checksum software: veth passes'
    serve bob --checksum balance --xdp auto
    shows 'in xdp' 'checksum balance: asked for; by itself it would be software: veth passes'
    serve carol
    shows 'in xdp' 'checksum balance: asked for'
    # The same goes for keys of a network file.
    printf '[icmp.dave]\nrole = "serve"\nnetns = "right"\nport = 5000\ntag = "3fa2"\ndev = ["s0"]\n' >dave.toml
    start dave.toml
    shows 'in xdp' 'checksum balance: asked for' 'server of dave'
    printf 'checksum = "auto"\nxdp = "off"\n' >>dave.toml
    warren reload
    shows 'in (tcx|clsact)' 'checksum software: veth passes'
    sed -i 's/"auto"/"software"/' dave.toml
    warren reload
    shows 'checksum software: asked for, as it would be by itself: veth passes'
    warren down
    shows 'checksum software: asked for'
    serve erin --checksum auto --xdp off
    shows 'in (tcx|clsact)' 'checksum software: veth passes'
SH
}

write_flow() {
  cat >flow.toml <<'TOML'
[icmp.alice]
role = "serve"
netns = "right"
port = 5000
tag = "3fa2"
first = "any"
dev = ["s0"]

[icmp.home]
role = "connect"
netns = "left"
ticket = "warren-icmp:alice@10.9.0.2:5000/3fa2"
TOML
}

@test "warren up keeps a flow going" {
  { declare -f write_flow; cat <<'SH'; } | hosts
    write_flow
    echo_server 5000
    start flow.toml
    until_true exchange 5000
    home() { warren status --json | jq -c '.[].nodes[] | select(.name == "home").details'; }
    home | grep '"role":"connect","server":"10.9.0.2:5000","tag":"3fa2","dev c0":"software"' || fail "$(home)"
    ip -n left link del c0
    until_true eval 'home | grep problem'
    connect_hosts
    watch_wire right s0
    until_true exchange 5000
    seen_on_wire | grep 'udp 0$' || fail "$(cat seen)"
    # Who removes it has it back at the next change of links, as the file says.
    left warren icmp remove alice
    ! exchange 5000 || fail "a served port answers plain UDP"
    ip -n left link add d0 type veth peer name d1
    until_true exchange 5000
    ip -n left link del d0
    warren down
    nothing_left
    exchange 5000
SH
}

@test "a killed warren up leaves the flow carried, and the next one takes it over" {
  { declare -f write_flow; cat <<'SH'; } | hosts
    write_flow
    echo_server 5000
    start flow.toml
    until_true exchange 5000
    watch_wire right s0
    kill -KILL $pid
    wait $pid || true
    exchange 5000
    start flow.toml
    exchange 5000
    sed -i 's/3fa2/0007/' flow.toml
    warren reload
    exchange 5000
    right warren icmp list | grep 'tag 0007' || fail "$(right warren icmp list)"
    seen_on_wire | grep 'udp 0$' || fail "$(cat seen)"
    warren down
    nothing_left
SH
}

@test "warren up follows routes and names" {
  hosts <<'SH'
    echo_server 5000
    cp /etc/hosts hosts
    mount --bind hosts /etc/hosts
    right warren icmp serve --port 5000 --user alice --first any --dev s0 --tag 7 >/dev/null
    cat >flow.toml <<'TOML'
[icmp.home]
role = "connect"
netns = "left"
ticket = "warren-icmp:alice@vpn.test:5000/7"
lookup = "1s"
TOML
    start flow.toml
    left warren icmp list | grep 'nothing is carried' || fail "$(left warren icmp list)"
    echo 10.9.0.2 vpn.test >>/etc/hosts
    until_true exchange 5000
    # A second address; the first stays closed.
    ip -n right address add 10.9.0.3/24 dev s0
    sed 's/10.9.0.2/10.9.0.3/' hosts >changed
    cat changed >hosts  # in place: it is mounted
    until_true sh -c 'ip netns exec left warren icmp list | grep 10.9.0.3'
    left warren icmp list | grep 10.9.0.2 || fail "$(left warren icmp list)"
    # The route moves to another wire.
    ip link add c1 netns left type veth peer name s1 netns right
    ip -n left link set c1 up
    ip -n right link set s1 up
    ip -n left route add 10.9.0.2/32 dev c1
    until_true sh -c 'ip netns exec left warren icmp list | grep "interface c1"'
    warren down
    left warren icmp list | grep 'nothing is carried' || fail "$(left warren icmp list)"
SH
}

# A line with loss and reordering between devices without a link-layer header.
@test "over tun devices, with loss and reordering" {
  hosts <<'SH'
    cat >line.toml <<'TOML'
links = [["tun11", "bad.a"], ["bad.b", "tun22"]]

[impair.bad]
loss = "1%"
reorder = "5%"
delay = "2ms"
seed = 7

[tun.tun11]
netns = "left"
address = ["10.0.1.1/24", "fd01::1/64"]
routes = ["10.0.2.0/24", "fd02::/64"]

[tun.tun22]
netns = "right"
address = ["10.0.2.1/24", "fd02::1/64"]
routes = ["10.0.1.0/24", "fd01::/64"]
TOML
    start line.toml
    right warren icmp serve --port 5000 --user alice --first any --dev tun22 --xdp auto >ticket 2>err
    grep -q 'no XDP on tun22: .*; tc is used' err || fail "$(cat err)"
    right warren icmp list | grep 'in tcx' || right warren icmp list | grep 'in clsact' || fail "$(right warren icmp list)"
    left warren icmp connect ticket
    left warren icmp connect ticket --server '[fd02::1]:5000'
    left warren icmp list | grep 'interface tun11' || fail "$(left warren icmp list)"
    cat >numbered.py <<'PY'
# Numbered datagrams of all lengths, as super-packets too; what comes back must be what was sent.
import random, select, socket, sys
ipv6 = ":" in sys.argv[1]
s = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
s.connect((sys.argv[1], 5000))
random.seed(3)
sent, order = {}, []
def receive(enough):  # or what comes without a pause
    while select.select([s], [], [], 0 if len(order) >= enough else 0.5)[0]:
        data = s.recv(65535)
        number = int(data[:5])
        assert sent[number] == data, number
        order.append(number)
for n in range(0, 2000, 10):
    size = random.randrange(5, 1400)
    datagrams = [b"%05d" % (n + i) + random.randbytes(size - 5) for i in range(10)]
    sent.update((n + i, data) for i, data in enumerate(datagrams))
    s.setsockopt(socket.IPPROTO_UDP, 103, size if n % 20 else 0)  # UDP_SEGMENT
    for data in [b"".join(datagrams)] if n % 20 else datagrams:
        s.send(data)
    receive(n * 29 // 30 - 50)  # no queue overflows; some are lost
receive(2000)
late = sum(a > b for a, b in zip(order, order[1:]))
print(len(order), "came back,", late, "late")
sys.exit(not (1850 < len(set(order)) == len(order) < 2000 and late))
PY
    sed 's/socket.AF_INET,/socket.AF_INET6,/; s/"0.0.0.0"/"::"/' echo.py >echo6.py
    right python3 echo6.py 5000 ready &
    until_true [ -e ready ]
    ip netns exec right tcpdump -Uni tun22 -w packets 'udp or icmp or icmp6' 2>tcpdump.err &
    until_true grep listening tcpdump.err
    left python3 numbered.py 10.0.2.1
    left python3 numbered.py fd02::1
    kill $!
    wait $! || true
    tcpdump -nvvr packets >text 2>/dev/null
    [ "$(grep -c 'echo request' text)" -gt 3700 ] || fail "$(grep -c 'echo request' text) requests"
    ! grep -E 'UDP|(wrong|bad|incorrect) ([a-z0-9]+ )?cksum' text | head -3 | grep . || fail "not all is correct ICMP"
    stop TERM
SH
}

@test "a device without native XDP uses tc, and one of another type is refused" {
  hosts <<'SH'
    ip -n right link add m0 link s0 type macvlan mode bridge
    ip -n right address add 10.8.0.2/24 dev m0
    ip -n left address add 10.8.0.1/24 dev c0
    ip -n right link set m0 up
    right warren icmp serve --port 5000 --user alice --first any --dev m0 --xdp auto >ticket 2>err
    grep -q 'no XDP on m0: .*; tc is used' err || fail "$(cat err)"
    right warren icmp list >list
    grep -q 'checksum software: a macvlan sends through another device' list || fail "$(cat list)"
    echo_server 5000
    left warren icmp connect ticket
    sed -i 's/10.9.0.2/10.8.0.2/' ask.py
    until_true exchange 5000
    right warren icmp detach --dev m0
    right warren icmp remove --all
    left warren icmp remove --all
    left warren icmp detach
    # Only a tun can be told to be of another type.
    cat >other.py <<'PY'
import fcntl, struct, sys
tun = open("/dev/net/tun", "rb", buffering=0)
fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", b"other", 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
fcntl.ioctl(tun, 0x400454cd, 769)  # TUNSETLINK, ARPHRD_TUNNEL6
open("other", "w").close()
sys.stdin.read()
PY
    mkfifo forever
    right python3 other.py <forever &
    exec 9>forever
    until_true [ -e other ]
    ! right warren icmp serve --port 5000 --user alice --dev other --host h 2>err || fail "it attached"
    grep -q 'devices of type 769 are not supported; Ethernet, tun, WireGuard and PPP are' err || fail "$(cat err)"
    nothing_left
SH
}

@test "either side restarts, and the client's address changes" {
  hosts <<'SH'
    echo_server 5000
    right warren icmp serve --port 5000 --user alice --first any --dev s0 --tag 3fa2 >ticket
    left warren icmp connect ticket
    watch_wire right s0
    exchange 5000
    # The server forgets everything, and serves again.
    right warren icmp remove --all
    right warren icmp detach
    right warren icmp serve --port 5000 --user alice --first any --dev s0 --tag 3fa2 >ticket
    exchange 5000
    # The client, too.
    left warren icmp detach
    left warren icmp connect ticket
    exchange 5000
    # A socket stays, its address does not.
    cat >roaming.py <<'PY'
import socket, subprocess
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 40000))
s.settimeout(0.2)
def exchange(text):
    for _ in range(100):
        try:
            s.sendto(text, ("10.9.0.2", 5000))
            if s.recv(100) == text:
                return
        except (socket.timeout, OSError):
            pass
    raise SystemExit("no answer to %s" % text)
exchange(b"before")
for change in ("del 10.9.0.1/24", "add 10.9.0.77/24"):
    subprocess.run("ip address %s dev c0" % change, shell=True, check=True)
exchange(b"after")
# Down and up again.
for change in ("down", "up"):
    subprocess.run("ip link set c0 " + change, shell=True, check=True)
exchange(b"up again")
PY
    left python3 roaming.py
    right warren icmp list --json | jq -e '.users[0].sessions >= 3' || fail "$(right warren icmp list)"
    seen_on_wire | grep 'udp 0$' || fail "$(cat seen)"
SH
}

@test "stats --watch shows rates while something is carried" {
  hosts <<'SH'
    echo_server 5000
    right warren icmp serve --port 5000 --user alice --first any --dev s0 >ticket
    left warren icmp connect ticket
    ip netns exec right warren icmp stats --watch >text &
    ip netns exec right warren icmp stats --watch --json >json &
    while_carried() { exchange 5000; "$@"; }
    until_true while_carried eval "jq -se 'any(.[]; .users[0].rx_packets_per_second > 0 and .users[0].tx_bits_per_second > 0)' <json"
    until_true while_carried grep -E 'alice on 5000 .* [0-9.]+ k?bit/s +[0-9.]+ k?bit/s' text
    grep -q 'out rate' text || fail "$(cat text)"
SH
}

@test "what a kernel lacks is named, and nothing is left half done" {
  hosts <<'SH'
    cat >without.py <<'PY'
# without.py bpf|nftables COMMAND…: runs it where the kernel refuses that, as one that is built without it does.
import ctypes, os, platform, struct, sys
calls = {"x86_64": {"bpf": 321, "socket": 41}, "aarch64": {"bpf": 280, "socket": 198}}[platform.machine()]
load, equal, end = 0x20, 0x15, 0x06  # BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET
if sys.argv[1] == "bpf":
    code = [(load, 0, 0, 0), (equal, 0, 1, calls["bpf"]), (end, 0, 0, 0x50000 | 38)]  # ENOSYS
else:  # NETLINK_NETFILTER
    code = [(load, 0, 0, 0), (equal, 0, 5, calls["socket"]), (load, 0, 0, 16), (equal, 0, 3, 16), (load, 0, 0, 32),
            (equal, 0, 1, 12), (end, 0, 0, 0x50000 | 93)]  # EPROTONOSUPPORT
code.append((end, 0, 0, 0x7fff0000))
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
class Filter(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_void_p)]
filter = Filter(len(code), ctypes.addressof(program))
assert ctypes.CDLL(None).prctl(22, 2, ctypes.byref(filter), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
os.execvp(sys.argv[2], sys.argv[2:])
PY
    right python3 without.py bpf warren icmp serve --port 5000 --user alice --dev s0 2>err >out && fail "it ran"
    grep -q 'CONFIG_BPF_SYSCALL.*warren doctor.*warren icmp relay' err || fail "$(cat err)"
    left python3 without.py bpf warren icmp connect warren-icmp:10.9.0.2:5000/1 2>err && fail "it ran"
    grep -q 'CONFIG_BPF_SYSCALL' err || fail "$(cat err)"
    nothing_left
    right python3 without.py nftables warren icmp relay --serve --port 5000 --user alice 2>err --host h && fail "it ran"
    grep -q 'CONFIG_NETFILTER_NETLINK' err || fail "$(cat err)"
    # Without control groups it runs, and says what is missing.
    for group in $(awk '$3 == "cgroup2" { print $2 }' /proc/mounts); do umount -l "$group"; done
    right warren icmp serve --port 5000 --user alice --dev s0 >/dev/null
    right warren icmp list | grep 'not guarded: no cgroup v2 is mounted: a flow whose packets leave through a device that is not attached' ||
      fail "$(right warren icmp list)"
SH
}

@test "its units are such as systemd takes, and do what they say" {
  local packaging="$BATS_TEST_DIRNAME/../packaging"
  if command -v systemd-analyze >/dev/null; then
    local unit
    for unit in connect serve; do
      sed "s,@CMAKE_INSTALL_FULL_BINDIR@/warren,$WARREN," "$packaging/warren-icmp-$unit@.service.in" \
        >"$BATS_TEST_TMPDIR/warren-icmp-$unit@.service"
      run systemd-analyze verify --man=no "$BATS_TEST_TMPDIR/warren-icmp-$unit@.service"
      echo "$output"
      [ "$status" -eq 0 ]
      [[ "$output" != *warren-icmp* ]]
    done
  fi
  { echo "packaging='$packaging'"; cat <<'SH'; } | hosts
    echo_server 51820
    command_of() {  # UNIT KEY INSTANCE
      sed -n "s/^$2=//p" "$packaging/warren-icmp-$1@.service.in" |
        sed "s,@CMAKE_INSTALL_FULL_BINDIR@/,,; s/[$][$]/$/g; s,/etc/warren/%i,$PWD/$3,"
    }
    unit() { local host=$1; shift; INSTANCE=$3 ip netns exec $host bash -c "$(command_of "$@")"; }
    ip -n right route add default via 10.9.0.1
    unit right serve ExecStart 51820:alice:3fa2 >alice.ticket
    unit left connect ExecStart alice
    left warren icmp list | grep 'client of 10.9.0.2:51820 as alice, tag 3fa2' || fail "$(left warren icmp list)"
    unit left connect ExecStop alice
    unit right serve ExecStop 51820:alice:3fa2
    exchange 51820
SH
}
