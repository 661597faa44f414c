package egress

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// clientHello is what crypto/tls sends first: one record, or several of a long one.
func clientHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		tls.Client(client, config).Handshake()
		client.Close()
	}()
	header := make([]byte, 5)
	if _, err := io.ReadFull(server, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(server, body); err != nil {
		t.Fatal(err)
	}
	return append(header, body...)
}

// named offers a name, and nothing that hides it.
func named(name string) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}
}

// hidden offers a name by ECH; public is the one in the clear.
func hidden(t testing.TB, name, public string) *tls.Config {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sized := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	// ECHConfigContents, RFC 9849 section 4: X25519, HKDF-SHA256, AES-128-GCM.
	contents := append([]byte{1, 0, 0x20}, sized(key.PublicKey().Bytes())...)
	contents = append(contents, sized([]byte{0, 1, 0, 1})...)
	contents = append(contents, 0, byte(len(public)))
	contents = append(contents, public...)
	contents = append(contents, 0, 0)
	list := sized(append([]byte{0xfe, 0x0d}, sized(contents)...))
	return &tls.Config{ServerName: name, MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: list}
}

// sent is a connection on which bytes come in pieces of the given size, and then
// nothing; without a size all at once.
func sent(t testing.TB, b []byte, size int) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		for len(b) > 0 {
			n := len(b)
			if size > 0 {
				n = min(n, size)
			}
			if _, err := client.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
		}
	}()
	t.Cleanup(func() { client.Close(); server.Close() })
	return server
}

// What a real client says is read, however it comes in pieces, and kept as it was.
func TestPeekHello(t *testing.T) {
	for _, row := range []struct {
		name   string
		config *tls.Config
		host   string
		ech    bool
	}{
		{"a name", named("api.example.com"), "api.example.com", false},
		{"a name of TLS 1.2", &tls.Config{ServerName: "api.example.com", MaxVersion: tls.VersionTLS12}, "api.example.com", false},
		{"no name", &tls.Config{InsecureSkipVerify: true}, "", false},
		{"an address is no name", named("10.0.0.1"), "", false},
		{"L3 a hidden name", hidden(t, "secret.example.com", "public.example.com"), "public.example.com", true},
	} {
		raw := clientHello(t, row.config)
		for _, size := range []int{0, 1, 7, 100} {
			synctest.Test(t, func(t *testing.T) {
				c := sent(t, raw, size)
				h, err := peekHello(c)
				if err != nil || h.name != row.host || h.ech != row.ech {
					t.Errorf("%s, pieces of %d: %q, ech %v, %v; want %q, %v", row.name, size, h.name, h.ech, err, row.host, row.ech)
				}
				if !bytes.Equal(h.raw, raw) {
					t.Errorf("%s, pieces of %d: %d bytes are kept, want the %d that came", row.name, size, len(h.raw), len(raw))
				}
			})
		}
	}
}

// What follows the first message at once is kept, too, and is replayed.
func TestPeekHelloKeepsWhatFollows(t *testing.T) {
	raw := append(clientHello(t, named("api.example.com")), "early data"...)
	c := sent(t, raw, 0)
	h, err := peekHello(c)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(raw))
	if _, err := io.ReadFull(replay(c, h.raw), got); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("replayed %d bytes, %v; want the %d that came", len(got), err, len(raw))
	}
}

