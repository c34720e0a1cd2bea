package platform

import (
	"context"
	"time"
)

// jobInterval is how often the platform looks for what time has brought about.
const jobInterval = time.Minute

// work does the periodic jobs until ctx ends, the first time at once.
func (p *Platform) work(ctx context.Context) {
	ticker := time.NewTicker(jobInterval)
	defer ticker.Stop()
	for {
		p.tick(ctx)
		select {
		case <-ticker.C:
		case <-p.campaigns.Begun():
		case <-ctx.Done():
			return
		}
	}
}

// tick ends the credentials whose time is over, takes campaigns further, forgets old answers, and retires a CA.
// What fails is logged and tried again a minute later.
func (p *Platform) tick(ctx context.Context) {
	expired, err := p.life.Expire(ctx, p.options.Clock())
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		p.metrics.Failed("expire")
		p.options.Log.ErrorContext(ctx, "expire credentials", "error", err)
	case expired > 0:
		p.metrics.Expired(expired)
		p.options.Log.InfoContext(ctx, "credentials expired", "count", expired)
	}
	if err := p.campaigns.Work(ctx); err != nil && ctx.Err() == nil {
		p.metrics.Failed("campaigns")
		p.options.Log.ErrorContext(ctx, "work on campaigns", "error", err)
	}
	if err := p.answers.Forget(ctx); err != nil && ctx.Err() == nil {
		p.metrics.Failed("answers")
		p.options.Log.ErrorContext(ctx, "forget answers that were kept for repeated requests", "error", err)
	}
	if err := p.rollover.Work(ctx); err != nil && ctx.Err() == nil {
		p.options.Log.ErrorContext(ctx, "retire the CA before this one", "error", err)
	}
}
