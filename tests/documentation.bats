# The man pages and the completions of the shells, against what the program says of itself. WARREN is the program.

bats_require_minimum_version 1.5.0

setup() {
  pages="$BATS_TEST_DIRNAME/../docs/man"
  completions="$BATS_TEST_DIRNAME/../packaging/completion"
  cd "$BATS_TEST_TMPDIR" || return
  commands="$(all_commands)"
}

# COMMAND…: its help; asked for once.
help_of() {
  local kept="help $*"
  [ -e "$kept" ] || "$WARREN" "$@" --help >"$kept"
  cat "$kept"
}

# COMMAND…: what can stand next, one a line.
subcommands_of() { help_of "$@" | sed -n '/^Subcommands:$/,/^$/s/^  \([a-z-]*\) .*/\1/p'; }
options_of() { help_of "$@" | sed -nE '/^Options:$/,/^$/s/^  (-[a-z],)?(--[a-z-]+).*/\2/p' | sort; }

# Every command with its subcommands, one a line; first the program itself, which is the empty line.
all_commands() {
  local command
  echo "$*"
  for command in $(subcommands_of "$@"); do all_commands "$@" "$command"; done
}

# COMMAND…: the page of the longest part of it that has one.
page_of() {
  local name="warren $*"
  until [ -e "$pages/${name// /-}.1" ]; do name="${name% *}"; done
  echo "$pages/${name// /-}.1"
}

# WHAT EXPECTED ACTUAL: lists of lines, which are the same.
same() {
  [ "$2" = "$3" ] || { echo "$1: < as the program has it, > as it is described"; diff <(echo "$2") <(echo "$3"); }
}

@test "every command has its options in its man page, and no page has others" {
  local command page known body described listed
  declare -A options
  while read -r command; do
    # shellcheck disable=SC2086
    page="$(page_of $command)"
    # shellcheck disable=SC2086
    options[$page]+="$(options_of $command | sed '/^--help$/d')"$'\n'
    [ -z "$command" ] || grep -qE "^\.(Nm|Ss) warren $command( |$)|^\.(It )?Cm ${command##* }( |$)" "$page" ||
      { echo "$page does not name $command"; return 1; }
  done <<<"$commands"
  [ "${#options[@]}" -gt 5 ]
  for page in "${!options[@]}"; do
    known="$(sort -u <<<"${options[$page]}" | sed '/^$/d')"
    body="$(sed -n '/^\.Sh DESCRIPTION/,$p' "$page")"
    described="$(grep -oE 'Fl -[a-z-]+' <<<"$body" | sed 's/^Fl /-/' | sort -u)"
    same "$page" "$known" "$(comm -12 <(echo "$known") <(echo "$described"))"
    listed="$(grep '^\.It Fl' <<<"$body" | grep -oE 'Fl -[a-z-]+' | sed 's/^Fl /-/' | sort -u)"
    same "$page" "$(comm -12 <(echo "$known") <(echo "$listed"))" "$listed"
  done
}

# SHELL: `complete_with_SHELL COMMAND…` prints what may follow, words and long options, one a line.
check_completions() {
  local command words known
  while read -r command; do
    # shellcheck disable=SC2086
    words="$("complete_with_$1" $command | sort -u)"
    # shellcheck disable=SC2086
    same "options of warren $command" "$(options_of $command)" "$(grep -e '^--' <<<"$words")"
    # shellcheck disable=SC2086
    known="$(subcommands_of $command | sort)"
    # Elsewhere words are names, or files.
    [ -z "$known" ] || same "commands of warren $command" "$known" "$(grep -v -e '^-' <<<"$words")"
  done <<<"$commands"
}

complete_with_bash() {
  local COMP_WORDS COMP_CWORD=$(($# + 1)) COMPREPLY current
  source "$completions/warren.bash"
  for current in "" -; do
    COMP_WORDS=(warren "$@" "$current")
    (_warren "$WARREN" && printf '%s\n' "${COMPREPLY[@]}")
  done
}

@test "bash completes every command and option, and no others" {
  check_completions bash
  complete_with_bash bench | grep -x router
}

complete_with_fish() {
  local current
  for current in "" -; do
    HOME="$PWD" fish --no-config -c "source '$completions/warren.fish'; complete -C 'warren $* $current'" | cut -f1
  done
}

@test "fish completes every command and option, and no others" {
  command -v fish || skip "fish is not installed: scripts/setup test"
  PATH="$(dirname "$WARREN"):$PATH"
  check_completions fish
  complete_with_fish bench | grep -x router
}

# zsh asks _arguments and _describe; here they print what they are told. _arguments -C is asked for the next command.
complete_with_zsh() {
  zsh -f -c '
    commands_left=("${@:2}")
    compdef() { }
    _arguments() {
      if [[ $1 == -C ]] && (( $#commands_left )); then
        state=argument line=($commands_left[1])
        shift commands_left
      else
        [[ $1 != -C ]] || state=command
        print -rl -- "$@" | sed -nE "s/^(\\([^)]*\\))?\\*?(--[a-z-]+).*/\\2/p"
      fi
    }
    _describe() { print -rl -- ${(P)2%%:*}; }
    source "$1"' zsh "$completions/_warren" "$@"
}

@test "zsh completes every command and option, and no others" {
  command -v zsh || skip "zsh is not installed: scripts/setup test"
  check_completions zsh
}
