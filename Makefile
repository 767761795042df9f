# The front door: `make bench` and `make test` install what is missing, build and run.
# Everything else is CMake: `cmake --preset release && cmake --build --preset release`.

JOBS ?= $(shell nproc)
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
BENCH ?= tun wireguard --quick

.PHONY: build bench test lint install fuzz clean help

help:
	@echo "make bench    install, build, and compare ways of forwarding between two TUN devices, and WireGuard (about 5 minutes)"
	@echo "make test     install, build, and run every test"
	@echo "make build    install and build into build/release"
	@echo "make lint     clang-format and clang-tidy over the tree"
	@echo "make fuzz     run each fuzzer for a minute"
	@echo "make install  install warren, libwarren, man pages and units (PREFIX=/usr/local)"

build:
	@scripts/setup build
	@echo "building into build/release"
	@mkdir -p build
	@cmake --preset release $(if $(PREFIX),-DCMAKE_INSTALL_PREFIX=$(PREFIX)) >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build --preset release -j $(JOBS) --target programs

bench: build
	@scripts/setup run
	@$(AS_ROOT) build/release/bin/warren bench $(BENCH)

test:
	@scripts/test

lint:
	@scripts/setup build lint
	@scripts/lint

fuzz:
	@scripts/setup build fuzz
	@scripts/fuzz

install: build
	@$(AS_ROOT) cmake --install build/release

clean:
	@rm -rf build
