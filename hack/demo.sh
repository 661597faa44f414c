#!/bin/bash
# The product in a minute: a real MCP server, contained, asked, refused, killed.
# Uses folders of its own and leaves nothing behind; fails if anything differs
# from what it says.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
[ "$(id -u)" -eq 0 ] || {
  echo "demo: make demo needs root: it makes namespaces and containers" >&2
  echo "demo: hint: sudo make demo" >&2
  exit 1
}
hack/deps.sh demo
go run ./hack/mkimage -cache .cache/images -o .cache/images/out filesystem >/dev/null
# Two demos at once would share the unpacked image.
exec 9>.cache/demo.lock
flock -w 60 9 || { echo "demo: another one is running" >&2; exit 1; }

bold='' faint='' off=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' faint=$'\e[2m' off=$'\e[0m'; fi

dir=$(mktemp -d /tmp/mcprun-demo-XXXXXX)
chmod 755 "$dir"
data=$root/.cache/demo-data # keeps the unpacked image, so that later runs are quick
export MCPRUN_RUN=$dir/run MCPRUN_DATA=$data PATH=$root/bin:$PATH
group=mcprun-$(printf %s "$dir/run" | sha256sum | cut -c1-8) # as internal/paths names it

# forget removes all of the data but the unpacked image.
forget() { rm -rf "$data/audit" "$data/keys" "$data/switches" "$data/logs" "$data/daemon.log"; }

# leftovers prints what is left of the demo: cgroups, and processes that name its folder.
leftovers() {
  find /sys/fs/cgroup -maxdepth 3 -name "$group" 2>/dev/null || true
  grep -lsF "$dir/" /proc/[0-9]*/cmdline || true
  grep -sF "$dir/" /proc/self/mounts || true
}

cleanup() {
  local code=$?
  trap - EXIT INT TERM
  cd "$root"
  if [ "$code" -ne 0 ] && [ -s "$data/daemon.log" ]; then
    echo "demo: the daemon's last words:" >&2
    tail -n 5 "$data/daemon.log" >&2
  fi
  timeout 30 mcprun shutdown >/dev/null 2>&1 9>&- || true
  [ -z "$(leftovers)" ] || { echo "demo: left behind: $(leftovers)" >&2; code=1; }
  rm -rf "$dir"
  forget
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }

# typed prints a command as one would type it.
typed() {
  local word line=''
  for word in "$@"; do
    case $word in *[!A-Za-z0-9_./=:@%+,-]* | '') word="'$word'" ;; esac
    line+=" $word"
  done
  printf '%s$%s%s\n' "$faint" "$line" "$off"
}

# see CODE TEXT COMMAND…: shows the command and what it prints (through the
# function in $only), and ends the demo unless it ends with CODE and prints TEXT.
only=cat
see() {
  local code=$1 text=$2 got
  shift 2
  typed "$@"
  set +e
  # Not fd 9: a daemon that it starts must not hold the demo's lock.
  timeout 180 "$@" 2>&1 9>&- | tee "$dir/out" | $only | sed -u 's/^/  /'
  got=${PIPESTATUS[0]}
  set -e
  [ "$got" -eq "$code" ] || { echo "demo: exit code $got, expected $code" >&2; exit 1; }
  [ -z "$text" ] || grep -qF -- "$text" "$dir/out" || { echo "demo: the output lacks: $text" >&2; exit 1; }
  [ "$code" -eq 0 ] || printf '  %s(exit code %s)%s\n' "$faint" "$code" "$off"
}

# Filters: the lines that make the point.
granted() {
  awk '/not granted/ { n++; next } /^$/ { next } /^pinned in/ { done = 1; print "… and " n " more tools that are pinned but not granted" }
    !done { print; fflush() }'
}
held() { awk '/^(user|network|seccomp|capabilities|mount) /'; }
refusals() { awk '/ (call|refuse|kill) /'; }
filled() { awk 'NF { print; fflush() }'; }

forget
cd "$dir"
mkdir workspace
echo "The meeting is on Friday." >workspace/notes.txt
ln -s "$root/.cache/images/out/filesystem.oci.tar" .
cat >files.yaml <<'YAML'
version: 1
name: files
image: ./filesystem.oci.tar      # an MCP server from npm, nothing changed in it
profile: node                    # which system calls it may make
files:
  - {from: ./workspace, to: /workspace, access: write}
tools:
  read_text_file: {risk: low}    # runs, and is recorded
  write_file: {risk: medium}     # runs once the record is safe on disk
  move_file: {risk: high}        # needs a human
timeouts: {approval: 1s}         # how long a call is kept waiting for one
YAML

say "1. One file says what a server may do. All else is denied."
typed cat files.yaml
sed 's/^/  /' files.yaml

say "2. Lock: it runs once, without a network, and each tool is pinned as it is."
only=granted
see 0 "14 tools" mcprun lock files.yaml

say "3. Start: its own user ids, no network, no capabilities, read-only root."
only=cat
see 0 "files is running: 3 tools" mcprun start files.yaml
only=held
see 0 "no_new_privs" mcprun inspect files
only=cat

say "4. A call that policy allows goes through. (An agent does this with: mcprun connect files)"
only=filled
see 0 "The meeting is on Friday." mcprun call files read_text_file --arg path=/workspace/notes.txt

only=cat

say "5. A call that it does not allow never reaches the server, and the refusal says why."
see 3 "[tool.not-granted]" mcprun call files list_directory --arg path=/workspace
see 3 "Hint: declared are" mcprun call files read_text_file '{"path":"/workspace/notes.txt","as":"root"}'
see 3 "mcprun approve a-" mcprun call files move_file --arg source=/workspace/notes.txt --arg destination=/workspace/x
[ -f workspace/notes.txt ] || { echo "demo: the refused call moved the file" >&2; exit 1; }

say "6. Kill: when the command returns, no process is left, and no restart brings it back."
see 0 "killed files" mcprun kill files --why 'it asked for too much'
contained=$(find /sys/fs/cgroup -maxdepth 4 -path "*/$group/*" -name cgroup.procs -exec cat {} + 2>/dev/null || true)
[ -z "$contained" ] || { echo "demo: processes that outlived the kill: $contained" >&2; exit 1; }
see 3 "mcprun revive files" mcprun start files.yaml

say "7. The record: each decision, written before its effect, in a chain that shows any change."
only=refusals
see 0 "it asked for too much" mcprun audit tail
only=cat
see 0 "the chain is whole" mcprun audit verify

say "8. Shut down."
see 0 "" mcprun shutdown
[ -z "$(leftovers)" ] || exit 1
echo "  no process, mount or cgroup is left"

say "Next: README.md says how to give your MCP client such a server."
