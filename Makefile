# The two commands are `make run` and `make test`; `make help` lists the rest.
PRESET ?= dev
BUILD = build/$(PRESET)

.PHONY: help run build test test-unit test-e2e test-production test-matrix test-fault torture test-asan test-tsan check house bench fuzz fuzz-smoke format deps test-deps clean install

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 26

run: deps ## install what is missing, build, start the service, print its URL
	@$(MAKE) --no-print-directory build PRESET=release
	@exec build/release/bin/file-allocator serve

build: deps ## build only (PRESET=dev, release, asan, tsan)
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET) >/dev/null
	@cmake --build --preset $(PRESET) -- --quiet

test: check test-unit test-e2e ## the whole suite

deps:
	@tools/install-deps build
	@tools/fetch-onnxruntime
	@tools/fetch-web run

test-deps:
	@tools/install-deps test
	@tools/fetch-onnxruntime
	@tools/fetch-pgvector
	@tools/fetch-web test

test-unit: test-deps ## unit and contract tests, fuzz corpora
	@$(MAKE) --no-print-directory build
	@ctest --test-dir $(BUILD) -j 2 --output-on-failure --no-tests=error

test-e2e: test-deps ## end to end, against the real program
	@$(MAKE) --no-print-directory build
	@FA_BUILD=$(abspath $(BUILD)) node --test --test-concurrency=2 tests/e2e/*.test.mjs

test-production: test-deps ## the end-to-end scenarios on PostgreSQL with pgvector, Redis and an S3 store
	@$(MAKE) --no-print-directory build
	@FA_BUILD=$(abspath $(BUILD)) tools/test-matrix postgres,redis,s3

test-matrix: test-deps ## the same on every combination of backends and on OpenStack Swift; CORNER=postgres,inproc,fs or swift for one
	@$(MAKE) --no-print-directory build
	@FA_BUILD=$(abspath $(BUILD)) tools/test-matrix $(CORNER)

test-fault: test-deps ## kills, I/O errors, full disks and power cuts, with an audit after each
	@$(MAKE) --no-print-directory build
	@FA_BUILD=$(abspath $(BUILD)) node --test tests/fault/*.test.mjs

torture: ## test-fault at every fault point, also on PostgreSQL and S3; takes long
	@FA_TORTURE=full $(MAKE) --no-print-directory test-fault
	@FA_BUILD=$(abspath $(BUILD)) FA_TORTURE=full FA_STACK=postgres,s3 node --test tests/fault/walk.test.mjs
	@FA_BUILD=$(abspath $(BUILD)) FA_TORTURE=full FA_STACK=s3 FA_WRITE_BACK=1 node --test tests/fault/walk.test.mjs

check: test-deps ## layers, banned calls, sizes, prose, format
	@tools/check

house: test-deps ## print modules with sizes and dependencies, circular files, unused functions
	@$(MAKE) --no-print-directory build
	@node tools/house.mjs . $(BUILD)

test-asan: ## everything under AddressSanitizer and UBSan
	@FA_KILLS=$(or $(FA_KILLS),12) $(MAKE) --no-print-directory test-unit test-e2e PRESET=asan

test-tsan: test-deps ## limit, queue, worker, catalog, vector, http, storage, organise, sidecar under ThreadSanitizer
	@$(MAKE) --no-print-directory build PRESET=tsan
	@TSAN_OPTIONS="halt_on_error=1 suppressions=$(CURDIR)/tests/tsan.supp" ctest --test-dir build/tsan -j 2 --output-on-failure --no-tests=error \
		-R '^test_(limit|queue|worker|catalog|postgres|sqlite|vector|helper|http|storage|search|organise|sidecar|base|metrics|jail_hostile)'

fuzz-smoke: test-deps ## every fuzzer for 30 seconds
	@$(MAKE) --no-print-directory build PRESET=fuzz
	@tools/fuzz 30

fuzz: test-deps ## every fuzzer for 10 minutes
	@$(MAKE) --no-print-directory build PRESET=fuzz
	@tools/fuzz 600

bench: test-deps ## measure the service and, in the same run, the limits it is compared with
	@$(MAKE) --no-print-directory build PRESET=dev
	@tools/bench

format: ## format the sources with clang-format 14
	@git ls-files -co --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]' | grep -v 'unicode_tables\|warmup_files\|fold_table' | xargs clang-format-14 -i

install: build ## install into PREFIX (default /usr/local); use PRESET=release
	@cmake --install $(BUILD) --prefix $(or $(PREFIX),/usr/local)

clean: ## remove the build folder
	@rm -rf build
