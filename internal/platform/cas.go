package platform

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"
)

// casInterval is how often a node looks whether another one has taken the CAs a step further.
const casInterval = time.Second

// watchCAs follows the line of CAs until ctx ends.
func (p *Platform) watchCAs(ctx context.Context) {
	look := time.NewTicker(casInterval)
	defer look.Stop()
	said := "" // what was said last, so as to say it once
	for {
		err := errors.Join(p.followCAs(ctx), p.authority.Lacking())
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			p.metrics.Failed("cas")
			p.options.Log.ErrorContext(ctx, "follow the line of CAs", "error", err)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// followCAs takes over what has become of the CAs, and has what the outside sees follow from it: the server's
// certificate, which it also renews in time, and the trust anchors in the folder.
func (p *Platform) followCAs(ctx context.Context) error {
	if err := p.authority.Refresh(ctx); err != nil {
		return err
	}
	err := p.certificate.refresh()
	anchors := p.authority.Anchors()
	if shown, readErr := os.ReadFile(p.dir.anchors()); readErr != nil || !bytes.Equal(shown, anchors) {
		err = errors.Join(err, replace(p.dir.anchors(), anchors))
	}
	return err
}
