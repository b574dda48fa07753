# The commands of this project; `make` alone lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help build run test nightly check deny bench scale screenshots crash cases fuzz sample demo install clean

PARSELOG := target/debug/parselog
SAMPLE := samples/tanf-active-2021-q1.txt
DENY_VERSION := 0.20.2
DENY := target/tools/cargo-deny-$(DENY_VERSION)

# Everything that a first look makes stays in the project.
export PARSELOG_HOME ?= $(CURDIR)/.parselog
# What scripts/setup installed for a user who may not use apt-get.
ifneq ($(wildcard target/postgres/bin/postgres),)
export PG_BIN ?= $(CURDIR)/target/postgres/bin
endif

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1#/p' $(MAKEFILE_LIST) | awk -F'#' '{ printf "%-16s %s\n", $$1, $$2 }'

build: ## compile (unoptimised, as run and test use it)
	cargo build

run: ## parse the shipped sample and print the run and its log
	@scripts/setup run
	@cargo build --quiet
	@$(MAKE) --no-print-directory first-look

.PHONY: first-look
first-look:
	$(PARSELOG) run --program tanf --section active --year 2021 --quarter 1 $(SAMPLE)
	$(PARSELOG) logs @latest

test: ## run every test, with a database and a LocalStack of its own
	@scripts/setup test
	@$(MAKE) --no-print-directory tests

.PHONY: tests
tests:
	@scripts/test

check: deny ## formatting, lints, documentation, licences, scripts: all without warnings
	@scripts/setup check
	PATH="$(CURDIR)/target/tools:$$PATH" shellcheck .ci/run localstack/lib.sh localstack/start localstack/stop $(filter-out scripts/cases,$(wildcard scripts/*))
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --workspace --all-targets --features parselog/faults -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

deny: $(DENY) ## check what is linked in: licences, sources, forbidden crates
	$(DENY) --log-level error check bans licenses sources

# Built once, unoptimised: that takes a minute instead of five, and it runs for a second.
$(DENY):
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked cargo-deny@$(DENY_VERSION) \
		--root target/tools/install --target-dir target/tools/build
	mv target/tools/install/bin/cargo-deny $@
	rm -rf target/tools/install target/tools/build

bench: ## measure the cost of an event, of parsing, and what a worker needs; one: BENCH="event -- scope"
	cargo build --release --workspace
	cargo bench --workspace $(if $(BENCH),--bench $(BENCH),--benches)

SCALE ?= 1000000
scale: ## fill a database with SCALE runs (up to 10000000) and measure it beside an empty one; some: ONLY=runs
	@scripts/setup run
	@scripts/scale $(SCALE) $(ONLY)

screenshots: ## write the pictures of the README, by the test that tells the story in a browser
	@scripts/setup test
	PARSELOG_PICTURES="$(CURDIR)/pictures" scripts/test --test it -- browser::story

N ?= 100
crash: ## kill -9 a worker at every named point and N times at random, and count what is lost
	@scripts/setup test
	PARSELOG_CRASHES=$(N) scripts/test --features faults --test crash -- --nocapture

nightly: check ## what takes longer than CI may: the optimised build, tests of gigabytes, fuzzing, 2,100 kills
	cargo build --locked --release
	@scripts/setup test
	scripts/test --test it -- --ignored twenty_runs_keep two_logs_of_1_gb any_200_lines_of_a_10_gb any_line_of_a_log_of_10_gb
	@$(MAKE) --no-print-directory fuzz
	@$(MAKE) --no-print-directory crash N=2100

CASES ?= ../shared/cases
cases: build ## run small inputs after public reports (a folder: CASES=…) and print expected and found
	@scripts/setup run
	@scripts/cases $(CASES)

SECONDS ?= 60
fuzz: ## fuzz whatever reads bytes from outside, each target for SECONDS (needs nightly and cargo-fuzz)
	@scripts/fuzz $(SECONDS) $(TARGETS)

SIZE ?= 10M
OUT ?= target/sample.txt
sample: build ## generate a submission: make sample SIZE=1G OUT=big.txt FORCE=yes
	$(PARSELOG) sample --size $(SIZE) $(if $(FORCE),--force) $(OUT)

demo: build ## the whole story: submit, correct, compare, parse all once more; then three people's, with their times
	@scripts/setup run
	@scripts/demo
	@scripts/stories

PREFIX ?= /usr/local
install: ## build and install the program, completions and man pages below PREFIX (/usr/local)
	cargo build --locked --release
	install -D -m 755 target/release/parselog "$(DESTDIR)$(PREFIX)/bin/parselog"
	target/release/parselog completion --all "$(DESTDIR)$(PREFIX)/share"

clean: ## remove what was built; the runs in .parselog stay
	@test ! -x $(PARSELOG) || $(PARSELOG) db stop >/dev/null || :
	cargo clean
