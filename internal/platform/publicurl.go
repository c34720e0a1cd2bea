package platform

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/simroot/simroot/internal/platform/store"
)

// settingURLs holds the public URLs, the present one first. Those before it stay: certificates name them.
const settingURLs = "public-urls"

// checkURL refuses a public URL that cannot stand in a certificate.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil ||
		len(text) > 100 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("public URL %q: want http://HOST[:PORT][/PATH] of at most 100 bytes", text)
	}
	return nil
}

// publicURLs returns what is stored, after a new URL has been put first.
func publicURLs(ctx context.Context, s store.Store, given string) (urls []string, err error) {
	given = strings.TrimSuffix(given, "/")
	read := func(tx store.Tx) error {
		text, err := tx.Setting(settingURLs)
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		urls = strings.Fields(text)
		return err
	}
	if err := s.View(ctx, read); err != nil || given == "" || len(urls) > 0 && urls[0] == given {
		return urls, err
	}
	if err := checkURL(given); err != nil {
		return nil, err
	}
	err = s.Update(ctx, func(tx store.Tx) error {
		if err := read(tx); err != nil {
			return err
		}
		urls = append([]string{given}, slices.DeleteFunc(urls, func(u string) bool { return u == given })...)
		return tx.SetSetting(settingURLs, strings.Join(urls, " "))
	})
	return urls, err
}
