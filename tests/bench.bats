# `warren bench` as a user meets it: WARREN is the program. Runs are short, because what is tested is not how fast.

bats_require_minimum_version 1.5.0

setup() {
  [ "$(id -u)" -eq 0 ] || skip "warren bench needs root"
  cd "$BATS_TEST_TMPDIR" || return
  short=(--duration 1 --warmup 0 --repeat 1 --out out)
}

# A scenario with rows that need no program; the arguments are appended to it.
write_scenario() {
  cat >small.toml <<'TOML'
title = "Small"
hosts = ["left", "right"]
[workload.tcp]
client = "left"
server = "right"
address = "10.0.0.2"
directions = ["forward"]
[wire.cable]
[[wire.cable.end]]
host = "left"
device = "eth0"
address = ["10.0.0.1/24"]
[[wire.cable.end]]
host = "right"
device = "eth0"
address = ["10.0.0.2/24"]
[[row]]
name = "cable"
wires = ["cable"]
[program.failing]
host = "left"
command = "sh -c 'echo the last words >&2; exit 7'"
TOML
  cat >>small.toml
}


await() {
  local i
  for ((i = 0; i < 1000; i++)); do
    if "$@"; then return 0; fi
    read -rt 0.01 <> <(:) || true
  done
  echo "still not: $*"
  return 1
}

# Whether `warren bench` $1 has a program in one of its hosts, and whether none of its hosts lives.
has_client() { [ -n "$(ps -eo ppid=,args= | awk -v p="$1" '$1 == p && /iperf3 --client/')" ]; }
all_dead() {
  local pid
  for pid in $1; do
    case "$(ps -o stat= -p "$pid")" in "" | Z*) ;; *) return 1 ;; esac
  done
}

@test "measures loopback and veth in both directions and writes what it found" {
  run --separate-stderr "$WARREN" bench tun "${short[@]}" --only loopback,veth --json results.json
  [ "$status" -eq 0 ]
  [[ "$output" == *"2 rows measured, 0 failed, 0 skipped. Report: out/report.html"* ]]
  [ "$(jq '.results | length' results.json)" -eq 4 ]
  jq -e 'all(.results[]; .gbps.median > 0 and .gbps.runs == [.gbps.median] and .congestion == "cubic"
         and .scenario == "tun" and .skipped == null and .system_cpu_percent > 0)' results.json
  jq -e '[.results[] | .direction] == ["forward", "reverse", "forward", "reverse"]' results.json
  jq -e '.machine.cores > 0 and (.machine.kernel | length > 0)' results.json
  jq -e '.results[0].raw[0].end.sum_received.bits_per_second > 0' results.json
  cmp results.json out/results.json
  grep -q 'Chart.js v' out/report.html
  [[ "$stderr" == *"left"* ]]
}

@test "runs a network file with warren up and measures what it spends" {
  run "$WARREN" bench tun "${short[@]}" --only up
  [ "$status" -eq 0 ]
  jq -e 'all(.results[]; .gbps.median > 0 and .cpu_percent.avg > 0 and .cpu_percent.max >= .cpu_percent.avg
         and .rss_mib.max > 0)' out/results.json
  jq -e '.results[0].commands[0] | test("^middle# .*warren up /run/up.toml$")' out/results.json
}

@test "runs a wire through the impairment node, TCP and UDP" {
  run "$WARREN" bench impaired "${short[@]}" --only narrow
  [ "$status" -eq 0 ]
  jq -e '[.results[].workload] == ["tcp", "tcp", "udp", "udp"]' out/results.json
  # A line of 20 Mbit/s carries no more, whatever is offered.
  jq -e 'all(.results[]; .gbps.median > 0 and .gbps.median < 0.0205)' out/results.json
  jq -e 'all(.results[2:][]; (.lost_percent.median | type) == "number" and .retransmits == null)' out/results.json
}

