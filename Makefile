# Each target is a thin line; the work is in cargo, scripts/ and the programs.
CARGO ?= cargo
# Programs that scripts/setup-test-tools has built come first.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

.PHONY: build up test test-quick fuzz lint deny doc crds tools

build:            ## all programs, release
	$(CARGO) build --release --bins

up: build         ## everything on this machine; Ctrl-C stops it
	./target/release/tubeway up $(ARGS)

test-quick:       ## the pure crates
	$(CARGO) test -q -p tubeway-protocol -p tubeway-policy -p tubeway-session -p tubeway-config -p tubeway-api -p tubeway-planner

SECONDS ?= 60
fuzz:             ## each parser of outside bytes, SECONDS long, on inputs at random
	FUZZ_SECONDS=$(SECONDS) $(CARGO) test --release -p tubeway-protocol --test fuzz -- --nocapture

test: tools       ## everything that must pass
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace

lint: deny        ## formatting, clippy, licences and advisories
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

deny:
	./scripts/cargo-deny check

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

crds:             ## deploy/crds from the types
	$(CARGO) run -q -p tubeway-xtask -- crds

tools:            ## what the tests need besides Rust, Java and Maven
	./scripts/setup-test-tools
