# `warren up` and its companions as a user meets them. WARREN is the program.

bats_require_minimum_version 1.5.0
load machine.bash

@test "version and help" {
  run -0 "$WARREN" --version
  [[ "$output" == "warren "[0-9]* ]]
  for command in up status reload down doctor plan bench; do
    run -0 "$WARREN" "$command" --help
    [[ "$output" == *Examples:* ]]
  done
}

@test "mistakes on the command line end with status 2" {
  run -2 "$WARREN"
  run -2 "$WARREN" frobnicate
  [[ "$output" == *frobnicate* ]]
  run -2 "$WARREN" up
  [[ "$output" == *FILE* ]]
  run -2 "$WARREN" up x.toml --io smoke
  [[ "$output" == *io_uring* ]]
}

@test "check reads a file and does nothing" {
  cd "$BATS_TEST_TMPDIR"
  printf '[tun.a]\n' >good.toml
  run -0 "$WARREN" up good.toml --check
  [[ "$output" == *"1 nodes"* ]]
  printf '[tun.a]\nadress = []\nmtu = 1\n' >bad.toml
  run -1 "$WARREN" up bad.toml --check
  [[ "$output" == *'bad.toml:2:1: unknown key "adress" in [tun.a]; did you mean "address"?'* ]]
  [[ "$output" == *'bad.toml:3:7: mtu'* ]]
  run -1 "$WARREN" up absent.toml --check
  [[ "$output" == *"absent.toml: No such file or directory"* ]]
}

@test "what a file gets wrong is said before anything is made" {
  machine <<'SH'
    refused() {
      printf "$1" >bad.toml
      ! warren up bad.toml 2>err || fail "accepted: $1"
      grep -qF -- "$2" err || fail "expected '$2': $(cat err)"
      [ ! -e /mnt/run ] && [ "$(ls /sys/class/net | grep -c -v '^lo$')" -eq 0 ] || fail "left something: $1"
    }
    mount -t sysfs none /sys
    refused '[tun.a234567890123456]\n' 'too long'
    refused '[tun.a]\naddress = ["10.0.1.300/24"]\n' 'bad.toml:2:12: "10.0.1.300/24" is not an address'
    refused '[tun.a]\nmode = "tap"\nmac = "zz"\n' 'is not a MAC address'
    refused 'links = [["a", "c"]]\n[tun.a]\n' 'there is no node "c"; did you mean "a"?'
    refused 'links = [["a", "b"], ["b", "a"]]\n[tun.a]\n[tun.b]\n' 'is linked twice'
    refused '[tun.a\n' 'bad.toml:1:'
SH
}

@test "without privileges" {
  machine <<'SH'
    printf '[tun.a]\n' >a.toml
    mkdir -m 777 run
    ! setpriv --reuid=65534 --regid=65534 --clear-groups warren up a.toml 2>err || fail "it ran"
    grep -qE '(denied|not permitted).*as root' err || fail "$(cat err)"
    [ -z "$(ls run)" ] || fail "left: $(ls run)"
    rmdir run
    ! setpriv --reuid=65534 --regid=65534 --clear-groups warren up a.toml 2>err || fail "it ran"
    grep -q '/mnt/run (run as root, or set WARREN_RUN_DIR): Permission denied' err || fail "$(cat err)"
    start a.toml
    ! setpriv --reuid=65534 --regid=65534 --clear-groups warren down a 2>err || fail "it went down"
    grep -q 'run this as root' err || fail "$(cat err)"
SH
}

@test "with CAP_NET_ADMIN and nothing else, as the service has it" {
  machine <<'SH'
    printf '[tun.a]\naddress = ["10.0.1.1/24"]\n' >a.toml
    setpriv --bounding-set=-all,+net_admin --inh-caps=-all --no-new-privs warren up a.toml 2>log &
    pid=$!
    until_true eval "! kill -0 $pid || warren status a"
    ip address show dev a | grep 10.0.1.1/24 || fail "no device"
    grep -qi '^CapEff:.*0000000000001000' /proc/$pid/status || fail "it has other capabilities"
    warren down a
    wait $pid
SH
}

@test "without /dev/net/tun" {
  machine <<'SH'
    mount -t tmpfs none /dev/net
    printf '[tun.a]\n' >a.toml
    ! warren up a.toml 2>err || fail "it ran"
    grep -q '/dev/net/tun' err || fail "$(cat err)"
    [ -z "$(ls run)" ] || fail "left: $(ls run)"
    ! warren doctor >out || fail "doctor finds nothing wrong"
    grep -A2 'missing *TUN/TAP' out | grep 'modprobe tun' || fail "$(cat out)"
SH
}

