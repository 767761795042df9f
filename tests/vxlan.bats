# VXLAN with the engine in userspace, between hosts a, b and c on one line, and with the kernel's. WARREN is the program.
#
#   10.7.0.1 vx8 a ── 192.0.2.1, 2001:db8::1 ─┐
#   10.7.0.2 vx8 b ── 192.0.2.2, 2001:db8::2 ─┼─ line (a bridge)
#   10.7.0.3 vx8 c ── 192.0.2.3, 2001:db8::3 ─┘

bats_require_minimum_version 1.5.0
load machine.bash

# shellcheck disable=SC2016
hosts='
  ip link add line type bridge
  ip link set line up
  number=0
  for host in a b c; do
    number=$((number + 1))
    ip netns add $host
    ip netns exec $host sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
    ip link add line-$host type veth peer name eth0 netns $host
    ip link set line-$host master line up
    ip -n $host link set lo up
    ip -n $host link set eth0 up
    ip -n $host address add 192.0.2.$number/24 dev eth0
    ip -n $host address add 2001:db8::$number/64 dev eth0
  done
  a() { ip netns exec a "$@"; }
  b() { ip netns exec b "$@"; }
  c() { ip netns exec c "$@"; }
  # write_vxlan HOST NUMBER PEERS LINES…: HOST.toml
  write_vxlan() {
    local host="$1" number="$2" peers="$3"
    shift 3
    printf "[vxlan.vx8]\nvni = 8\nengine = \"user\"\npeers = [%s]\naddress = [\"10.7.0.%s/24\"]\n" "$peers" "$number" >$host.toml
    printf "%s\n" "$@" >>$host.toml
  }
  # run_on HOST: its file, as start(). Its process is in $pid_HOST.
  run_on() {
    ip netns exec "$1" bash -c "mkdir -p /run/wireguard; mount -t tmpfs none /run/wireguard; exec warren up $1.toml" 2>>/mnt/log &
    declare -g "pid_$1=$!"
    until_true eval "! kill -0 $! || warren status $1"
    kill -0 $! || fail "warren up $1.toml ended"
  }
  stop_on() {
    local pid="pid_$1"
    kill -TERM "${!pid}"
    wait "${!pid}"
  }
  # kernel_vxlan HOST NUMBER REMOTE: the same network with a device of the kernel.
  kernel_vxlan() {
    ip -n "$1" link add vx8 type vxlan id 8 dstport 4789 remote "$3" 2>/mnt/why || { cat /mnt/why; echo "# skip: no VXLAN"; exit 0; }
    ip -n "$1" address add "10.7.0.$2/24" dev vx8
    ip -n "$1" link set vx8 up
  }
  detail() { warren status "$1" --json | jq -r --arg node "$2" --arg key "$3" ".nodes[] | select(.name == \$node) | .details[\$key]"; }
  counter() { warren status "$1" --json | jq -r ".nodes[] | select(.name == \"$2\") | .ports[] | select(.name == \"$3\") | .$4"; }
  # transfer FROM TO ADDRESS: 50 megabytes each way. A server of its own for each, since one that goes on is deaf in between.
  iperf_port=5201
  transfer() {
    local direction
    for direction in "" -R; do
      iperf_port=$((iperf_port + 1))
      ip netns exec "$2" iperf3 -s -1 -D -p $iperf_port >/dev/null
      until_true ip netns exec "$1" timeout 15 iperf3 -c "$3" -p $iperf_port -n 50M --connect-timeout 1000 $direction
    done
  }
'

@test "two hosts, over IPv4 and over IPv6" {
  machine <<SH
    $hosts
    for family in 192.0.2. 2001:db8::; do
      write_vxlan a 1 "\"\${family}2\"" 'mac = "12:0a:f7:78:24:b0"'
      write_vxlan b 2 "\"\${family}1\"" 'mtu = "transparent"'
      run_on a
      run_on b
      until_true a ping -q -c 1 -W 1 10.7.0.2
      a ping -q -c 3 -i 0.05 -s 20000 10.7.0.2
      transfer a b 10.7.0.2
      ip -n a link show vx8 | grep 12:0a:f7:78:24:b0 >/dev/null
      # 1500 less the headers that are put around a frame; or all of it.
      [ "\$(cat /proc/\$pid_a/net/dev | grep -c vx8)" = 1 ] || fail "no device"
      overhead=50; [ "\$family" = 192.0.2. ] || overhead=70
      ip -n a link show vx8 | grep "mtu \$((1500 - overhead)) " >/dev/null || fail "\$(ip -n a link show vx8)"
      ip -n b link show vx8 | grep "mtu 1500 " >/dev/null || fail "\$(ip -n b link show vx8)"
      detail a vx8 "peer \${family}2" | grep "received, 1 addresses" >/dev/null
      stop_on a
      stop_on b
      [ -z "\$(ip -n a -o link show type tun)" ] || fail "a device is left"
    done
SH
}

