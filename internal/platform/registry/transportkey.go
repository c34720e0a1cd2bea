package registry

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/keyfile"
)

// CreateTransportKey makes a private transport key in a new file.
func CreateTransportKey(file string, safe keyfile.Safe) error {
	private, _, err := api.GenerateSealKey()
	if err != nil {
		return err
	}
	defer clear(private)
	return safe.Write(file, []byte(hex.EncodeToString(private)+"\n"))
}

// OpenTransportKey reads the private transport key.
func OpenTransportKey(file string, safe keyfile.Safe) ([]byte, error) {
	text, err := safe.Read(file)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != api.SealKeySize {
		return nil, fmt.Errorf("%s is no transport key: want %d bytes in hexadecimal", file, api.SealKeySize)
	}
	return key, nil
}