@test "a name that a device has" {
  machine <<'SH'
    ip link add name taken type bridge
    printf '[tun.taken]\n' >a.toml
    ! warren up a.toml 2>err || fail "it ran"
    cat err
    grep -q '^error: .*taken' err || fail "$(cat err)"
    [ -z "$(ls run)" ] || fail "left: $(ls run)"
    ip link show taken type bridge
SH
}

@test "a name that an instance has" {
  machine <<'SH'
    write_home
    start home.toml
    ! warren up home.toml 2>err || fail "two of one name"
    grep -q "runs already, as process $pid" err || fail "$(cat err)"
    warren status home
SH
}

@test "packets cross, and status counts them" {
  machine <<'SH'
    write_home
    for backend in io_uring epoll; do
      if [ "$backend" = io_uring ] && warren doctor | grep 'missing *io_uring'; then continue; fi
      start home.toml --io $backend
      ping_across -c 3 -i 0.01
      warren status home --json >status.json
      jq -e ".backend == \"$backend\" and .pid == $pid" status.json
      jq -e '.links == [["tun11", "tun22"]]' status.json
      jq -e '[.nodes[].name] == ["tun11", "tun22"]' status.json
      jq -e '.nodes[0].ports[0] | .sent.packets >= 3 and .sent.bytes >= 252 and .received.packets >= 3' status.json
      warren status home | grep 'linked to tun22'
      warren status --json | jq -e 'length == 1'
      warren down home
      wait $pid
    done
SH
}

@test "SIGTERM and SIGINT leave nothing" {
  machine <<'SH'
    write_home
    for signal in TERM INT; do
      start home.toml
      ip -n left link show tun11
      stop $signal
      ! ip -n left link show tun11 || fail "the device is still there"
      ! ip -n right link show tun22 || fail "the device is still there"
      [ -z "$(ls run)" ] || fail "left: $(ls run)"
    done
SH
}

@test "down returns when everything is gone" {
  machine <<'SH'
    write_home
    start home.toml
    warren down
    ! ip -n left link show tun11 || fail "the device is still there"
    [ -z "$(ls run)" ] || fail "left: $(ls run)"
    wait $pid
    ! warren down 2>err || fail "nothing went down"
    grep -q 'no instance runs' err
    ! warren status home 2>err || fail "nothing has a status"
    grep -q 'no instance "home" runs' err
SH
}

@test "a killed process is replaced at once" {
  machine <<'SH'
    write_home
    for round in 1 2 3; do
      start home.toml
      kill -9 $pid
      wait $pid || true
      [ -e run/home.sock ] || fail "the test needs a socket that was left behind"
      [ "$(warren status --json)" = "[]" ] || fail "a dead instance is listed"
    done
    start home.toml
    grep -q 'did not end in order' log
    ping_across -c 1
    stop TERM
    [ -z "$(ls run)" ] || fail "left: $(ls run)"
SH
}

@test "down removes what a killed process left" {
  machine <<'SH'
    write_home
    start home.toml
    kill -9 $pid
    wait $pid || true
    warren down home
    [ -z "$(ls run)" ] || fail "left: $(ls run)"
    ! warren down home 2>err || fail "nothing went down"
    grep -q 'no instance "home" runs' err || fail "$(cat err)"
SH
}

@test "plan says what it takes for granted" {
  machine <<'SH'
    printf '[vxlan.vx8]\nvni = 8\nover = "wg7"\npeers = ["10.0.31.1"]\n' >far.toml
    warren plan far.toml | grep 'warning: wg7 is made by no section and not on this machine' >/dev/null
    warren plan far.toml --json | jq -e '.paths[0].warnings | any(contains("--wireguard wg7"))'
    warren plan far.toml --wireguard wg7 --json | jq -e '.paths[0].warnings | any(contains("--wireguard")) | not'
SH
}

@test "reload adds and removes without losing a packet of other links" {
  machine <<'SH'
    write_home
    start home.toml
    until_true ping_across -c 1
    cp home.toml small.toml
    { cat small.toml; printf '[tun.extra]\naddress = ["10.9.0.1/24"]\n'; } >large.toml
    ping_across -i 0.002 -c 1500 >ping.txt &
    ping=$!
    while kill -0 $ping 2>/dev/null; do
      cp large.toml home.toml
      warren reload home
      ip link show extra
      cp small.toml home.toml
      kill -HUP $pid
      until_true eval '! ip link show extra'
    done
    wait $ping || fail "$(cat ping.txt)"
    grep -q ' 0% packet loss' ping.txt || fail "$(cat ping.txt)"
SH
}

