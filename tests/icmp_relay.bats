# `warren icmp relay` as a user meets it. WARREN is the program.

bats_require_minimum_version 1.5.0
load machine.bash

# Two hosts, left and right, with a wire between them and a service on the right that answers in capitals.
prepare='
ip netns add left
ip netns add right
ip link add name wl netns left type veth peer name wr netns right
for side in left right; do ip -n $side link set lo up; done
ip -n left address add 10.7.0.1/24 dev wl
ip -n left address add fd07::1/64 dev wl nodad
ip -n right address add 10.7.0.2/24 dev wr
ip -n right address add fd07::2/64 dev wr nodad
ip -n left link set wl up
ip -n right link set wr up
on() { local side=$1; shift; nsenter --net=/run/netns/$side "$@"; }

cat >service.py <<PY
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 51820))
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data.upper(), peer)
PY
cat >ask.py <<PY
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.sendto(sys.argv[1].encode(), ("127.0.0.1", 51820))
assert s.recv(65536) == sys.argv[1].upper().encode()
PY
nsenter --net=/run/netns/right python3 service.py &
service=$!
ask() { on left python3 ask.py "$@"; }
serve() {  # OPTION...
  nsenter --net=/run/netns/right warren icmp relay --serve --port 51820 --user alice "$@" >server.out 2>>log &
  server=$!
  until_true test -s server.out
}
connect() {  # OPTION...
  nsenter --net=/run/netns/left warren icmp relay "$@" >client.out 2>>log &
  client=$!
}
'

@test "relay carries UDP and prints a ticket and counters" {
  { echo "$prepare"; cat <<'SH'
    serve --first any --tag 3fa2 --host 10.7.0.2
    [ "$(cat server.out)" = warren-icmp:alice@10.7.0.2:51820/3fa2 ] || fail "$(cat server.out)"
    cp server.out ticket
    connect ticket
    until_true ask hello
    for process in $server $client; do
      grep -q '^CapPrm:.0*$' /proc/$process/status || fail "has capabilities"
      grep -q '^CapEff:.0*$' /proc/$process/status || fail "has capabilities"
      grep -q '^Uid:.65534' /proc/$process/status || fail "is still root"
    done
    on left ping -qc3 -i0.1 10.7.0.2
    kill -USR1 $client
    until_true grep -q 'opened' client.out
    for process in $client $server; do
      kill $process
      wait $process || fail "ended with $?"
    done
    grep -q 'in_packets' server.out || fail "no counters: $(cat server.out)"
SH
  } | machine
}

@test "relay may stay behind the firewall" {
  { echo "$prepare"; cat <<'SH'
    on right nft -f - <<'NFT'
    table inet strict {
      chain in { type filter hook input priority filter; icmp type echo-request drop; }
    }
NFT
    serve --first any --tag 3fa2 --host 10.7.0.2 --no-ring
    connect "$(cat server.out)"
    ask hello && fail "passed the firewall"
    on right nft delete table inet strict
    until_true ask hello
    kill $server
    wait $server
    grep -q ' ring ' server.out && fail "there was a ring: $(cat server.out)"
    rm server.out
    serve --first any --tag 3fa2 --host 10.7.0.2
    until_true ask hello
    kill $server
    wait $server
    grep -q ' ring ' server.out || fail "no ring: $(cat server.out)"
SH
  } | machine
}

@test "relay over IPv6 and by name prints JSON" {
  { echo "$prepare"; cat <<'SH'
    cp /etc/hosts hosts
    echo 'fd07::2 server.test' >>hosts
    mount --bind hosts /etc/hosts
    serve --first any --json --host server.test
    ticket="$(jq -r .ticket server.out)"
    [ "$(jq -r .user server.out)" = alice ]
    connect "$ticket" --json
    until_true ask hello
    kill $client $server
    wait $client
    wait $server
    tail -n1 server.out | jq -e '.opened >= 1 and .conversations >= 1 and .damaged == 0' || fail "$(cat server.out)"
    tail -n1 client.out | jq -e '.in_packets >= 1 and .out_packets >= .in_packets' || fail "$(cat client.out)"
SH
  } | machine
}