@test "measures UDP through a host that masquerades, round trips, and WireGuard" {
  local tool
  for tool in nft wg wireguard-go; do
    command -v "$tool" >/dev/null || skip "$tool is not installed: scripts/setup run"
  done
  run "$WARREN" bench icmp "${short[@]}" --only udp,udp+nat,wireguard-go
  [ "$status" -eq 0 ]
  jq -e 'all(.results[]; .failed == null and .skipped == null)' out/results.json
  jq -e '[.results[] | select(.row == "udp+nat")] | length == 2 and all(.relative_to == "udp" and .ratio > 0)' out/results.json
  jq -e '.results[] | select(.workload == "round-trip") | .gbps.median == null and .round_trip_us.median.median > 0' out/results.json
  jq -e 'all(.results[] | select(.workload | startswith("udp")); .packets_per_s.median > 0)' out/results.json
  jq -e '.results[] | select(.row == "wireguard-go" and .workload == "tcp" and .direction == "forward")
         | .gbps.median > 0 and .cpu_percent.avg > 0' out/results.json
  # Keys are named by the file that they are in.
  jq -e '.results[] | select(.row == "wireguard-go") | .commands | any(test("private-key /run/wireguard.key"))' out/results.json
}

@test "measures UDP and WireGuard inside ICMP, and leaves nothing of it behind" {
  local tool pins
  for tool in nft wg wireguard-go ip; do
    command -v "$tool" >/dev/null || skip "$tool is not installed: scripts/setup run"
  done
  pins="$(ls -R /sys/fs/bpf)"
  run "$WARREN" bench icmp "${short[@]}" --only udp/icmp,udp/icmp+nat+software,udp+nat66,udp/icmp+nat66+software,wireguard-go/icmp,relay
  [ "$status" -eq 0 ]
  jq -e 'all(.results[]; .failed == null and .skipped == null)' out/results.json
  jq -e '[.results[] | select(.gbps.median != null)] | length == 20 and all(.gbps.median > 0)' out/results.json
  jq -e '.results[0].commands | any(test("icmp serve --port 5201 .*--checksum balance"))' out/results.json
  # The ticket that one host printed is what the other was given.
  jq -e '.results[0].commands | any(test("icmp connect warren-icmp:bench@10.0.2.1:5201/[0-9a-f]{4} "))' out/results.json
  [ "$(ls -R /sys/fs/bpf)" = "$pins" ]
}

@test "measures WireGuard: rates, round trips under load, handshakes, many peers, a flood" {
  local tool
  for tool in wg wireguard-go ip; do
    command -v "$tool" >/dev/null || skip "$tool is not installed: scripts/setup run"
  done
  run "$WARREN" bench wireguard "${short[@]}" \
    --only direct,wireguard-go,wireguard-go+4flows,wireguard-go+ipv6,wireguard-go+loss1,wireguard-go+100peers,wireguard-go+idleflood,wireguard-go+flood,kernel
  [ "$status" -eq 0 ]
  jq -e 'all(.results[]; .failed == null)' out/results.json
  jq -e '[.results[] | select(.row != "kernel") | .skipped] | all(. == null)' out/results.json
  jq -e 'all(.results[] | select(.row == "kernel"); .gbps.median > 0 or (.skipped | contains("wireguard")))' out/results.json
  jq -e '.results[] | select(.row == "wireguard-go" and .workload == "ping") | .gbps.median == null and .round_trip_us.median.median > 0' out/results.json
  jq -e '.results[] | select(.row == "wireguard-go" and .workload == "ping-loaded")
         | .gbps.median > 0 and .round_trip_us.p99.median > 0 and .raw[0].answered > 0' out/results.json
  jq -e '.results[] | select(.row == "wireguard-go" and .workload == "handshakes")
         | .handshakes_per_s.median > 0 and .handshakes_per_core_s.median > 0 and .raw[0].answered > 0' out/results.json
  jq -e 'all(.results[] | select(.workload == "tcp"  and .skipped == null); .gbps.median > 0 and .cpu_per_gbps.median > 0)' out/results.json
  # Each variant is compared with what it is a variant of, and the flood with a flood.
  jq -e 'all(.results[] | select(.row == "wireguard-go+100peers"); .peers == 100 and .relative_to == "wireguard-go"
         and .ratio > 0 and (.rss_kib_per_peer | type) == "number")' out/results.json
  jq -e 'all(.results[] | select(.row == "wireguard-go+flood"); .relative_to == "wireguard-go+idleflood" and .ratio > 0)' out/results.json
  # The server knows them, and keys stay in files.
  jq -e '.results[] | select(.row == "wireguard-go+100peers") | .commands | any(test("peers=100")) and any(test("setconf wg0 /run/wg0.conf"))' out/results.json
}

