# Each target is a thin line; the work is in cargo, scripts/ and the programs.
CARGO ?= cargo
# Programs that scripts/setup-kubernetes has built come first.
export PATH := $(CURDIR)/target/tools/kubernetes:$(PATH)

.PHONY: build images up test test-quick e2e campaign sample endurance soak differential fuzz bench-proxy bench-operator istio life lint deny doc crds chart tools

build:            ## all programs, release
	$(CARGO) build --release --bins --workspace --exclude tubeway-bench

images: build     ## container images in target/images, without a container engine
	./target/release/tubeway-xtask images $(ARGS)

up: build         ## everything on this machine; Ctrl-C stops it
	./target/release/tubeway up $(ARGS)

test-quick:       ## the pure crates
	$(CARGO) test -q -p tubeway-protocol -p tubeway-policy -p tubeway-session -p tubeway-config -p tubeway-api -p tubeway-planner

# A process has two descriptors a connection: 10,000 need `ulimit -Hn` above 20,200.
CONNECTIONS ?= 10000
soak: tools       ## the sidecar's robustness in full figures
	$(CARGO) build --release -p tubeway-proxy
	TUBEWAY_ROBUST_CONNECTIONS=$(CONNECTIONS) TUBEWAY_ROBUST_CYCLES=100000 \
	TUBEWAY_ROBUST_RULE_CONNECTIONS=1000 TUBEWAY_ROBUST_CHANGES=100 \
	TUBEWAY_ROBUST_LIVE=1000 TUBEWAY_ROBUST_ROTATIONS=1000 \
	TUBEWAY_ROBUST_DRAINS=100 TUBEWAY_ROBUST_NOISE=10000 \
	$(CARGO) test --release -p tubeway-proxy --test robust -- --nocapture
	TUBEWAY_ROTATION_AWAY=150 $(CARGO) test -p tubeway-cli --test endurance minute_long

differential:     ## a sidecar beside a broker with ACLs, one operation allowed or denied at a time
	TUBEWAY_DIFFERENTIAL=operations $(CARGO) test -p tubeway-testing --test differential a_sidecar -- --nocapture

SECONDS ?= 60
fuzz:             ## each parser of outside bytes, SECONDS long, on inputs at random
	FUZZ_SECONDS=$(SECONDS) $(CARGO) test --release -p tubeway-protocol --test fuzz -- --nocapture

bench-proxy:      ## what the data path costs, beside a bare relay and Envoy; ARGS="--only d6"
	$(CARGO) build --release -p tubeway-proxy -p tubeway-bench
	./target/release/bench-proxy $(ARGS)

endurance: tools  ## 20 rolls under load, and beside it certificates that live a minute
	$(CARGO) build --workspace --bins
	$(CARGO) test -p tubeway-cli --test endurance -- --nocapture

life: tools       ## nodes come and go, volumes are lost, versions change, under load
	$(CARGO) build --workspace --bins
	$(CARGO) test -p tubeway-cli --test life --test versions

istio:            ## a cluster with certificates of a real istiod, whose root changes under load
	./scripts/setup-kubernetes
	./scripts/setup-istio
	$(CARGO) build --workspace --bins
	$(CARGO) test -p tubeway-cli --test istio

bench-operator:   ## what the operator costs and how fast it is; ARGS="--topics 2000"
	$(CARGO) build --release --bins -p tubeway-cli -p tubeway-operator -p tubeway-proxy -p tubeway-launcher -p tubeway-bench
	./target/release/bench-operator $(ARGS)

test: tools       ## everything that must pass
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace

# A kubelet needs root. ROLLS is how often all brokers are restarted in turn under load.
# The images are made of the programs that `make test` has built.
ROLLS ?= 1
e2e:              ## on a real Kubernetes with a node: install, clients in pods, rolls, uninstall
	./scripts/setup-kubernetes --node
	$(CARGO) build --workspace --bins
	./target/debug/tubeway-xtask images --programs target/debug
	./target/debug/tubeway-xtask images --programs target/debug --only kafka --kafka 3.9.1 --out target/images/old
	TUBEWAY_ROLLS=$(ROLLS) $(CARGO) test -p tubeway-cli --test kubernetes

# EVERY=11 runs every eleventh disturbance; it shares no factor with the 5 faults.
EVERY ?= 1
campaign:         ## the operator disturbed at every write and Kafka call, and every field changed
	TUBEWAY_CAMPAIGN_EVERY=$(EVERY) $(CARGO) test -p tubeway-operator --test campaign --test transitions -- --nocapture

# As much of it as a change has to pass: 1,000 writes and calls, 300 restarts that see
# the past, all missed events, and every field.
sample:
	TUBEWAY_CAMPAIGN_EVERY=4 $(CARGO) test -p tubeway-operator --test campaign --test transitions -- \
	  --nocapture --skip others_meddle --skip two_operators --skip pairs_of_changes

lint: deny        ## formatting, clippy, licences and advisories
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p tubeway-cli -p tubeway-operator --test kubernetes --test life --test versions --test istio --test endurance \
	  --test campaign --test transitions -- -D warnings

deny:
	./scripts/cargo-deny check

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

crds:             ## deploy/crds from the types
	$(CARGO) run -q -p tubeway-xtask -- crds

chart:            ## what deploy/helm has of deploy
	$(CARGO) run -q -p tubeway-xtask -- chart

tools:            ## what the tests need besides Rust, Java and Maven
	./scripts/setup-test-tools
