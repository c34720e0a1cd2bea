package grpcid_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/grpcid"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/psktls"
)

// health is a service that is at hand. It answers calls whose SIM the caller expects.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	watched chan struct{}
}

func (h *health) Check(ctx context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if id, ok := grpcid.FromContext(ctx); !ok || id.ICCID != r.Service || id.Fleet != "meters" {
		return nil, status.Errorf(codes.PermissionDenied, "%+v, %v", id, ok)
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

func (h *health) Watch(_ *grpc_health_v1.HealthCheckRequest, s grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	close(h.watched)
	<-s.Context().Done()
	return s.Context().Err()
}

func TestAgRPCCallKnowsItsSIMAndEndsWithItsCredential(t *testing.T) {
	p := platformtest.New(t)
	m := servertest.Open(t, p)
	sim, k := p.Provision(t, platformtest.ICCID(1)), p.ProvisionPSK(t, platformtest.ICCID(2), m.Public)
	m.InStep(t)
	overPSK, err := grpcid.PSK(m.Middleware, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, iccid, credential string
		server                  credentials.TransportCredentials
		client                  []grpc.DialOption
	}{
		{
			"certificate", sim.ICCID, sim.Credential,
			grpcid.TLS(m.Middleware, &tls.Config{Certificates: []tls.Certificate{p.CA.Server(t, "server.example")}}),
			[]grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
				ServerName: "server.example", RootCAs: p.CA.Roots, Certificates: []tls.Certificate{sim.Certificate},
			}))},
		},
		{
			"PSK", platformtest.ICCID(2), k.Credential, overPSK,
			[]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				return psktls.Dial(ctx, "tcp", address, &psktls.Config{
					Identity: []byte(k.Identity), Key: psktls.SecretKey(k.Secret), NextProtos: []string{"h2"},
				})
			})},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			service := &health{watched: make(chan struct{})}
			server := grpc.NewServer(grpc.Creds(c.server))
			grpc_health_v1.RegisterHealthServer(server, service)
			served := make(chan error, 1)
			go func() { served <- server.Serve(l) }()
			t.Cleanup(func() { server.Stop(); <-served })
			conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), c.client...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			ctx, cancel := context.WithTimeout(t.Context(), servertest.Patience)
			defer cancel()
			client := grpc_health_v1.NewHealthClient(conn)
			if _, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: c.iccid}); err != nil {
				t.Fatal(err)
			}
			stream, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			<-service.watched
			p.SetCredential(c.credential, api.Revoked)
			if _, err := stream.Recv(); err == nil || err == io.EOF || ctx.Err() != nil {
				t.Errorf("the call outlives the credential: %v", err)
			}
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if _, err := client.Check(short, &grpc_health_v1.HealthCheckRequest{Service: c.iccid}); err == nil {
				t.Error("a call with a revoked credential was answered")
			}
		})
	}
}
