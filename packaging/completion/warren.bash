# bash completion for warren

_warren_instances() {
  local lock
  for lock in "${WARREN_RUN_DIR:-/run/warren}"/*.lock; do
    [ -e "$lock" ] && basename "$lock" .lock
  done
}

_warren_scenarios() { "$1" bench --list 2>/dev/null | sed -n 's/^\([a-z-]*\): .*/\1/p'; }

_warren_icmp() {
  local command="${COMP_WORDS[2]}" words=""
  if [ "$COMP_CWORD" -eq 2 ]; then
    mapfile -t COMPREPLY < <(compgen -W "serve connect list stats remove detach relay --help" -- "$current")
    return
  fi
  case "$previous" in
    --dev) words="$(cd /sys/class/net && echo *)" ;;
    --checksum) words="auto balance software" ;;
    --xdp) words="auto off" ;;
    --profile) words="warren tutu" ;;
    --first) words="wireguard any" ;;
    --port | --user | --tag | --from | --max-age | --host | --server | --uid | --listen | --to | --idle | --max-conversations) return ;;
  esac
  if [ -z "$words" ]; then
    case "$command" in
      serve) words="--port --user --tag --from --first --max-age --host --dev --checksum --xdp --profile --uid --json --help" ;;
      connect) words="--server --dev --checksum --xdp --profile --uid --help" ;;
      list) words="--json --help" ;;
      stats) words="--watch --json --help" ;;
      remove) words="--all --help" ;;
      detach) words="--dev --help" ;;
      relay) words="--listen --serve --port --user --tag --to --from --first --host --profile --uid --idle
                    --max-conversations --no-ring --json --help" ;;
    esac
    case "$command:$current" in
      *:-*) ;;
      connect:* | relay:*)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

_warren() {
  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "up status reload down doctor plan bench icmp wireguard --help --version" -- "$current")
    return
  fi
  if [ "${COMP_WORDS[1]}" = icmp ]; then
    _warren_icmp
    return
  fi
  case "$previous" in
    --carrier) words="udp icmp" ;;
    --checksum) words="auto balance software" ;;
    --xdp) words="auto off" ;;
    --dev) words="$(cd /sys/class/net && echo *)" ;;
    --threads | --user) return ;;
    --ticket)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return ;;
    --io) words="auto io_uring epoll" ;;
    --log-level) words="error warning info debug" ;;
    --name | --duration | --warmup | --repeat | --row | --peer | --wire-mtu | --wireguard | --packet | --ping | --relative-to | --only | --view) return ;;
    --out | --json)
      if [ "${COMP_WORDS[1]}" = bench ]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
      fi ;;
  esac
  if [ -z "$words" ]; then
    case "${COMP_WORDS[1]}" in
      up) words="--name --check --dry-run --io --log-level --help" ;;
      status) words="--json --watch --help" ;;
      reload | down) words="--help" ;;
      plan) words="--wire-mtu --wireguard --packet --ping --json --help" ;;
      doctor) words="--json --help" ;;
      wireguard) words="--foreground --threads --carrier --ticket --user --dev --checksum --xdp --version --help" ;;
      bench) words="--list --quick --only --duration --warmup --repeat --row --peer --relative-to --view --out
                    --json --flamegraph --help" ;;
    esac
    case "${COMP_WORDS[1]}:$current" in
      *:-*) ;;
      status:* | reload:* | down:*) words="$(_warren_instances)" ;;
      up:* | plan:* | doctor:* | bench:*)
        mapfile -t COMPREPLY < <(compgen -d -S / -- "$current"; compgen -f -X '!*.toml' -- "$current")
        [ "${COMP_WORDS[1]}" != bench ] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$(_warren_scenarios "$1")" -- "$current")
        return ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o filenames -F _warren warren
