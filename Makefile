# Every routine of the project. Each target does its own set-up: a fresh machine needs Rust, a C compiler and Python 3.
.PHONY: help demo test test-cluster e2e scenarios chaos lint bench images release clean

help:
	@echo "make demo    the product at work: PostgreSQL, real and simulated render hosts, two schedulers (half a minute after the build)"
	@echo "make test    all tests"
	@echo "make test-cluster   the Kubernetes operator against a real API server (Go builds it once, about ten minutes, unless it is there)"
	@echo "make e2e     from helm install to a running frame, on a Kubernetes node of its own (root; some minutes); FULL=1 with images built inside, and all faults again and again"
	@echo "make scenarios   what must hold whatever Cuebot, users and agents do; LENGTH=short in some seconds each, ONLY=NAME, SEED=, GENERATION=b1 or c"
	@echo "make chaos   three replicas while everything goes wrong by a seeded schedule; SEED=n repeats one, COUNT=m takes m seeds from there, LENGTH=short in half a minute each"
	@echo "make lint    formatting and clippy"
	@echo "make bench   the benchmarks, as ratios against what was measured in the same run (release build)"
	@echo "make images  the images of both programs, by Buildah, as archives in target/images"
	@echo "make release the bare scheduler, and an archive with it, in target/dist; TARGET=x86_64-unknown-linux-musl and the like"
	@echo "make clean   removes everything that was built or fetched"

demo:
	cargo build --locked --workspace --bins
	cargo run --locked --quiet --package cue-scheduler-testbed --bin demo

# The programs are built first: tests start them as a user would.
test:
	cargo build --locked --workspace --bins
	cargo test --locked --workspace

# An API server from KUBEBUILDER_ASSETS or the PATH, or built and kept in the user's cache folder.
test-cluster:
	cargo test --locked --package cue-scheduler-operator --features cluster-tests --test cluster -- --nocapture

# As root, on a Debian without containerd too: what is missing is fetched, built and kept, and nothing is installed.
e2e:
	cargo build --locked --workspace --bins
	cargo run --locked --quiet --package cue-scheduler-testbed --bin e2e -- $(if $(FULL),--length full --build-inside)

scenarios:
	cargo build --locked --workspace --bins
	cargo run --locked --quiet --package cue-scheduler-testbed --bin scenarios -- $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED)) $(if $(GENERATION),--generation $(GENERATION)) $(if $(LENGTH),--length $(LENGTH))

chaos:
	cargo build --locked --workspace --bins
	cargo run --locked --quiet --package cue-scheduler-testbed --bin chaos -- $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(if $(LENGTH),--length $(LENGTH))

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- --deny warnings

bench:
	cargo build --locked --release --workspace --bins
	cargo run --locked --quiet --release --package cue-scheduler-testbed --bin bench -- $(if $(ONLY),--only $(ONLY)) $(if $(SCALE),--scale $(SCALE))

images:
	packaging/images.sh

release:
	packaging/release.sh

clean:
	cargo clean
