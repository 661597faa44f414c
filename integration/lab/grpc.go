package lab

import (
	"context"
	"crypto/tls"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// GRPC is a gRPC server with the standard health service.
type GRPC struct {
	Addr netip.AddrPort

	calls record[Call]
}

// Call is one call that came.
type Call struct {
	Method   string
	Metadata metadata.MD
}

// GRPC serves the health service at an address and port of net, with TLS and a
// certificate for names; without names, without TLS.
func (l *Lab) GRPC(addr string, names ...string) *GRPC {
	l.t.Helper()
	g := &GRPC{Addr: l.addrPort(addr)}
	options := []grpc.ServerOption{grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		g.calls.add(Call{Method: info.FullMethod, Metadata: md.Copy()})
		return next(ctx, req)
	})}
	if len(names) > 0 {
		options = append(options, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{l.CA.Leaf(names...)}})))
	}
	s := grpc.NewServer(options...)
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	listener, err := l.Listen(Net, "tcp", addr)
	l.must(err, "serving at %s", addr)
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(listener) }()
	l.t.Cleanup(func() {
		s.Stop()
		if !wait(done) {
			l.t.Errorf("the gRPC server at %s does not end", addr)
		}
	})
	return g
}

// Calls lists the calls that came.
func (g *GRPC) Calls() []Call { return g.calls.all(same) }
