package natscallout

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/simroot/simroot/appserver"
)

const (
	// systemTimeout is how long a server may take to answer a request of the system account.
	systemTimeout = 2 * time.Second
	// silenceAfter is how long no further server of a cluster has answered when all have.
	silenceAfter = 500 * time.Millisecond
	// listPage is how many connections one answer tells.
	listPage = 256
)

// ask makes a request to one server.
func (c *Callout) ask(ctx context.Context, server, what string, request, answer any) error {
	content, err := json.Marshal(request)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, systemTimeout)
	defer cancel()
	message, err := c.conn.RequestWithContext(ctx, "$SYS.REQ.SERVER."+server+"."+what, content)
	if err != nil {
		return fmt.Errorf("%s of server %s: %w", what, server, err)
	}
	var reply struct {
		Data  json.RawMessage `json:"data"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(message.Data, &reply); err != nil {
		return fmt.Errorf("%s of server %s: %w", what, server, err)
	}
	if reply.Error != nil {
		return &serverError{what, reply.Error.Description}
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(reply.Data, answer)
}

// serverError is a server's no.
type serverError struct{ what, said string }

func (e *serverError) Error() string { return fmt.Sprintf("%s: the server says: %s", e.what, e.said) }

// servers are the IDs of all servers of the cluster.
func (c *Callout) servers(ctx context.Context) ([]string, error) {
	inbox := c.conn.NewRespInbox()
	answers, err := c.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer answers.Unsubscribe() //nolint:errcheck // the connection may be gone
	if err := c.conn.PublishRequest("$SYS.REQ.SERVER.PING", inbox, nil); err != nil {
		return nil, err
	}
	var ids []string
	for wait := systemTimeout; ; wait = silenceAfter {
		bounded, cancel := context.WithTimeout(ctx, wait)
		message, err := answers.NextMsgWithContext(bounded)
		cancel()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && len(ids) > 0:
			return ids, nil
		case err != nil:
			return nil, fmt.Errorf("no server of NATS answers: %w", err)
		}
		var reply struct {
			Server struct {
				ID string `json:"id"`
			} `json:"server"`
		}
		if json.Unmarshal(message.Data, &reply) == nil && reply.Server.ID != "" {
			ids = append(ids, reply.Server.ID)
		}
	}
}

// kick ends a session. That there is none is as good.
func (c *Callout) kick(ctx context.Context, s session) error {
	err := c.ask(ctx, s.server, "KICK", map[string]uint64{"cid": s.client}, nil)
	var no *serverError
	if errors.As(err, &no) {
		return nil
	}
	return err
}

// connection is what CONNZ tells of a client.
type connection struct {
	ID    uint64 `json:"cid"`
	Certs []struct {
		SHA256 string `json:"cert_sha256"`
	} `json:"tls_peer_certs"`
}

func (c connection) fingerprint() (print appserver.Fingerprint, ok bool) {
	if len(c.Certs) == 0 {
		return print, false
	}
	raw, err := hex.DecodeString(c.Certs[0].SHA256)
	return print, err == nil && copy(print[:], raw) == len(print)
}

// list takes up the sessions that there are, and has those ended whose credential has ended.
func (c *Callout) list(ctx context.Context) error {
	before := c.sessions.all()
	servers, err := c.servers(ctx)
	if err != nil {
		return err
	}
	for _, server := range servers {
		for offset := 0; ; offset += listPage {
			var page struct {
				Total       int          `json:"total"`
				Connections []connection `json:"connections"`
			}
			err := c.ask(ctx, server, "CONNZ", map[string]any{"auth": true, "offset": offset, "limit": listPage}, &page)
			if err != nil {
				return err
			}
			for _, client := range page.Connections {
				name := session{server, client.ID}
				delete(before, name)
				c.takeUp(name, client)
			}
			if offset+listPage >= page.Total {
				break
			}
		}
	}
	// Who left while pages were turned may have hidden somebody who has not, so ask for each.
	for name := range before {
		var one struct {
			Connections []connection `json:"connections"`
		}
		err := c.ask(ctx, name.server, "CONNZ", map[string]any{"cid": name.client}, &one)
		var no *serverError
		switch {
		case errors.Is(err, nats.ErrNoResponders), errors.As(err, &no), err == nil && len(one.Connections) == 0:
			c.sessions.ended(name)
		case err != nil:
			return err
		}
	}
	return nil
}

// takeUp tracks a session that began when nobody was here, or has it ended. The application's, with
// the certificate of this side, is none.
func (c *Callout) takeUp(name session, client connection) {
	print, ok := client.fingerprint()
	if !ok || print == c.localPrint || c.sessions.known(name) == print {
		return
	}
	switch err := c.sessions.begin(name, print); {
	case err == nil, errors.Is(err, appserver.ErrClosed):
	default:
		c.sessions.end(name, err)
	}
}

// reload makes a server read its files again, unless it has since they were written: NATS asks about all
// sessions then.
func (c *Callout) reload(ctx context.Context, server string, written time.Time) error {
	var state struct {
		Loaded time.Time `json:"config_load_time"`
	}
	if err := c.ask(ctx, server, "VARZ", struct{}{}, &state); err != nil {
		return err
	}
	if state.Loaded.After(written) {
		return nil
	}
	return c.ask(ctx, server, "RELOAD", struct{}{}, nil)
}
