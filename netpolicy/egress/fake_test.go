package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/netpolicy"
)

// What a client says first tells which protocol it is, however it is cut into pieces.
func TestListenFor(t *testing.T) {
	for _, row := range []struct {
		first string
		want  netpolicy.Protocol
	}{
		{"GET / HTTP/1.1\r\n\r\n", netpolicy.HTTP},
		{"OPTIONS * HTTP/1.1\r\n\r\n", netpolicy.HTTP},
		{"\x16\x03\x01\x02\x00", netpolicy.TLS},
		{"GET is a word", netpolicy.TCP},
		{"get / HTTP/1.1\r\n\r\n", netpolicy.TCP},
		{"SSH-2.0-OpenSSH_9.2p1\r\n", netpolicy.TCP},
		{"\x00\x00\x00\x08\x04\xd2\x16\x2f", netpolicy.TCP}, // PostgreSQL asks for TLS
		{"", netpolicy.TCP},
	} {
		for _, piece := range []int{1, 1 << 10} {
			client, server := net.Pipe()
			go func() {
				for rest := row.first; rest != ""; {
					n, err := io.WriteString(client, rest[:min(piece, len(rest))])
					if err != nil {
						return
					}
					rest = rest[n:]
				}
				client.Close()
			}()
			first, spoken := listenFor(server)
			server.Close()
			if spoken != row.want || !strings.HasPrefix(row.first, string(first)) {
				t.Errorf("%q by %d: %v, read %q; want %v", row.first, piece, spoken, first, row.want)
			}
		}
	}
}

func FuzzIsRequest(f *testing.F) {
	f.Add([]byte("GET /"))
	f.Add([]byte("\x16\x03\x01"))
	f.Add([]byte("GET  /"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if isRequest(b) && (b[0] < 'A' || b[0] > 'Z') {
			t.Errorf("%q is no request", b)
		}
	})
}

// Nothing is resolved or dialled under a fake internet, from wherever it would be asked.
func TestFakeDialsNobody(t *testing.T) {
	w := Way{cfg: Config{Fake: true}}
	if _, err := w.resolve(context.Background(), netpolicy.LiteralHost(netip.MustParseAddr("127.0.0.1"))); !errors.Is(err, errFake) {
		t.Errorf("resolve: %v", err)
	}
	if _, err := w.dialOne(context.Background(), []netip.Addr{netip.MustParseAddr("127.0.0.1")}, 1); !errors.Is(err, errFake) {
		t.Errorf("dial: %v", err)
	}
}