@test "relay that is killed leaves pings answered and starts again" {
  { echo "$prepare"; cat <<'SH'
    serve --first any --tag 3fa2 --host 10.7.0.2
    connect "$(cat server.out)"
    until_true ask hello
    on right nft list tables | grep warren-relay || fail "no table"
    kill -9 $server
    wait $server || true
    [ -z "$(on right nft list tables)" ] || fail "left a table"
    on left ping -qc3 -i0.1 10.7.0.2
    rm server.out
    serve --first any --tag 3fa2 --host 10.7.0.2
    until_true ask again
SH
  } | machine
}

@test "relay speaks with the carrier in the kernel" {
  { echo "$prepare"; cat <<'SH'
    # Nothing is mounted there in a new machine; the state of each host is its own.
    mount -t bpf none /sys/fs/bpf
    on right warren icmp serve --port 51820 --user alice --tag 3fa2 --first any --host 10.7.0.2 --dev wr || fail "serve"
    sed -i 's/"127.0.0.1", 51820/"10.7.0.2", 51820/' service.py
    kill $service
    wait $service || true
    nsenter --net=/run/netns/right python3 service.py &
    connect warren-icmp:alice@10.7.0.2:51820/3fa2
    until_true ask hello
    kill $client
    wait $client
    on right warren icmp detach

    # And the other way round.
    serve --first any --tag 3fa2 --host 10.7.0.2 --to 10.7.0.2:51820
    on left warren icmp connect warren-icmp:alice@10.7.0.2:51820/3fa2 --dev wl || fail "connect"
    sed -i 's/"127.0.0.1", 51820/"10.7.0.2", 51820/' ask.py
    until_true ask hello
    on left warren icmp detach
    kill $server
    wait $server
    [ "$(tail -n1 server.out | grep -c 'opened')" -eq 1 ] || fail "nothing came through the relay: $(cat server.out)"
SH
  } | machine
}

@test "mistakes of the relay are named" {
  { echo "$prepare"; cat <<'SH'
    refused() {  # STATUS TEXT OPTION...
      local status=$1 text=$2 got=0
      shift 2
      on right warren icmp relay "$@" >out 2>err || got=$?
      [ $got -eq "$status" ] || fail "status $got: $*"
      grep -qF -- "$text" err || fail "expected '$text': $(cat err)"
      [ -z "$(on right nft list tables)" ] || fail "left a table: $*"
    }
    refused 2 'TICKET'
    refused 1 'not-a-ticket' not-a-ticket
    refused 2 '--serve needs --port and --user, or tickets' --serve
    refused 2 '--port is said by the tickets' --serve --port 1 warren-icmp:10.7.0.2:51820/3fa2
    refused 2 'one TICKET at a time' warren-icmp:10.7.0.2:51820/3fa2 warren-icmp:10.7.0.2:51820/1
    refused 1 'two users have the tag 3fa2' --serve warren-icmp:10.7.0.2:51820/3fa2 warren-icmp:10.7.0.2:443/3fa2
    refused 1 '--user alice is given twice' --serve --port 1 --user alice --user alice --host h
    refused 1 'one tag is for one user' --serve --port 1 --user alice --user bob --tag 1 --host h
    refused 1 'is neither a ticket' --serve absent.ticket
    refused 2 '--port is for the server' --port 1 warren-icmp:10.7.0.2:51820/3fa2
    refused 2 '--listen is for the client' --serve --listen 127.0.0.1:1
    refused 1 '--port' --serve --port 70000 --user alice --host h
    refused 1 '--tag' --serve --port 1 --user alice --host h --tag ffff
    refused 1 '--from' --serve --port 1 --user alice --host h --from nowhere
    refused 1 '--to' --serve --port 1 --user alice --host h --to nowhere
    refused 1 '--user' --serve --port 1 --user 'a b' --host h
    refused 1 '--uid' --serve --port 1 --user alice --host h --profile tutu --uid 300
    refused 1 'say with --host' --serve --port 1 --user alice
    refused 1 'another program has the port' --listen 127.0.0.1:51820 warren-icmp:10.7.0.2:51820/3fa2
    refused 1 '--idle' --idle never warren-icmp:10.7.0.2:51820/3fa2
    # Without privileges it says which ones.
    chmod 755 /mnt/warren
    setpriv --reuid 65534 --clear-groups /mnt/warren icmp relay warren-icmp:10.7.0.2:51820/3fa2 2>err && fail "ran"
    grep -q CAP_NET_RAW err || fail "$(cat err)"
    setpriv --reuid 65534 --clear-groups /mnt/warren icmp relay --serve --port 1 --user a --host h 2>err && fail "ran"
    grep -q CAP_NET_ADMIN err || fail "$(cat err)"
SH
  } | machine
}

