package grpcid_test

import (
	"context"
	"crypto/tls"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/grpcid"
)

// What follows has a middleware and a certificate of its own.
var (
	m   *appserver.Middleware
	own tls.Certificate
)

// meters answers its own fleet only.
type meters struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (meters) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	id, ok := grpcid.FromContext(ctx)
	if !ok || id.Fleet != "meters" {
		return nil, status.Error(codes.PermissionDenied, "for meters only")
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

func ExampleTLS() {
	l, err := net.Listen("tcp", ":8443")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(grpcid.TLS(m, &tls.Config{Certificates: []tls.Certificate{own}})))
	grpc_health_v1.RegisterHealthServer(server, meters{})
	log.Fatal(server.Serve(l))
}
