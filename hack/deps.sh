#!/bin/bash
# Installs the Debian or Ubuntu packages that a task needs, where they are missing.
set -euo pipefail
case "${1:?build, demo or test}" in
build) packages=(libseccomp-dev libseccomp2 pkg-config gcc libc6-dev git ca-certificates) ;;
demo) packages=(npm nodejs python3 dpkg-dev xz-utils procps) ;;
test) packages=(npm nodejs python3 dpkg-dev xz-utils procps qemu-system-x86 e2fsprogs busybox-static cpio kmod iproute2 postgresql chromium fonts-liberation) ;;
*) echo "deps.sh: build, demo or test" >&2; exit 2 ;;
esac
missing=()
for p in "${packages[@]}"; do
  case "$p" in
  npm | nodejs) command -v npm >/dev/null && command -v node >/dev/null && continue ;;
  python3) [ -x /usr/bin/python3 ] && continue ;;
  gcc | git | chromium) command -v "$p" >/dev/null && continue ;;
  esac
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "deps.sh: these packages are missing: ${missing[*]}" >&2
  echo "deps.sh: hint: sudo apt-get install -y ${missing[*]}" >&2
  exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }
