package egress

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

func allowedTo(host string) event { return event{host: host, port: 443, protocol: "tls"} }

func refusedTo(host string, r netpolicy.Reason) event {
	return event{host: host, port: 443, reason: r, suggest: "egress:\n  - {host: " + host + "}"}
}

// Attempts at one place are summed up; why it was refused keeps them apart.
func TestSeenSums(t *testing.T) {
	s := NewSeen()
	now := atNoon
	s.now = func() time.Time { return now }
	s.add("a", allowedTo("api.example.com"), mcprun.Allow, 0, 0)
	now = now.Add(time.Minute)
	s.traffic("a", allowedTo("api.example.com"), 10, 1000)
	s.add("a", allowedTo("api.example.com"), mcprun.Allow, 0, 0)
	s.traffic("a", allowedTo("api.example.com"), 5, 500)
	for range 3 {
		s.add("a", refusedTo("evil.example.org", netpolicy.ReasonHost), mcprun.Deny, 0, 0)
	}
	s.add("a", refusedTo("api.example.com", netpolicy.ReasonPort), mcprun.Deny, 0, 0)
	s.add("a", event{addr: netip.MustParseAddrPort("8.8.8.8:123"), protocol: "udp", reason: netpolicy.ReasonProtocol}, mcprun.Deny, 0, 0)
	s.add("b", allowedTo("other.example.com"), mcprun.Allow, 0, 0)
	var got []string
	for _, d := range s.Of("a") {
		got = append(got, fmt.Sprintf("%s:%d %v %q count=%d sent=%d received=%d for=%v add=%v", d.Host, d.Port, d.Allowed, d.Reason, d.Count, d.Sent, d.Received, d.Last.Sub(d.First), d.Add != ""))
	}
	want := []string{ // what was refused first
		`8.8.8.8:123 false "protocol" count=1 sent=0 received=0 for=0s add=false`,
		`api.example.com:443 false "port" count=1 sent=0 received=0 for=0s add=true`,
		`evil.example.org:443 false "host" count=3 sent=0 received=0 for=0s add=true`,
		`api.example.com:443 true "" count=2 sent=15 received=1500 for=1m0s add=false`,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if len(s.Of("b")) != 1 || len(s.Of("nobody")) != 0 {
		t.Errorf("b has %v, nobody %v", s.Of("b"), s.Of("nobody"))
	}
}

// A program that makes up names costs the daemon no memory: beyond the bound they
// are counted together, and no attempt is lost.
func TestSeenIsBounded(t *testing.T) {
	s := NewSeen()
	const names = 3 * maxSeen
	for i := range names {
		s.add("a", refusedTo(fmt.Sprintf("n%d.example.org", i), netpolicy.ReasonHost), mcprun.Deny, 0, 0)
	}
	s.add("a", refusedTo("n0.example.org", netpolicy.ReasonHost), mcprun.Deny, 0, 0) // one that is known
	s.add("a", allowedTo("api.example.com"), mcprun.Allow, 0, 0)
	all := s.Of("a")
	if len(all) > maxSeen+len(netpolicy.Reasons())+1 {
		t.Errorf("%d destinations are kept", len(all))
	}
	count, others := int64(0), int64(0)
	for _, d := range all {
		count += d.Count
		switch {
		case d.Host == "(others)" && d.Reason == netpolicy.ReasonHost:
			others = d.Count
		case d.Host == "n0.example.org" && d.Count != 2:
			t.Errorf("a known name counts %d, want 2", d.Count)
		}
	}
	if count != names+2 || others != names-maxSeen {
		t.Errorf("%d attempts are counted, %d of them together; want %d and %d", count, others, names+2, names-maxSeen)
	}
}