@test "measures a portable router: DHCP through the tunnel, three packets out and two back, video over weak Wi-Fi" {
  local tool
  for tool in wg dnsmasq udhcpc; do
    command -v "$tool" >/dev/null || skip "$tool is not installed: scripts/setup run"
  done
  run "$WARREN" bench router "${short[@]}" --only vxlan-1500-transparent+home1370,vxlan-1370+wifi
  [ "$status" -eq 0 ]
  # ARP and the like come on top of what the echo requests take.
  jq -e '.results[] | select(.row == "vxlan-1500-transparent+home1370") | .packets.wire_out.median >= 3 and .packets.wire_out.median < 3.3
         and .packets.wire_back.median >= 2 and .packets.wire_back.median < 2.3 and .packets.fragments.median > 0' out/results.json
  jq -e '.results[] | select(.row == "vxlan-1370+wifi" and .workload == "video-60" and .direction == "forward")
         | .delay_us.median.median > 1500 and .delay_us.p99.median >= .delay_us.median.median and .jitter_ms.median > 0
         and .lost_percent.median > 0 and .packets.wire_out.median > 0' out/results.json
  jq -e 'all(.results[] | select(.workload == "tcp-bbr"); .congestion == "bbr" or (.skipped | contains("bbr")))' out/results.json
}

