package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrAway says that there is no SIM to use right now. It is wrapped together with the reason.
var ErrAway = errors.New("the SIM is away")

// How long a [Keeper] waits before it tries again to open a SIM that is away, at first
// and at most, and how long one look at a SIM may take.
const (
	firstReopen = time.Second
	lastReopen  = 30 * time.Second
	openTime    = 2 * time.Minute // a slow modem starts within a minute
	lookTime    = time.Minute     // a modem's own deadlines are shorter
)

// Keeper keeps a SIM open for those who share it in one process, says when it goes away, and
// opens it again when it is back. A program that must outlive its SIM uses one in place of
// a [Device] of its own.
type Keeper struct {
	open func(context.Context) (*Device, error)
	look time.Duration
	log  *slog.Logger

	suspicion chan struct{} // holds one entry if a user of the SIM has seen it fail

	mu      sync.Mutex
	sim     *Device       // nil while it is away
	away    error         // why, while it is
	told    bool          // that it is away
	changed chan struct{} // closed when the two above change
}

// NewKeeper returns a keeper for the SIM that open opens. It looks whether the SIM is still there
// whenever a user has seen it fail (see [Keeper.Suspect]), and every look (0: only
// then). Nothing happens before [Keeper.Run].
func NewKeeper(open func(context.Context) (*Device, error), look time.Duration, log *slog.Logger) *Keeper {
	return &Keeper{
		open: open, look: look, log: log,
		suspicion: make(chan struct{}, 1), away: errors.New("it was not opened yet"), changed: make(chan struct{}),
	}
}

// Run keeps the SIM until ctx ends, and then closes it.
func (k *Keeper) Run(ctx context.Context) {
	wait := firstReopen
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, openTime)
		sim, err := k.open(bounded)
		cancel()
		if err != nil {
			k.leave(ctx, err)
			// A part of the wait is chance, so that programs which want one modem do not keep
			// meeting at it.
			pause(ctx, wait/2+rand.N(wait/2))
			wait = min(2*wait, lastReopen)
			continue
		}
		wait = firstReopen
		k.arrive(sim)
		err = k.watch(ctx, sim)
		k.leave(ctx, err)
		if err := sim.Close(); err != nil && ctx.Err() == nil {
			k.log.Debug("closing the SIM failed", "iccid", sim.ICCID(), "error", err)
		}
	}
}

// watch returns why the SIM is of no more use.
func (k *Keeper) watch(ctx context.Context, sim *Device) error {
	for {
		var tick <-chan time.Time
		if k.look > 0 {
			tick = time.After(k.look)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-k.suspicion:
			sim.Forget() // what failed may be that the SIM's credential is another one by now
		case <-tick:
		}
		bounded, cancel := context.WithTimeout(ctx, lookTime)
		err := sim.Alive(bounded)
		cancel()
		if err != nil {
			return err
		}
	}
}

func (k *Keeper) arrive(sim *Device) {
	select {
	case <-k.suspicion: // it was of the SIM before this one
	default:
	}
	k.set(sim, nil)
	k.mu.Lock()
	k.told = false
	k.mu.Unlock()
	k.log.Info("the SIM is here", "iccid", sim.ICCID())
}

// leave notes why there is no SIM. That it is away is told once, until it is back; other reasons
// that show meanwhile are for those who look closer.
func (k *Keeper) leave(ctx context.Context, why error) {
	k.mu.Lock()
	told, before := k.told, k.away
	k.told = true
	k.mu.Unlock()
	k.set(nil, why)
	switch {
	case ctx.Err() != nil:
	case !told:
		k.log.Warn("the SIM is away; it is used again as soon as it is back", "error", why)
	case before == nil || before.Error() != why.Error():
		k.log.Info("the SIM is still away", "error", why)
	}
}

func (k *Keeper) set(sim *Device, away error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sim, k.away = sim, away
	close(k.changed)
	k.changed = make(chan struct{})
}

// Device is the SIM, at once: an error wraps [ErrAway] and the reason. The caller must not
// close it, and not keep it for longer than one use.
func (k *Keeper) Device() (*Device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sim == nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, k.away)
	}
	return k.sim, nil
}

// Await is the SIM as soon as there is one. It fails only when ctx ends.
func (k *Keeper) Await(ctx context.Context) (*Device, error) {
	for {
		k.mu.Lock()
		sim, changed := k.sim, k.changed
		k.mu.Unlock()
		if sim != nil {
			return sim, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Suspect makes the keeper look at the SIM now, because its user has seen it fail.
func (k *Keeper) Suspect() {
	select {
	case k.suspicion <- struct{}{}:
	default:
	}
}

// Lend is the SIM for an [Agent] in the same process: see [AgentOptions]. What the agent
// closes stays open for the others.
func (k *Keeper) Lend(context.Context) (AgentSIM, error) {
	sim, err := k.Device()
	if err != nil {
		return nil, err
	}
	return lent{sim, k}, nil
}

type lent struct {
	*Device
	keeper *Keeper
}

func (l lent) Onboard(ctx context.Context, platform Platform) (Onboarding, error) {
	done, err := l.Device.Onboard(ctx, platform)
	if errors.Is(err, ErrCard) {
		l.keeper.Suspect()
	}
	return done, err
}

func (lent) Close() error { return nil }

// Alive tells whether the SIM is still the one that was opened, with its applet selected: a
// SIM that was taken out or reset meanwhile has lost the channel. It costs one command.
func (d *Device) Alive(ctx context.Context) error {
	if _, err := d.applet.Info(ctx); err != nil {
		return fmt.Errorf("SIM %s: %w", d.iccid, err)
	}
	return nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
