# make          build bin/nsnet
# make help     the other targets

FUZZTIME ?= 60s

.PHONY: build
build: ## build bin/nsnet, a static binary
	sh scripts/build.sh bin/nsnet

.PHONY: demo
demo: ## build nsnet and bring up a first lab (as root, or by sudo)
	sh scripts/first-lab.sh

.PHONY: test
test: ## install what the tests need, and run every check (as root)
	sh scripts/test.sh

.PHONY: check
check: ## the tests that need no root, and no more than Go
	go vet ./...
	go test ./...

.PHONY: test-vm
test-vm: build ## the tests on other kernels, in virtual machines; sh scripts/setup-test.sh comes first
	NSNET_STRICT=1 NSNET_BIN=$(CURDIR)/bin/nsnet go test -count=1 -v ./e2e/vm

.PHONY: faults
faults: ## measure what nsnet promises of its reliability, as one table (as root; an hour); GOALS='-only 1,6'
	sh scripts/build.sh bin/nsnet
	GOFLAGS=-tags=failpoint sh scripts/build.sh bin/nsnet-failpoint
	NSNET_BIN=$(CURDIR)/bin/nsnet NSNET_FAILPOINT_BIN=$(CURDIR)/bin/nsnet-failpoint go run ./internal/goals $(GOALS)

.PHONY: security
security: ## try the attacks of docs/security.md, and print one table (as root; half an hour)
	sh scripts/build.sh bin/nsnet
	NSNET_BIN=$(CURDIR)/bin/nsnet go run ./internal/goals -security $(GOALS)

.PHONY: lint
lint: ## gofmt, go vet and golangci-lint
	sh scripts/lint.sh

.PHONY: bench
bench: build ## measure nsnet beside Mininet, ip and Docker (as root); BENCH='-only up -sizes 10'
	go run ./internal/bench $(BENCH)

.PHONY: generate
generate: ## make the generated files anew
	go generate ./...

.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME (60s)
	sh scripts/fuzz.sh $(FUZZTIME)

.PHONY: vulncheck
vulncheck: ## look for known holes in the libraries (asks a database on the network)
	sh scripts/vulncheck.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 18