@test "the kernel's VXLAN is understood, and understands it" {
  machine <<SH
    $hosts
    for family in 192.0.2. 2001:db8::; do
      write_vxlan a 1 "\"\${family}2\""
      run_on a
      kernel_vxlan b 2 "\${family}1"
      until_true a ping -q -c 1 -W 1 10.7.0.2
      b ping -q -c 3 -i 0.05 -s 20000 10.7.0.1
      transfer a b 10.7.0.2
      stop_on a
      ip -n b link delete vx8
    done
SH
}

@test "peers come and go while the others go on" {
  machine <<SH
    $hosts
    write_vxlan a 1 '"192.0.2.2"'
    write_vxlan b 2 '"192.0.2.1", "192.0.2.3"'
    write_vxlan c 3 '"192.0.2.1", "192.0.2.2"'
    for host in a b c; do run_on \$host; done
    until_true a ping -q -c 1 -W 1 10.7.0.2
    b ping -q -c 1 -W 1 10.7.0.3
    ! a ping -q -c 1 -W 1 10.7.0.3 || fail "a knows c, which is not among its peers"
    index="\$(cat /proc/\$pid_a/root/dev/null; ip -n a -o link show vx8 | cut -d: -f1)"
    a ping -q -i 0.002 -c 2000 10.7.0.2 >ping.txt &
    ping=\$!
    for round in 1 2 3; do
      write_vxlan a 1 '"192.0.2.2", "192.0.2.3"'
      warren reload a
      until_true a ping -q -c 1 -W 1 10.7.0.3
      write_vxlan a 1 '"192.0.2.2"'
      warren reload a
    done
    wait \$ping
    grep " 0% packet loss" ping.txt >/dev/null || fail "\$(cat ping.txt)"
    [ "\$(ip -n a -o link show vx8 | cut -d: -f1)" = "\$index" ] || fail "the device was made anew"
    # From one engine to the other and back, under the same name.
    sed -i 's/"user"/"kernel"/' a.toml
    warren reload a
    until_true a ping -q -c 1 -W 1 10.7.0.2
    ip -n a -d link show vx8 | grep "vxlan id 8" >/dev/null
    sed -i 's/"kernel"/"user"/' a.toml
    warren reload a
    until_true a ping -q -c 1 -W 1 10.7.0.2
    for host in a b c; do stop_on \$host; done
SH
}

@test "two networks share a port, and a switch joins hosts to one of them" {
  machine <<SH
    $hosts
    ip netns add h1
    ip netns add h2
    cat >a.toml <<TOML
links = [["t1", "lan.one"], ["t2", "lan.two"], ["vx8", "lan.out"]]
[tun.t1]
mode = "tap"
netns = "h1"
address = ["10.7.0.11/24"]
[tun.t2]
mode = "tap"
netns = "h2"
address = ["10.7.0.12/24"]
[switch.lan]
ports = ["one", "two", "out"]
[vxlan.vx8]
vni = 8
peers = ["192.0.2.2"]
[vxlan.vx9]
vni = 9
engine = "user"
peers = ["192.0.2.2"]
address = ["10.9.0.1/24"]
TOML
    write_vxlan b 2 '"192.0.2.1"' '[vxlan.vx9]' 'vni = 9' 'engine = "user"' 'peers = ["192.0.2.1"]' 'address = ["10.9.0.2/24"]'
    run_on a
    run_on b
    until_true ip netns exec h1 ping -q -c 1 -W 1 10.7.0.2
    ip netns exec h2 ping -q -c 1 10.7.0.11
    a ping -q -c 1 10.9.0.2
    transfer h2 b 10.7.0.2
    [ "\$(detail b vx8 'peer 192.0.2.1' | grep -o '[0-9]* addresses')" = "2 addresses" ]
    [ "\$(counter a lan out sent.packets)" -gt 100 ]
    stop_on a
    stop_on b
SH
}