@test "relay serves several users, and tickets again that it has printed" {
  { echo "$prepare"; cat <<'SH'
    serve --first any --host 10.7.0.2 --user bob
    until_true eval '[ "$(wc -l <server.out)" -eq 2 ]'
    kill $server
    wait $server
    grep -oE 'warren-icmp:alice@10.7.0.2:51820/[0-9a-f]{4}' server.out >alice.ticket || fail "$(cat server.out)"
    # Bob's service has another port.
    grep -oE 'warren-icmp:bob@10.7.0.2:51820/[0-9a-f]{4}' server.out | sed s/51820/51821/ >bob.ticket
    sed 's/51820/51821/; s/upper/title/' service.py >other.py
    nsenter --net=/run/netns/right python3 other.py &
    nsenter --net=/run/netns/right warren icmp relay --serve --first any alice.ticket bob.ticket >again.out 2>>log &
    server=$!
    until_true eval 'cat alice.ticket bob.ticket | diff - again.out'
    connect alice.ticket
    sed 's/51820/51822/; s/upper/title/' ask.py >ask_bob.py
    nsenter --net=/run/netns/left warren icmp relay --listen 127.0.0.1:51822 bob.ticket >bob.out 2>>log &
    bob=$!
    until_true ask hello
    until_true on left python3 ask_bob.py hello
    on right nft list ruleset >rules || fail "nft cannot list the rules: $(cat rules)"
    on left ping -qc3 -i0.1 10.7.0.2
    kill $server $client $bob
    wait $server $client $bob
SH
  } | machine
}

@test "relay crosses a host that translates addresses" {
  { echo "$prepare"; cat <<'SH'
    # Another client, far, behind left, which translates for it and also has a client of its own.
    ip netns add far
    ip -n far link set lo up
    ip link add name wf netns far type veth peer name wn netns left
    ip -n far address add 10.8.0.1/24 dev wf
    ip -n far address add fd08::1/64 dev wf nodad
    ip -n left address add 10.8.0.2/24 dev wn
    ip -n left address add fd08::2/64 dev wn nodad
    ip -n far link set wf up
    ip -n left link set wn up
    ip -n far route add default via 10.8.0.2
    ip -n far route add default via fd08::2
    on left sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
    on left nft -f - <<'NFT'
    table inet nat {
      chain out { type nat hook postrouting priority srcnat; oifname "wl" masquerade; }
    }
NFT
    serve --first any --tag 3fa2 --host 10.7.0.2
    for host in 10.7.0.2 '[fd07::2]'; do
      connect "warren-icmp:alice@$host:51820/3fa2"
      nsenter --net=/run/netns/far warren icmp relay "warren-icmp:alice@$host:51820/3fa2" >far.out 2>>log &
      far=$!
      until_true ask here
      until_true on far python3 ask.py there
      on far ping -qc2 -i0.1 10.7.0.2
      kill $client $far
      wait $client
      wait $far
      grep -q 'in_packets' far.out || fail "$(cat far.out)"
    done
    kill $server
    wait $server
    grep -q damaged server.out && fail "$(cat server.out)"
    true
SH
  } | machine
}
