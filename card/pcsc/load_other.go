//go:build !linux || android || !(386 || amd64 || arm || arm64 || loong64 || ppc64le || riscv64)

package pcsc

func load() (*library, error) { return nil, ErrUnsupported }
