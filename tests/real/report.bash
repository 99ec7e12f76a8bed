# Checks and what came of them: one line each, counted; sourced by tests/real/year and tests/real/inside.
# shellcheck shell=bash
passed=0 failed=0

# ok WHAT: a check that held.
ok() {
  printf 'ok    %s\n' "$*"
  passed=$((passed + 1))
}

# fail WHAT: a check that did not.
fail() {
  printf 'FAIL  %s\n' "$*"
  failed=$((failed + 1))
}

# check WHAT COMMAND...: the check holds if the command does and prints nothing; what it printed is the reason. The first lines of it are shown, and all of them
# go into the file $details, if it is set.
check() {
  local what=$1 output status=0
  shift
  output=$("$@" 2>&1) || status=$?
  if [ $status -eq 0 ] && [ -z "$output" ]; then
    ok "$what"
    return
  fi
  [ -z "${details:-}" ] || printf '%s\n%s\n\n' "== $what" "$output" >>"$details"
  fail "$what: $(head -n 8 <<<"${output:-exit status $status}" | cut -c 1-200 | paste -sd '|' | sed 's/|/ | /g')$(more_than 8 "$output")"
}

more_than() {
  local lines
  lines=$(wc -l <<<"$2")
  [ "$lines" -le "$1" ] || printf ' | and %d lines more' $((lines - $1))
}

# counted FILE: takes over the lines of checks that another process printed, each with the words $2 before it.
counted() {
  local line
  while IFS= read -r line; do
    case $line in
      'ok    '*) ok "$2: ${line#ok    }" ;;
      'FAIL  '*) fail "$2: ${line#FAIL  }" ;;
      *) printf '      %s\n' "$line" ;;
    esac
  done <"$1"
}

# summary: the last line; status 1 if anything failed.
summary() {
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
}
