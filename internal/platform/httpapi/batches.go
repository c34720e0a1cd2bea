package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// batchInput leaves the body where it is, to be read while it comes.
type batchInput struct {
	Fleet string `query:"fleet" required:"true" minLength:"1" maxLength:"64" doc:"The fleet that receives the SIMs."`
	Keep  bool   `query:"keep_good" doc:"Leave out lines that are wrong, and import the others."`
	Dry   bool   `query:"dry_run" doc:"Tell what would become of the batch, and change nothing."`
	ID    string `query:"id" maxLength:"64" doc:"A name for the batch, which makes a repetition harmless: under one name a batch is imported once."`
	batch *batchReader
}

// Resolve implements [huma.Resolver].
func (in *batchInput) Resolve(ctx huma.Context) []error {
	r, w := humago.Unwrap(ctx)
	in.batch = &batchReader{body: http.MaxBytesReader(w, r.Body, maxBatchBody), connection: http.NewResponseController(w)}
	return nil
}

func (s *Server) addBatches() {
	add(s, huma.Operation{
		OperationID: "import-batch", Method: http.MethodPost, Path: api.PathBatches, Tags: []string{tagFleets},
		Summary: "Import a batch of SIMs",
		Description: "Takes a batch file: newline-delimited JSON with a header, one SIM a line and a trailer, the SIMs' keys sealed to a transport key of the platform. " +
			"All of it is imported, or nothing, unless keep_good is asked for. Large batches are on the feed a little later.",
		RequestBody: &huma.RequestBody{Required: true, Description: "The batch file, of at most 1 GiB",
			Content: map[string]*huma.MediaType{"application/x-ndjson": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}},
	}, writers, func(ctx context.Context, in *batchInput) (*with[api.ImportResult], error) {
		if _, err := listedFleet(ctx, in.Fleet); err != nil {
			return nil, err
		}
		result, err := s.services.Registry.ImportWith(ctx, actor(ctx), in.Fleet, in.batch, api.ImportOptions{KeepGood: in.Keep, DryRun: in.Dry, ID: in.ID})
		return answer(result, in.batch.explain(err))
	})
}

func (s *Server) addTransportKeys() {
	add(s, huma.Operation{
		OperationID: "create-transport-key", Method: http.MethodPost, Path: api.PathTransportKeys, Tags: []string{tagFleets}, DefaultStatus: http.StatusCreated,
		Summary:     "Create a transport key for one batch",
		Description: "Makes a key pair and returns its public half, to which the keys of SIMs in one batch file are sealed. The private half is erased once that batch is imported, or when it expires.",
		RequestBody: exampleBody(map[string]any{"note": "lot 7 of Example Cards", "lifetime": "720h"}),
	}, writers, func(ctx context.Context, in *with[api.BatchKeyRequest]) (*with[api.BatchKey], error) {
		return answer(s.services.Registry.NewBatchKey(ctx, actor(ctx), in.Body))
	})
	add(s, huma.Operation{
		OperationID: "withdraw-transport-key", Method: http.MethodDelete, Path: api.PathTransportKeys + "/{key}", Tags: []string{tagFleets}, DefaultStatus: http.StatusNoContent,
		Summary:     "Withdraw a transport key for one batch",
		Description: "Erases the private half of a key that was not used: a file that is sealed to it cannot be opened any more. One that was used is refused. A repetition changes nothing.",
	}, writers, func(ctx context.Context, in *transportKeyInput) (*nothing, error) {
		key, err := hex.DecodeString(in.Key)
		if err != nil {
			return nil, err
		}
		return nil, s.services.Registry.WithdrawBatchKey(ctx, actor(ctx), key)
	})
	add(s, huma.Operation{
		OperationID: "list-transport-keys", Method: http.MethodGet, Path: api.PathTransportKeys, Tags: []string{tagFleets},
		Summary: "List the transport keys for one batch each", Description: "Lists their public halves, and what they were used for.",
	}, readers, func(ctx context.Context, in *pageInput) (*with[api.Page[api.BatchKey]], error) {
		return answerPage(s.services.Registry.BatchKeys(ctx, in.After, in.Limit))
	})
}

// transportKeyInput names a transport key for one batch.
type transportKeyInput struct {
	Key string `path:"key" pattern:"^([0-9a-f]{2}){32}$" patternDescription:"the public half, 64 hexadecimal digits" doc:"The public half."`
}

// batchReader reads a long body as long as it keeps coming, and remembers how that failed.
type batchReader struct {
	body       io.Reader
	connection *http.ResponseController
	err        error
}

func (b *batchReader) Read(p []byte) (int, error) {
	now := time.Now()
	_ = b.connection.SetReadDeadline(now.Add(readTimeout))
	_ = b.connection.SetWriteDeadline(now.Add(readTimeout + writeTimeout))
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// explain finds the cause of a failed import in its reading, where it lies there.
func (b *batchReader) explain(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil || b.err == nil:
		return err
	case errors.As(b.err, &tooLarge):
		return refuse.With(api.CodeTooLarge, http.StatusRequestEntityTooLarge, "the batch has more than %d bytes: divide it", maxBatchBody)
	default:
		return refuse.BadRequest("the batch did not arrive in full and nothing of it was imported: send it again")
	}
}