# Hosts a and b with wg0, 10.8.0.1 and 10.8.0.2, as a.toml and b.toml. The rest of the files is on stdin.
# shellcheck disable=SC2016
wireguard='
  umask 077
  for host in a b; do
    printf "[wireguard.wg0]\nprivate-key-file = \"/mnt/$host.key\"\n" >$host.wg
    wg genkey | tee $host.key | wg pubkey >$host.pub
  done
  printf "listen = 51820\naddress = [\"10.8.0.1/24\", \"fd08::1/64\"]\n[[wireguard.wg0.peer]]\npublic-key = \"%s\"\nallowed-ips = [\"10.8.0.2/32\", \"fd08::2/128\"]\n" "$(cat b.pub)" >>a.wg
  printf "address = [\"10.8.0.2/24\", \"fd08::2/64\"]\n[[wireguard.wg0.peer]]\npublic-key = \"%s\"\nendpoint = \"192.0.2.1:51820\"\nallowed-ips = [\"10.8.0.1/32\", \"fd08::1/128\"]\nkeepalive = 1\n" "$(cat a.pub)" >>b.wg
  # write_over HOST NUMBER PEER LINES…
  write_over() {
    local host="$1" number="$2" peer="$3"
    shift 3
    cat $host.wg >$host.toml
    printf "[vxlan.vx8]\nvni = 8\nover = \"wg0\"\npeers = [\"%s\"]\naddress = [\"10.7.0.%s/24\"]\n" "$peer" "$number" >>$host.toml
    printf "%s\n" "$@" >>$host.toml
  }
'

@test "over our own WireGuard it takes no trip through the kernel" {
  machine <<SH
    $hosts
    $wireguard
    for family in 10.8.0. fd08::; do
      write_over a 1 "\${family}2"
      write_over b 2 "\${family}1"
      run_on a
      run_on b
      until_true a ping -q -c 1 -W 1 10.7.0.2
      device="\$(a cat /sys/class/net/wg0/statistics/tx_packets)"
      transfer a b 10.7.0.2
      [ "\$(a cat /sys/class/net/wg0/statistics/tx_packets)" -lt \$((device + 50)) ] || fail "messages pass the kernel"
      # Super-packets reach WireGuard whole.
      packets="\$(counter a wg0 vx8 received.packets)" bytes="\$(counter a wg0 vx8 received.bytes)"
      [ \$((bytes / packets)) -gt 3000 ] || fail "\$bytes bytes in \$packets packets"
      stop_on a
      stop_on b
    done
SH
}

@test "over WireGuard either end may use the kernel, and large frames are fragmented" {
  machine <<SH
    $hosts
    $wireguard
    for engine in kernel user; do
      for family in 10.8.0. fd08::; do
        write_over a 1 "\${family}2" 'mtu = "transparent"' 'engine = "user"'
        write_over b 2 "\${family}1" 'mtu = "transparent"' "engine = \"\$engine\""
        run_on a
        run_on b
        until_true a ping -q -c 1 -W 1 10.7.0.2
        # Who forbids fragments is told; who does not, is not.
        ip -n a route flush cache
        a ping -c 3 -i 0.05 -s 1472 -M dont 10.7.0.2
        b ping -q -c 3 -i 0.05 -s 20000 10.7.0.1
        transfer a b 10.7.0.2
        stop_on a
        stop_on b
      done
    done
SH
}

@test "WireGuard goes on when a VXLAN over it comes, changes and goes" {
  machine <<SH
    $hosts
    $wireguard
    # Either may begin: who lost its keys is not waited for.
    echo 'endpoint = "192.0.2.2:51820"' >>a.wg
    sed -i 's/^\[\[/listen = 51820\n&/' b.wg
    write_over a 1 10.8.0.2
    write_over b 2 10.8.0.1
    cp a.toml with.toml
    cp a.wg a.toml
    run_on a
    run_on b
    until_true a ping -q -c 1 -W 1 10.8.0.2
    a ping -q -i 0.002 -c 1500 10.8.0.2 >ping.txt &
    ping=\$!
    for round in 1 2; do
      cp with.toml a.toml
      warren reload a
      until_true a ping -q -c 1 -W 1 10.7.0.2
      sed 's/vni = 8/vni = 9/' with.toml >a.toml
      warren reload a
      ! a ping -q -c 1 -W 1 10.7.0.2 || fail "another network answers"
      cp a.wg a.toml
      warren reload a
    done
    wait \$ping
    grep " 0% packet loss" ping.txt >/dev/null || fail "\$(cat ping.txt)"
    # A device that is gone is made anew, and linked again.
    cp with.toml a.toml
    warren reload a
    until_true a ping -q -c 1 -W 1 10.7.0.2
    ip -n a link delete wg0
    warren reload a
    until_true a ping -q -c 1 -W 1 10.7.0.2
    ip -n a link delete vx8
    warren reload a
    until_true a ping -q -c 1 -W 1 10.7.0.2
    stop_on a
    stop_on b
SH
}

