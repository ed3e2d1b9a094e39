# Every target that people and CI run. `make` alone lists them.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
IMAGE   ?= ghcr.io/tracebloc/image-refresh:$(VERSION)
ARGS    ?= run
FUZZTIME ?= 4000x
BINARY  ?= bin/image-refresh

# RACE=1 tests with the race detector, which needs a C compiler. Without it everything is compiled alike, as the
# control plane is: what they share of the Kubernetes libraries is then compiled once.
RACE ?=
export RACE
export CGO_ENABLED := $(if $(RACE),1,0)
export GOFLAGS := $(GOFLAGS) $(if $(RACE),,-trimpath)
# Compilers live for seconds: collecting garbage less often saves a cold build a good part of its time.
export GOGC ?= 400

version_package := github.com/tracebloc/image-refresh/internal/version
ldflags := -s -w -buildid= -X $(version_package).version=$(VERSION) -X $(version_package).commit=$(COMMIT)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/image-refresh, static
	go build -ldflags '$(ldflags)' -o $(BINARY) ./cmd/image-refresh

.PHONY: run
run: ## run from source against the current kube context (ARGS="plan -f config.yaml")
	go run -ldflags '$(ldflags)' ./cmd/image-refresh $(ARGS)

.PHONY: demo
demo: ## see a tag move, a registry blocked and unblocked, tick by tick, on a real control plane
	@echo 'compiling the demo (a minute or two the first time; then it builds its control plane, and says so)' >&2
	@go -C tests run ./demo

.PHONY: bench
bench: build ## measure the program beside what people use instead, and write docs/benchmarks.md
	@echo 'compiling the benchmark (a minute or two the first time; then it builds its control plane, and says so)' >&2
	@go -C tests test -tags bench -count=1 -vet=off -v -timeout 60m -run TestBenchmarks ./bench \
		-args -binary "$(CURDIR)/bin/image-refresh" -report "$(CURDIR)/docs/benchmarks.md"

.PHONY: test
test: test-unit test-scenario test-chart ## unit, scenario and chart tests, from a bare clone

# With the race detector all is several times slower. It has nothing to find in pure functions, nor in tests whose program is
# built without it.
UNITS     := $(if $(RACE),$(addprefix ./internal/,check/... cluster/... resolver/... tick/...),./...)
SCENARIOS := $(if $(RACE),./scenario,$$(go list ./... | grep -v /chart))

.PHONY: test-race
test-race: ## what runs side by side, and the scenarios, with the race detector in tests and program; before each tick a plan must predict it
	PLAN_FIRST=1 $(MAKE) RACE=1 test-unit test-scenario

.PHONY: test-unit
test-unit: ## unit tests
	go test -vet=off $(if $(RACE),-race) $(UNITS) # make lint vets

# Go's cache of test results does not see that the program has changed, which the tests build: hence -count=1.
.PHONY: test-scenario
test-scenario: ## black-box tests of the built binary against a real control plane and a real registry
	go -C tests run ./prepare # builds the control plane once, and shows how far it is
	cd tests && go test -count=1 -vet=off $(if $(RACE),-race) -parallel 12 -timeout 30m $(SCENARIOS)

.PHONY: test-older
test-older: test-older-scenario test-older-chart ## the scenarios, and what the chart asks of an API server, against the oldest Kubernetes that is tested

.PHONY: test-older-scenario
test-older-scenario:
	KUBERNETES=1.34 $(MAKE) test-scenario SCENARIOS='./cluster ./scenario'

.PHONY: test-older-chart
test-older-chart:
	KUBERNETES=1.34 go -C tests run ./prepare
	cd tests && KUBERNETES=1.34 go test -count=1 -parallel 8 -run 'Installs|HelmTest|Policy' ./chart

.PHONY: test-chart
test-chart: ## chart tests, with Helm 3 and Helm 4
	tests/chart/run

.PHONY: test-alerts
test-alerts: ## the chart's alerts and dashboard, as Prometheus judges them (builds its promtool first: minutes)
	go -C tests test -count=1 -run '^TestPrometheus' ./chart

.PHONY: fuzz
fuzz: ## look for input that breaks a parser, FUZZTIME for each (default 4000x, executions; or a time); what was found once stands in testdata/fuzz
	for target in $$(git grep -ho '^func Fuzz[A-Za-z]*' -- internal | sed 's/func //'); do \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$(git grep -l "^func $$target(" -- internal)")"; \
	done

.PHONY: e2e
e2e: ## the chart on a real node, as root on Linux: kubelet, containerd, real pulls (SUITES="Image|Schedule": some of it)
	go -C tests test -tags e2e -count=1 -vet=off -v -parallel 6 -timeout 40m -run '$(SUITES)' ./e2e

.PHONY: lint
lint: ## golangci-lint over both modules, actionlint over the workflows, pinned
	linter=$$(tests/tools/install golangci-lint); "$$linter" run --allow-parallel-runners ./... && cd tests && "$$linter" run --allow-parallel-runners ./...
	$$(tests/tools/install actionlint) -shellcheck= -pyflakes= .github/workflows/*.yaml

.PHONY: vulnerabilities
vulnerabilities: ## look for known vulnerabilities that are reached, in both modules (needs the network)
	scanner=$$(tests/tools/install govulncheck); "$$scanner" ./... && cd tests && "$$scanner" ./...

.PHONY: fmt
fmt: ## format the Go code
	gofmt -w $$(git ls-files '*.go')

.PHONY: image
image: ## build the container image for this machine, with docker or buildah
	$$(command -v docker || command -v buildah) build --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) -t $(IMAGE) .

.PHONY: release-dry-run
release-dry-run: ## build and check what a release consists of, into dist/
	release/dry-run

.PHONY: clean
clean: ## remove what was built in the tree
	rm -rf bin dist