// What is no ClientHello is refused, with what was read of it.
func TestPeekHelloRefuses(t *testing.T) {
	good := clientHello(t, named("api.example.com"))
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	dotted := bytes.Replace(good, []byte("api.example.com"), []byte("api.example.co."), 1)
	for _, row := range []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"control", good, nil},
		{"H1 a NUL in the name", bytes.Replace(good, []byte("api.example.com"), []byte("api\x00example.com"), 1), nil}, // netpolicy.CheckHello refuses it
		{"H3 a dot at the end, which RFC 6066 forbids", dotted, errNotTLS},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"), errNotTLS},
		{"SSH", []byte("SSH-2.0-OpenSSH_9.2\r\n"), errNotTLS},
		{"SSLv2", []byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10}, errNotTLS},
		{"an alert", alert(alertAccessDenied), errNotTLS},
		{"application data", change(0, 23), errNotTLS},
		{"a ServerHello", change(5, 2), errNotTLS},
		{"a record longer than TLS allows", change(3, 0xff), errNotTLS},
		{"a message longer than any hello", append([]byte{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, make([]byte, 64<<10)...), errNotTLS},
		{"records without end", bytes.Repeat([]byte{22, 3, 1, 0, 1, 1}, maxHello), errNotTLS},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			h, err := peekHello(sent(t, row.bytes, 0))
			if !errors.Is(err, row.want) {
				t.Errorf("%s: %v, want %v", row.name, err, row.want)
			}
			if !bytes.HasPrefix(row.bytes, h.raw) || len(h.raw) > maxHello {
				t.Errorf("%s: %d bytes are kept, which are not the first that came", row.name, len(h.raw))
			}
			if took := time.Since(begun); took > 0 {
				t.Errorf("%s: refused after %v, want at once", row.name, took)
			}
		})
	}
}

// L8: however slowly a hello comes, it is not waited for longer than the limit.
func TestPeekHelloIsNotWaitedFor(t *testing.T) {
	raw := clientHello(t, named("api.example.com"))
	for _, row := range []struct {
		name  string
		pause time.Duration
		want  error
	}{
		{"control: slow but in time", helloTimeout / time.Duration(2*len(raw)), nil},
		{"a byte a second", time.Second, errNoHello},
		{"nothing", 2 * helloTimeout, errNoHello},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			var writer sync.WaitGroup
			defer writer.Wait()
			defer server.Close()
			writer.Go(func() {
				for _, b := range raw {
					time.Sleep(row.pause)
					if _, err := client.Write([]byte{b}); err != nil {
						return
					}
				}
			})
			begun := time.Now()
			if _, err := peekHello(server); !errors.Is(err, row.want) {
				t.Errorf("%s: %v, want %v", row.name, err, row.want)
			}
			if took := time.Since(begun); row.want != nil && took != helloTimeout || took > helloTimeout {
				t.Errorf("%s: it ended after %v, want %v", row.name, took, helloTimeout)
			}
		})
	}
}

// An alert is one that a client understands.
func TestAlert(t *testing.T) {
	for code, want := range map[byte]string{alertAccessDenied: "remote error: tls: access denied", alertUnrecognizedName: "remote error: tls: unrecognized name"} {
		client, server := net.Pipe()
		go func() {
			peekHello(server)
			server.Write(alert(code))
			server.Close()
		}()
		err := tls.Client(client, named("api.example.com")).Handshake()
		if err == nil || err.Error() != want {
			t.Errorf("alert %d is read as %v, want %s", code, err, want)
		}
		client.Close()
	}
}

// given is a connection on which bytes come, and then its end.
type given struct {
	net.Conn
	r *bytes.Reader
}

func (g given) Read(b []byte) (int, error)    { return g.r.Read(b) }
func (given) SetReadDeadline(time.Time) error { return nil }

// FuzzPeekHello: whatever comes, reading it does not panic; what is kept is what
// was read; and what is kept says the same again, as the upstream will read it.
func FuzzPeekHello(f *testing.F) {
	for _, config := range []*tls.Config{named("api.example.com"), {InsecureSkipVerify: true}, hidden(f, "secret.example.com", "public.example.com")} {
		f.Add(clientHello(f, config))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g := given{r: bytes.NewReader(b)}
		h, err := peekHello(g)
		if !bytes.Equal(h.raw, b[:len(b)-g.r.Len()]) || len(h.raw) > maxHello {
			t.Fatalf("%d bytes were read, %d are kept", len(b)-g.r.Len(), len(h.raw))
		}
		if err != nil {
			if h.name != "" || h.ech {
				t.Fatalf("refused (%v), and yet it says %q", err, h.name)
			}
			return
		}
		again, err := peekHello(given{r: bytes.NewReader(h.raw)})
		if err != nil || again.name != h.name || again.ech != h.ech {
			t.Fatalf("read again it says %q, %v, %v; before %q, %v", again.name, again.ech, err, h.name, h.ech)
		}
	})
}
