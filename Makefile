# Two commands matter: make demo and make test. Both install what they need.
SHELL := /bin/bash
BIN := bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
CONTAINERD_VERSION := $(shell go list -m -f '{{.Version}}' github.com/containerd/containerd/v2 2>/dev/null)
RUNC_VERSION := $(shell go list -m -f '{{.Version}}' github.com/opencontainers/runc 2>/dev/null)
OUR_LDFLAGS := -s -w -X main.version=$(VERSION)
IMAGES := .cache/images/out
SERVERS := everything filesystem memory git commands gosdk python busybox net java fetch playwright postgres

export MCPRUN_BIN := $(CURDIR)/$(BIN)
export MCPRUN_IMAGES := $(CURDIR)/$(IMAGES)

.PHONY: all build deps tools ours setup-gvisor demo test test-vault bench images test-tools docs clean

all: build

# What Debian or Ubuntu must have; nothing happens where all of it is there.
deps:
	@hack/deps.sh build

# containerd, its shim and runc, from the modules that go.mod pins and go.sum checks.
TOOLS_STAMP := $(BIN)/.tools-$(CONTAINERD_VERSION)-$(RUNC_VERSION)
tools: deps $(TOOLS_STAMP)
$(TOOLS_STAMP):
	@echo "building containerd $(CONTAINERD_VERSION) and runc $(RUNC_VERSION) (two minutes the first time)"
	@mkdir -p $(BIN) && rm -f $(BIN)/.tools-*
	@go build -trimpath -tags "seccomp no_cri no_btrfs no_devmapper no_zfs no_tracing" \
	  -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$(CONTAINERD_VERSION) -X main.version=$(RUNC_VERSION:v%=%)" -o $(BIN)/ tool
	@touch $@

ours: deps
	@echo "building mcprun, mcprun-cli, mcprund, mcprun-init and mcprun-decoy"
	@go build -trimpath -ldflags "$(OUR_LDFLAGS)" -o $(BIN)/ ./cmd/mcprund
	@CGO_ENABLED=0 go build -trimpath -ldflags "$(OUR_LDFLAGS)" -o $(BIN)/ ./cmd/mcprun ./cmd/mcprun-cli
	@CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $(BIN)/ ./cmd/mcprun-init ./cmd/mcprun-runsc ./cmd/mcprun-decoy

build: tools ours

# gVisor's runsc for isolation: gvisor, from a module of its own. Without cgo: with it
# runsc cannot start its own children.
GVISOR_VERSION := $(shell sed -n 's/.*gvisor.dev\/gvisor \(v[^ ]*\).*/\1/p' hack/gvisor/go.mod)
GVISOR_STAMP := $(BIN)/.gvisor-$(GVISOR_VERSION)
setup-gvisor: deps $(GVISOR_STAMP)
$(GVISOR_STAMP):
	@echo "building gVisor's runsc $(GVISOR_VERSION) (three minutes the first time)"
	@mkdir -p $(BIN) && rm -f $(BIN)/.gvisor-*
	@CGO_ENABLED=0 go build -C hack/gvisor -trimpath -ldflags "-s -w -X gvisor.dev/gvisor/runsc/version.version=$(GVISOR_VERSION)" -o $(CURDIR)/$(BIN)/ tool
	@touch $@

demo: build
	@hack/demo.sh

images: deps
	@hack/deps.sh test
	@go run ./hack/mkimage -cache .cache/images -o $(IMAGES) $(SERVERS)

# Programs that only tests run: a registry, the Go SDK's server, the npm servers
# outside of containers, and MCP Inspector.
test-tools: deps setup-gvisor
	@hack/test-tools.sh $(BIN)/test

test: build images test-tools
	@echo "unit tests"
	@MCPRUN_TEST_PROMISES=all go test -count=1 $$(go list ./... | grep -v /integration)
	@echo "integration tests"
	@MCPRUN_TEST_PROMISES=all go test -count=1 -p 1 -timeout 40m ./integration/...

# Secrets from a real Vault server: apart from make test, since the server takes
# minutes to build the first time.
test-vault: deps
	@hack/test-vault.sh $(BIN)/test

# What mcprun costs beside bare processes: a table, and bench.json.
bench: build images test-tools
	@go run ./hack/bench

docs: ours
	@mkdir -p docs/man && $(BIN)/mcprun man docs/man

clean:
	rm -rf $(BIN) .cache
