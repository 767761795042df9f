# fish completion for warren

function __warren_instances
    set -l directory /run/warren
    set -q WARREN_RUN_DIR; and set directory $WARREN_RUN_DIR
    for lock in $directory/*.lock
        basename $lock .lock
    end
end

complete -c warren -f
complete -c warren -n __fish_use_subcommand -l version -d 'Version'
complete -c warren -l help -d 'Help'
complete -c warren -n __fish_use_subcommand -a up -d 'Make the network that a file describes, and run it'
complete -c warren -n __fish_use_subcommand -a status -d 'Show running instances'
complete -c warren -n __fish_use_subcommand -a reload -d 'Make a running instance match its file again'
complete -c warren -n __fish_use_subcommand -a down -d 'Take a running instance down'
complete -c warren -n __fish_use_subcommand -a doctor -d 'Say what this machine offers and lacks'
complete -c warren -n __fish_use_subcommand -a plan -d 'Show what becomes of packets in the tunnels of a file'
complete -c warren -n __fish_use_subcommand -a bench -d 'Measure links side by side'

complete -c warren -n __fish_use_subcommand -a icmp -d 'Carry UDP inside ICMP echo messages'

complete -c warren -n __fish_use_subcommand -a wireguard -d 'Make a WireGuard interface, which wg configures'
complete -c warren -n '__fish_seen_subcommand_from wireguard' -s f -l foreground -d 'Stay in the foreground'
complete -c warren -n '__fish_seen_subcommand_from wireguard' -l version -d 'Version'
complete -c warren -n '__fish_seen_subcommand_from wireguard' -l threads -x -d 'That encrypt'
complete -c warren -n '__fish_seen_subcommand_from wireguard' -l carrier -x -a 'udp icmp' -d 'What datagrams travel in'
complete -c warren -n '__fish_seen_subcommand_from wireguard' -l ticket -r -d "A server's ticket"
complete -c warren -n '__fish_seen_subcommand_from wireguard' -l user -x -d 'NAME:TAG of a user'
complete -c warren -n '__fish_seen_subcommand_from wireguard' -l dev -x -a '(command ls /sys/class/net)' -d 'Interface'
complete -c warren -n '__fish_seen_subcommand_from wireguard' -l checksum -x -a 'auto balance software' -d 'Who completes checksums'
complete -c warren -n '__fish_seen_subcommand_from wireguard' -l xdp -x -a 'auto off' -d 'In the driver'

complete -c warren -n '__fish_seen_subcommand_from up' -F
complete -c warren -n '__fish_seen_subcommand_from up' -l name -x -d 'Name of the instance'
complete -c warren -n '__fish_seen_subcommand_from up' -l check -d 'Only read the file'
complete -c warren -n '__fish_seen_subcommand_from up' -l dry-run -d 'Say what would change'
complete -c warren -n '__fish_seen_subcommand_from up' -l io -x -a 'auto io_uring epoll' -d 'How to wait for packets'
complete -c warren -n '__fish_seen_subcommand_from up' -l log-level -x -a 'error warning info debug' -d 'What to say'

complete -c warren -n '__fish_seen_subcommand_from status reload down' -a '(__warren_instances)'
complete -c warren -n '__fish_seen_subcommand_from status' -l json -d 'JSON'
complete -c warren -n '__fish_seen_subcommand_from status' -l watch -d 'Show it every second'
complete -c warren -n '__fish_seen_subcommand_from doctor' -F
complete -c warren -n '__fish_seen_subcommand_from doctor' -l json -d 'JSON'

complete -c warren -n '__fish_seen_subcommand_from plan' -F
complete -c warren -n '__fish_seen_subcommand_from plan' -l wire-mtu -x -d 'MTU of the path between the ends'
complete -c warren -n '__fish_seen_subcommand_from plan' -l wireguard -x -d 'A device of WireGuard'
complete -c warren -n '__fish_seen_subcommand_from plan' -l packet -x -d 'Follow a packet of this size'
complete -c warren -n '__fish_seen_subcommand_from plan' -l ping -x -d 'Follow a ping of this size'
complete -c warren -n '__fish_seen_subcommand_from plan' -l json -d 'JSON'

complete -c warren -n '__fish_seen_subcommand_from bench' -F
complete -c warren -n '__fish_seen_subcommand_from bench' -a "(warren bench --list 2>/dev/null | string replace -rf '^([a-z-]+): (.*)' '\$1\t\$2')"
complete -c warren -n '__fish_seen_subcommand_from bench' -l list -d 'Show scenarios and rows'
complete -c warren -n '__fish_seen_subcommand_from bench' -l quick -d 'Few rows, short runs'
complete -c warren -n '__fish_seen_subcommand_from bench' -l only -x -d 'These rows'
complete -c warren -n '__fish_seen_subcommand_from bench' -l duration -x -d 'Seconds per run'
complete -c warren -n '__fish_seen_subcommand_from bench' -l warmup -x -d 'Seconds before'
complete -c warren -n '__fish_seen_subcommand_from bench' -l repeat -x -d 'Rounds'
complete -c warren -n '__fish_seen_subcommand_from bench' -l row -x -d 'Add a row: NAME=COMMAND'
complete -c warren -n '__fish_seen_subcommand_from bench' -l peer -x -d 'Where a program is: NAME=COMMAND'
complete -c warren -n '__fish_seen_subcommand_from bench' -l relative-to -x -d 'Compare with this row'
complete -c warren -n '__fish_seen_subcommand_from bench' -l view -x -d 'Another table of the scenario'
complete -c warren -n '__fish_seen_subcommand_from bench' -l out -r -d 'Folder of the report'
complete -c warren -n '__fish_seen_subcommand_from bench' -l json -r -d 'File of the results'
complete -c warren -n '__fish_seen_subcommand_from bench' -l flamegraph -d 'Profile each row'

set -l icmp_commands serve connect list stats remove detach relay
set -l icmp "__fish_seen_subcommand_from icmp; and not __fish_seen_subcommand_from $icmp_commands"
complete -c warren -n $icmp -a serve -d "Take users' UDP out of ICMP"
complete -c warren -n $icmp -a connect -d 'Carry UDP to a server inside ICMP'
complete -c warren -n $icmp -a list -d 'Show what is carried, and how'
complete -c warren -n $icmp -a stats -d 'Show how much is carried'
complete -c warren -n $icmp -a remove -d 'End flows'
complete -c warren -n $icmp -a detach -d 'Take the carrier off interfaces'
complete -c warren -n $icmp -a relay -d 'Carry UDP inside ICMP without kernel programs'
complete -c warren -n '__fish_seen_subcommand_from serve' -l port -x -d 'UDP port that is served'
complete -c warren -n '__fish_seen_subcommand_from serve' -l user -x -d 'Name of a user'
complete -c warren -n '__fish_seen_subcommand_from serve' -l tag -x -d "The user's tag"
complete -c warren -n '__fish_seen_subcommand_from serve' -l from -x -d 'Only from this network'
complete -c warren -n '__fish_seen_subcommand_from serve' -l first -x -a 'wireguard any' -d 'What opens a session'
complete -c warren -n '__fish_seen_subcommand_from serve' -l max-age -x -d 'A session without packets ends after'
complete -c warren -n '__fish_seen_subcommand_from serve' -l host -x -d 'How clients reach this server'
complete -c warren -n '__fish_seen_subcommand_from connect' -F
complete -c warren -n '__fish_seen_subcommand_from connect' -l server -x -d "HOST:PORT in place of the ticket's"
complete -c warren -n '__fish_seen_subcommand_from serve connect detach' -l dev -x -a '(command ls /sys/class/net)' -d 'Interface'
complete -c warren -n '__fish_seen_subcommand_from serve connect' -l checksum -x -a 'auto balance software' -d 'Who completes checksums'
complete -c warren -n '__fish_seen_subcommand_from serve connect' -l xdp -x -a 'auto off' -d 'In the driver'
complete -c warren -n '__fish_seen_subcommand_from serve connect' -l profile -x -a 'warren tutu' -d 'Wire format'
complete -c warren -n '__fish_seen_subcommand_from serve connect' -l uid -x -d 'User id of tutu'
complete -c warren -n '__fish_seen_subcommand_from serve list stats' -l json -d 'JSON'
complete -c warren -n '__fish_seen_subcommand_from stats' -l watch -d 'Show it every second, with rates'
complete -c warren -n '__fish_seen_subcommand_from remove' -l all -d 'Every flow'
complete -c warren -n '__fish_seen_subcommand_from relay' -l listen -x -d 'Where programs send their UDP to'
complete -c warren -n '__fish_seen_subcommand_from relay' -l serve -d 'The server side'
complete -c warren -n '__fish_seen_subcommand_from relay' -l port -x -d 'UDP port of the service'
complete -c warren -n '__fish_seen_subcommand_from relay' -l user -x -d 'Name of the user'
complete -c warren -n '__fish_seen_subcommand_from relay' -l tag -x -d "The user's tag"
complete -c warren -n '__fish_seen_subcommand_from relay' -l to -x -d 'Where the service listens'
complete -c warren -n '__fish_seen_subcommand_from relay' -l from -x -d 'Only from this network'
complete -c warren -n '__fish_seen_subcommand_from relay' -l first -x -a 'wireguard any' -d 'What opens a conversation'
complete -c warren -n '__fish_seen_subcommand_from relay' -l host -x -d 'How clients reach this machine'
complete -c warren -n '__fish_seen_subcommand_from relay' -l profile -x -a 'warren tutu' -d 'Wire format'
complete -c warren -n '__fish_seen_subcommand_from relay' -l uid -x -d 'User id of tutu'
complete -c warren -n '__fish_seen_subcommand_from relay' -l idle -x -d 'A conversation without packets ends after'
complete -c warren -n '__fish_seen_subcommand_from relay' -l max-conversations -x -d 'How many at a time'
complete -c warren -n '__fish_seen_subcommand_from relay' -l no-ring -d 'Receive behind the firewall'
complete -c warren -n '__fish_seen_subcommand_from relay' -l json -d 'JSON'
complete -c warren -n '__fish_seen_subcommand_from relay' -F
