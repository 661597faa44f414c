#!/bin/bash
# The product in a minute: a real MCP server, contained, asked, refused, killed.
# Uses folders of its own and leaves nothing behind; fails if anything differs
# from what it says.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/bin
[ "$(id -u)" -eq 0 ] || { echo "make demo needs root: it makes namespaces and containers" >&2; exit 1; }
hack/deps.sh test
go run ./hack/mkimage -cache .cache/images -o .cache/images/out filesystem >/dev/null

bold= faint= off=
if [ -t 1 ]; then bold=$'\e[1m' faint=$'\e[2m' off=$'\e[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
show() { printf '%s$ %s%s\n' "$faint" "$*" "$off"; "$@" 2>&1 | sed 's/^/  /'; }
# refused CODE COMMAND…: the command must end with this exit code.
refused() {
  local want=$1 code=0
  shift
  printf '%s$ %s%s\n' "$faint" "$*" "$off"
  "$@" >"$dir/out" 2>&1 || code=$?
  sed 's/^/  /' "$dir/out"
  [ "$code" -eq "$want" ] || { echo "demo: exit code $code, expected $want" >&2; exit 1; }
}

dir=$(mktemp -d /tmp/mcprun-demo-XXXX)
chmod 755 "$dir"
data=$PWD/.cache/demo-data # keeps the unpacked image, so that later runs are quick
rm -rf "$data/audit" "$data/keys" "$data/switches" "$data/logs"
export MCPRUN_RUN=$dir/run MCPRUN_DATA=$data PATH=$bin:$PATH
cleanup() {
  local code=$?
  mcprun shutdown >/dev/null 2>&1 || true
  rm -rf "$dir"
  if find /sys/fs/cgroup -maxdepth 3 -name "$parent" 2>/dev/null | grep -q .; then
    echo "demo: a cgroup is left: $parent" >&2
    code=1
  fi
  exit "$code"
}
parent=mcprun-$(printf %s "$dir/run" | sha256sum | cut -c1-8)
trap cleanup EXIT

mkdir "$dir/workspace"
echo "The meeting is on Friday." >"$dir/workspace/notes.txt"
cat >"$dir/files.yaml" <<YAML
version: 1
name: files
image: $PWD/.cache/images/out/filesystem.oci.tar
profile: node                    # the seccomp profile
files:
  - {from: ./workspace, to: /workspace, access: write}
tools:
  read_text_file: {risk: low}    # runs, and is recorded
  write_file: {risk: medium}     # runs once the record is safe on disk
  move_file: {risk: high}        # needs a human
YAML
cd "$dir"

say "1. One file says what a server may do. Everything else is denied."
sed 's/^/  /' files.yaml | sed "s#$data#…#"

say "2. Lock it: the server runs once without a network, and each tool it shows is pinned."
show mcprun lock files.yaml | sed -n 1,12p

say "3. Start it: its own user namespace, no network, no capabilities, read-only root, seccomp."
show mcprun start files.yaml
show mcprun inspect files | sed -n '/user/,/capabilities/p'

say "4. An allowed call goes through."
show mcprun call files read_text_file --arg path=/workspace/notes.txt

say "5. Calls that policy forbids never reach the server."
refused 3 mcprun call files move_file --arg source=/workspace/notes.txt --arg destination=/workspace/x
refused 3 mcprun call files read_text_file '{"path":"/workspace/notes.txt","encoding":"evil"}'
refused 3 mcprun call files list_directory --arg path=/workspace

say "6. Kill: the command returns when no process is left and nothing can bring it back."
show mcprun kill files --why "it looked at too much"
refused 3 mcprun start files.yaml

say "7. All of it is in a record that shows any change."
show mcprun audit tail -n 5
show mcprun audit verify

say "Done. Nothing is left running. Next: README.md, docs/server-yaml.md."