@test "floods no faster than it is asked to, and says what it needs" {
  run "$WARREN" bench-flood --to 127.0.0.1:9
  [ "$status" -eq 2 ]
  run "$WARREN" bench-flood --to 127.0.0.1:9 --public-key short
  [ "$status" -eq 1 ]
  [[ "$output" == *"--public-key is no key"* ]]
  # 3,000 datagrams at 5,000 a second take more than half a second.
  run unshare --net --pid --fork --kill-child bash -c "
    ip link set lo up
    '$WARREN' bench-flood --idle 127.0.0.1:9 &
    '$WARREN' bench-flood --to 127.0.0.1:9 --public-key AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= --rate 5000 &
    start=\$(date +%s%N)
    until [ \"\$(awk '\$1 == \"lo:\" { print \$3 }' /proc/net/dev)\" -ge 3000 ]; do :; done
    echo \$(( (\$(date +%s%N) - start) / 1000000 ))"
  [ "$status" -eq 0 ]
  [ "$output" -ge 500 ]
}

@test "shows a view of its own, and skips rows whose tools are not installed" {
  run "$WARREN" bench icmp "${short[@]}" --view seed-000 --peer wireguard-go=/no/such/program
  [ "$status" -eq 0 ]
  [[ "$output" == *"| direct "*"| send "*"| 0 % (base)"* ]]
  [[ "$output" == *"| wireguard-go "*"| not installed "* ]]
  run "$WARREN" bench icmp --view seed-00
  [ "$status" -eq 1 ]
  [[ "$output" == *'no view "seed-00"'*'"seed-000"'* ]]
}

@test "prints JSON alone on stdout for --json -" {
  write_scenario </dev/null
  "$WARREN" bench ./small.toml "${short[@]}" --json - 2>/dev/null | jq -e '.results[0].gbps.median > 0'
}

@test "takes a row of the user's own and lists peers that are not installed" {
  run "$WARREN" bench tun --list --row mine=/bin/true --peer theirs=/no/such/program
  [ "$status" -eq 0 ]
  [[ "$output" == *"mine "* ]]
  [[ "$output" == *"theirs "*"not installed: no program /no/such/program"* ]]
}

@test "measures the other rows when a child dies, and says its last words" {
  write_scenario <<'TOML'
[[row]]
name = "dead"
wires = ["cable"]
programs = ["failing"]
TOML
  run "$WARREN" bench ./small.toml "${short[@]}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"sh exited with status 7"*"the last words"* ]]
  [[ "$output" == *"1 rows measured, 1 failed"* ]]
  jq -e '.results[0].gbps.median > 0 and (.results[1].failed | contains("the last words"))' out/results.json
}

@test "counts a row as failed that fails with one workload of several" {
  write_scenario <<'TOML'
[workload.nowhere]
client = "left"
server = "right"
address = "10.0.0.9"
TOML
  run "$WARREN" bench ./small.toml "${short[@]}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"0 rows measured, 1 failed"* ]]
  [[ "$output" == *"small cable, nowhere: iperf3"* ]]
  jq -e '.results[0].gbps.median > 0 and .results[0].failed == null and .results[1].failed != null' out/results.json
}

@test "names the place and the nearest name of an unknown host" {
  write_scenario <<'TOML'
[[row]]
name = "typo"
server = "rigth"
TOML
  local line
  line="$(grep -n rigth small.toml | cut -d: -f1)"
  run "$WARREN" bench ./small.toml "${short[@]}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"small.toml:$line:10: "*'unknown host "rigth"'*'"right"'* ]]
  [ ! -e out/report.html ]
}

@test "names the nearest scenario and row" {
  run "$WARREN" bench tum
  [ "$status" -ne 0 ]
  [[ "$output" == *'unknown scenario "tum"'*'"tun"'* ]]
  run "$WARREN" bench tun --only loopbak
  [ "$status" -ne 0 ]
  [[ "$output" == *'no row "loopbak"'*'"loopback"'* ]]
}

@test "names the package of iperf3 when it is missing" {
  mkdir bin
  PATH="$PWD/bin" run "$WARREN" bench tun "${short[@]}" --only loopback
  [ "$status" -eq 1 ]
  [[ "$output" == *"apt-get install iperf3"* ]]
}

@test "names perf when flame graphs are asked for and it is missing" {
  mkdir bin
  ln -s "$(command -v iperf3)" bin/iperf3
  PATH="$PWD/bin" run "$WARREN" bench tun "${short[@]}" --only loopback --flamegraph
  [ "$status" -eq 1 ]
  [[ "$output" == *"apt-get install linux-perf"* ]]
}

@test "says how to get the privileges that it lacks" {
  run setpriv --reuid 65534 --clear-groups --inh-caps=-all "$WARREN" bench tun --only loopback
  [ "$status" -eq 1 ]
  [[ "$output" == *"run warren bench as root"* ]]
}

@test "reports a full disk and keeps the table" {
  write_scenario </dev/null
  run "$WARREN" bench ./small.toml "${short[@]}" --json /dev/full
  [ "$status" -eq 1 ]
  [[ "$output" == *"write /dev/full: No space left on device"* ]]
  [[ "$output" == *"cable "* ]]
}

@test "leaves the old report when the disk of --out is full" {
  write_scenario </dev/null
  # A mount namespace of the test's own, so that the small disk goes with it.
  run unshare --mount sh -c "
    mkdir full && mount -t tmpfs -o size=8k none full && echo old >full/report.html &&
    '$WARREN' bench ./small.toml --duration 1 --warmup 0 --repeat 1 --out full; status=\$?
    cat full/report.html; ls full; exit \$status"
  [ "$status" -eq 1 ]
  [[ "$output" == *"write full/report.html: No space left on device"* ]]
  [[ "$output" == *"old"* ]]
  [[ "$output" != *partial* ]]
}

@test "says before it measures that --out cannot be written" {
  touch file
  run "$WARREN" bench tun --only loopback --out file/folder
  [ "$status" -eq 1 ]
  [[ "$output" == *"file/folder: Not a directory"* ]]
}

@test "on Ctrl-C cleans up and reports what was measured" {
  write_scenario </dev/null
  "$WARREN" bench ./small.toml --duration 1 --warmup 0 --repeat 1000 --out out --json - >out.json 2>err 3>&- &
  local bench=$! status=0
  await grep -q '\[2/1000\]' err
  await has_client "$bench"
  local hosts
  hosts="$(pgrep -P "$bench")"
  kill -INT "$bench"
  wait "$bench" || status=$?
  [ "$status" -eq 130 ]
  all_dead "$hosts"
  grep -q "Interrupted: 1 rows measured" err
  jq -e '.scenarios[0].interrupted and .results[0].gbps.median > 0' out.json
}

@test "leaves nothing behind even when it is killed" {
  write_scenario </dev/null
  "$WARREN" bench ./small.toml --duration 60 --repeat 1 --out out >/dev/null 2>&1 3>&- &
  local bench=$! children
  await has_client "$bench"
  children="$(pgrep -P "$bench")"
  [ -n "$children" ]
  kill -KILL "$bench"
  wait "$bench" || true
  await all_dead "$children"
  [ ! -e out/report.html ]
}