@test "reload of a bad file changes nothing and says why" {
  machine <<'SH'
    write_home
    start home.toml
    warren status home --json | jq '[.nodes[].name]' >before
    printf '[tun.tun11]\nmut = 1500\n' >home.toml
    ! warren reload home 2>err || fail "accepted"
    grep -q 'home.toml:2:1: unknown key "mut".*did you mean "mtu"' err || fail "$(cat err)"
    # One that only the kernel refuses, after half of it was made: extra is a bridge.
    ip link add name extra type bridge
    { printf 'links = [["tun11", "tun22"]]\n[tun.aaa]\n[tun.extra]\n'
      printf '[tun.tun11]\nnetns = "left"\naddress = ["10.0.1.1/24"]\nroutes = ["10.0.2.0/24"]\n'
      printf '[tun.tun22]\nnetns = "right"\naddress = ["10.0.2.1/24"]\nroutes = ["10.0.1.0/24"]\n'; } >home.toml
    ! warren reload home 2>err || fail "accepted"
    grep -q 'extra' err || fail "$(cat err)"
    ! ip link show aaa || fail "half of the new file stays"
    warren status home --json | jq '[.nodes[].name]' >after
    cmp before after
    ping_across -c 1
SH
}

@test "reload brings a device back that somebody deleted" {
  machine <<'SH'
    write_home
    for backend in io_uring epoll; do
      if [ "$backend" = io_uring ] && warren doctor | grep 'missing *io_uring'; then continue; fi
      start home.toml --io $backend
      until_true ping_across -c 1
      ip -n left link delete tun11
      until_true grep -q 'tun11: the device is gone' log
      warren status home --json | jq -e '.nodes[0].details | has("error")'
      warren reload home
      until_true ping_across -c 1
      stop TERM
      rm log
    done
SH
}

@test "two instances" {
  machine <<'SH'
    write_home
    printf '[tun.office]\n' >office.toml
    start home.toml
    first=$pid
    start office.toml
    warren status --json | jq -e '[.[].name] == ["home", "office"]'
    ! warren down 2>err || fail "which one?"
    grep -q 'several instances run: say which of home, office' err || fail "$(cat err)"
    warren down office
    wait $pid
    warren status home
    pid=$first
    stop TERM
SH
}

@test "super-packets are segmented for an impaired line" {
  machine <<'SH'
    write_home
    sed -i 's/^links.*/links = [["tun11", "line.a"], ["line.b", "tun22"]]/' home.toml
    printf '[impair.line]\ndelay = "5ms"\n' >>home.toml
    start home.toml
    until_true ping_across -c 1
    ping_across -c 20 -i 0.01 >ping.txt
    awk -F/ '/^rtt/ { if ($4 < 10) exit 1 }' ping.txt || fail "$(cat ping.txt)"
    ip netns exec right iperf3 -s -1 >server.txt &
    server=$!
    until_true eval "ip netns exec right ss -ltn | grep :5201"
    ip netns exec left iperf3 -c 10.0.2.1 -n 3M >client.txt || fail "$(cat client.txt)"
    wait $server
    warren status home --json | jq -e '[.nodes[].ports[] | .sent.dropped + .received.dropped] | add == 0'
SH
}

@test "the service manager is told" {
  machine <<'SH'
    write_home
    python3 -c '
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("notify")
open("ready", "w").close()
for i in range(4):
    print(s.recv(200).decode().split("\n")[0], flush=True)' >told &
    listener=$!
    until_true test -e ready
    NOTIFY_SOCKET=/mnt/notify start home.toml
    warren reload
    stop TERM
    wait $listener
    [ "$(tr "\n" " " <told)" = "READY=1 RELOADING=1 READY=1 STOPPING=1 " ] || fail "$(cat told)"
SH
}

@test "doctor" {
  machine <<'SH'
    warren doctor --json >doctor.json
    jq -e '.ready == true' doctor.json
    jq -e '[.checks[] | select(.name == "cgroup v2")] | length == 1' doctor.json
    jq -e '.checks | map(select(.name == "TUN/TAP"))[0] | .state == "ok" and .required' doctor.json
    jq -e 'all(.checks[]; .state as $s | ["ok", "missing", "restricted", "off"] | index($s) != null)' doctor.json
    jq -e '[.checks[].name] | index("iperf3") and index("BTF") and index("AF_XDP") and index("hugepages")' doctor.json
    PATH=/mnt:/nowhere warren doctor | grep -A2 'missing *iperf3' | grep 'apt install iperf3'
    ! setpriv --reuid=65534 --regid=65534 --clear-groups warren doctor >out || fail "nobody is ready"
    grep -q 'restricted *CAP_NET_ADMIN' out
SH
}
