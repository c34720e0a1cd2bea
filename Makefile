# `make` alone says what there is.
.DEFAULT_GOAL := help
.PHONY: help demo build test interop bench lint fuzz deps clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the whole path once, on virtual SIMs; needs only Go
	go run ./cmd/simroot demo

build: ## bin/simroot
	go build -o bin/ ./cmd/...

test: deps ## every test, on real parts, with the race detector
	go vet ./...
	go test -race -timeout 8m -tags pkcs11 ./...

interop: ## foreign software built from its source, as judge (wolfSSL, mbed TLS; Debian)
	scripts/deps interop
	client=$$(scripts/wolfssl) && SIMROOT_WOLFSSL=$$client go test -tags interop -count=1 -v ./internal/interop
	programs=$$(scripts/mbedtls) && SIMROOT_MBEDTLS=$$programs go test -tags interop -count=1 -v -run MbedTLS ./internal/interop/psk

bench: deps ## what it all costs, as a table (docs/benchmarks.md), then every benchmark
	go run ./internal/bench -write docs/benchmarks.md
	go test -run '^$$' -bench . -benchmem ./...

lint: ## format, vet, staticcheck, known vulnerabilities, tidy go.mod, floors
	scripts/lint

fuzz: deps ## every fuzz target, FUZZTIME each (30s)
	scripts/fuzz

deps: ## install what tests need (Debian, as root), or say what is missing
	scripts/deps

clean: ## remove what build made
	rm -rf bin
