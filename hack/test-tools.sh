#!/bin/bash
# Builds and installs what only the tests run, once: a key of the inputs decides.
set -euo pipefail
out=${1:?folder}
key=$(cat integration/tools/go.sum integration/images/package-lock.json integration/inspector/package-lock.json hack/test-tools.sh | sha256sum | cut -c1-16)
stamp=$out/.stamp-$key
[ -f "$stamp" ] && exit 0
mkdir -p "$out"
echo "building the test programs (a minute the first time)"
go build -C integration/tools -trimpath -o "../../$out/" tool
for dir in images inspector; do
  echo "installing the npm packages of integration/$dir"
  (cd "integration/$dir" && npm ci --no-audit --no-fund --silent)
done
rm -f "$out"/.stamp-*
touch "$stamp"
