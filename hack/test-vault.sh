#!/bin/bash
# Builds a real Vault server, once: a key of the inputs decides. Then tests what
# asks it. Apart from the other test programs since it takes minutes to build.
set -euo pipefail
out=${1:?folder}
key=$(cat integration/vault/go.mod integration/vault/go.sum hack/test-vault.sh | sha256sum | cut -c1-16)
stamp=$out/.vault-$key
if [ ! -f "$stamp" ] || [ ! -x "$out/vault" ]; then
  mkdir -p "$out" && rm -f "$out"/.vault-*
  echo "building Vault for the tests (six minutes the first time)"
  # minimal leaves out the engines of clouds and databases; without ui there is no UI.
  nice -n 10 go build -C integration/vault -trimpath -tags minimal -ldflags "-s -w" \
    -o "../../$out/vault" github.com/hashicorp/vault
  touch "$stamp"
fi
# "all": without the server the test fails; it must not be skipped here.
MCPRUN_TEST_PROMISES=all go test -count=1 -timeout 5m -tags vault ./integration/vaulttest
