# The switch node between real hosts: TAP devices in namespaces of their own. WARREN is the program.

bats_require_minimum_version 1.5.0
load machine.bash

# Hosts a, b, c on a switch: 10.0.0.1, .2, .3. What stands on stdin is added to its section.
# shellcheck disable=SC2016
lan='
  write_lan() {
    echo "links = [[\"ta\", \"lan.a\"], [\"tb\", \"lan.b\"], [\"tc\", \"lan.c\"]]" >lan.toml
    local number=0 host
    for host in a b c; do
      number=$((number + 1))
      [ -e "/run/netns/$host" ] || ip netns add "$host"
      printf "[tun.t%s]\nmode = \"tap\"\nnetns = \"%s\"\naddress = [\"10.0.0.%s/24\"]\n" "$host" "$host" "$number" >>lan.toml
    done
    printf "[switch.lan]\nports = [\"a\", \"b\", \"c\"]\n" >>lan.toml
    cat >>lan.toml
  }
  detail() { warren status lan --json | jq -r --arg key "$1" ".nodes[] | select(.name == \"lan\") | .details[\$key]"; }
  counter() { warren status lan --json | jq -r ".nodes[] | select(.name == \"lan\") | .ports[] | select(.name == \"$1\") | .$2"; }
'

@test "hosts on a switch reach each other and it learns where they are" {
  machine <<SH
    $lan
    write_lan </dev/null
    start lan.toml
    ip netns exec a ping -q -c 3 -i 0.05 10.0.0.2
    ip netns exec c ping -q -c 3 -i 0.05 -s 20000 10.0.0.1
    [ "\$(detail 'behind a')" -ge 1 ] && [ "\$(detail 'behind c')" -ge 1 ] || fail "nothing learnt"
    # What two say to each other, the third does not hear.
    before="\$(counter c sent.packets)"
    ip netns exec a ping -q -f -c 200 10.0.0.2
    [ "\$(counter c sent.packets)" -lt \$((before + 50)) ] || fail "the switch floods what it knows"
    stop TERM
SH
}

@test "isolated ports of a switch reach the others only" {
  machine <<SH
    $lan
    write_lan <<<'isolated = ["b", "c"]'
    start lan.toml
    ip netns exec a ping -q -c 1 10.0.0.2
    ip netns exec a ping -q -c 1 10.0.0.3
    ! ip netns exec b ping -q -c 1 -W 1 10.0.0.3 || fail "isolated ports talk to each other"
    # The file changes, the switch and its devices stay.
    index="\$(ip -n b link show tb)"
    write_lan </dev/null
    warren reload lan
    until_true ip netns exec b ping -q -c 1 -W 1 10.0.0.3
    [ "\$(ip -n b link show tb)" = "\$index" ] || fail "the device was made anew"
    stop TERM
SH
}

@test "super-packets pass a switch whole" {
  machine <<SH
    $lan
    write_lan </dev/null
    start lan.toml
    ip netns exec b iperf3 -s -1 -D -I /mnt/iperf.pid >/dev/null
    until_true ip netns exec a iperf3 -c 10.0.0.2 -n 100M --connect-timeout 1000
    packets="\$(counter a received.packets)"
    bytes="\$(counter a received.bytes)"
    [ "\$bytes" -gt 100000000 ] || fail "only \$bytes bytes"
    [ \$((bytes / packets)) -gt 3000 ] || fail "\$bytes bytes in \$packets packets"
    stop TERM
SH
}