@test "what is wrong with a VXLAN is said before anything changes" {
  machine <<SH
    $hosts
    refused() {
      printf "\$1" >a.toml
      a warren up a.toml 2>err && fail "this was taken: \$1"
      grep -F "\$2" err >/dev/null || fail "\$(cat err)"
      [ -z "\$(ip -n a -o link show type tun)" ] || fail "it left a device"
    }
    refused '[vxlan.vx8]\nvni = 8\nengine = "user"\npeers = ["192.0.2.2", "192.0.2.1"]\n' 'a.toml:4:9: the peer 192.0.2.1 is this host itself'
    refused '[vxlan.vx8]\nvni = 8\nengine = "user"\npeers = ["192.0.2.2", "2001:db8::2"]\n' 'a.toml:4:23: the peer 2001:db8::2 is IPv6'
    refused '[vxlan.vx8]\nvni = 8\nengine = "user"\n[vxlan.vx9]\nvni = 8\nengine = "user"\n' 'a.toml:4:1: VNI 8'
    refused '[vxlan.vx8]\nvni = 8\nengine = "user"\nmtu = 1200\naddress = ["fd00::1/64"]\n' 'a.toml:4:7: mtu is 1200'
    refused '[vxlan.vx8]\nvni = 8\ndscp = 64\n' 'a.toml:3:8: dscp is "64"; it must be a number up to 63'
    refused 'links = [["vx8", "lan.b"]]\n[switch.lan]\nports = ["a"]\n[vxlan.vx8]\nvni = 8\n' 'a.toml:1:18: link to "lan.b": say which port'
    ip -n a link add other type vxlan id 99 dstport 4789
    ip -n a link set other up
    refused '[vxlan.vx8]\nvni = 8\nengine = "user"\n' 'listen on UDP'
SH
}

# A router on the way marks what could be marked, and drops nothing.
@test "congestion marks go through a tunnel and come back inwards, and so does the class that is to be inherited" {
  machine <<SH
    $hosts
    command -v tcpdump >/dev/null || { echo "needs tcpdump: scripts/setup run test" >&2; exit 1; }
    pings() { a ping -q -c 3 -i 0.05 -W 1 -Q \$1 10.7.0.2; }
    # watch HOST DEVICE FILE FILTER, until stop_watching
    watch() {
      rm -f err
      ip netns exec \$1 tcpdump --immediate-mode -Uni \$2 -w \$3 "\$4" 2>err &
      watcher=\$!
      until_true grep listening err
    }
    stop_watching() { kill \$watcher; wait \$watcher || true; }
    shows() { tcpdump -vnr \$1 2>/dev/null | grep -E "\$2"; }
    for engines in "user user" "user kernel" "kernel user"; do
      set -- \$engines
      for family in 192.0.2. 2001:db8::; do
        write_vxlan a 1 "\"\${family}2\"" 'dscp = "inherit"'
        write_vxlan b 2 "\"\${family}1\""
        sed -i "s/\"user\"/\"\$1\"/" a.toml
        sed -i "s/\"user\"/\"\$2\"/" b.toml
        run_on a
        run_on b
        until_true a ping -q -c 1 -W 1 10.7.0.2
        watch b eth0 outer 'udp port 4789 and len > 120'
        pings 0xba
        until_true shows outer 'tos 0xba,ECT\(0\)|class 0xba'
        # The answer has the same class, and b's tunnel hides it, but for what says that it may be marked.
        until_true shows outer 'tos 0x2,ECT\(0\)|class 0x02'
        stop_watching
        b nft -f - <<'NFT'
table netdev congested {
  chain way {
    type filter hook ingress device eth0 priority 0;
    ip ecn set ce
    ip6 ecn set ce
  }
}
NFT
        watch b vx8 inner 'icmp[icmptype] == icmp-echo'
        pings 0xba
        # Who does not know marks loses the packet, as without a tunnel.
        ! pings 0xb8 || fail "\$engines \$family: congestion went unnoticed"
        until_true shows inner 'tos 0xbb,CE'
        stop_watching
        ! shows inner 'tos 0xb8' || fail "\$engines \$family: a packet of who knows no marks came"
        [ \$2 = kernel ] || [ "\$(detail b vx8 'messages dropped, congested')" -ge 3 ] || fail "not counted"
        b nft delete table netdev congested
        stop_on a
        stop_on b
      done
    done
SH
}
