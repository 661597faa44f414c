package learned

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

// Host is where the server went or tried to go.
type Host struct {
	Place
	Counts
	Grant netpolicy.Grant `json:"grant,omitzero"` // that its address needs
	Add   string          `json:"add,omitempty"`  // lines of server.yaml that would allow it
}

// Place is what makes one of them another.
type Place struct {
	Host      string `json:"host"`
	Port      uint16 `json:"port"`
	Protocol  string `json:"protocol,omitempty"` // tls, http, tcp; of a name of which nothing more was asked: dns
	Method    string `json:"method,omitempty"`   // of a request that was read
	Path      string `json:"path,omitempty"`
	WebSocket bool   `json:"websocket,omitempty"`
	Fake      bool   `json:"fake,omitempty"` // it was answered here, and went nowhere
	Allowed   bool   `json:"allowed"`        // by the rules that were there
}

// OnlyName is the protocol of a name that was asked for.
const OnlyName = "dns"

func (p Place) compare(o Place) int {
	return cmp.Or(cmp.Compare(p.Host, o.Host), cmp.Compare(p.Port, o.Port), cmp.Compare(p.Path, o.Path), cmp.Compare(p.Method, o.Method),
		b2i(p.Allowed)-b2i(o.Allowed), cmp.Compare(p.Protocol, o.Protocol), b2i(p.Fake)-b2i(o.Fake), b2i(p.WebSocket)-b2i(o.WebSocket))
}

// String is where it went, and what it asked for there.
func (p Place) String() string {
	switch {
	case p.Port == 0:
		return p.Host
	case p.Method == "":
		return fmt.Sprintf("%s, port %d (%s)", p.Host, p.Port, p.Protocol)
	}
	return fmt.Sprintf("%s %s at %s, port %d", p.Method, p.Path, p.Host, p.Port)
}

// line says in a comment what became of it.
func (h Host) line() string {
	what := "Tried to go to %s, and was refused"
	switch {
	case h.Fake:
		what = "Asked the fake internet for %s"
	case h.Allowed && h.Method == "":
		what = "Went to %s"
	case h.Allowed:
		what = "Asked for %s"
	}
	return fmt.Sprintf(what+": %s.", clean(h.String()), h.where())
}

// Hosts collects them in one run. Several goroutines may use it.
type Hosts struct {
	mu   sync.Mutex
	all  map[Place]*Host
	lost int64
}

// Note counts one: tools are being called now, and called says whether any was before.
func (s *Hosts) Note(one Host, called bool, tools []mcprun.ToolName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.all[one.Place]
	if have == nil {
		if len(s.all) >= maxHosts {
			s.lost++
			return
		}
		if s.all == nil {
			s.all = map[Place]*Host{}
		}
		have = &one
		s.all[one.Place] = have
	}
	have.note(called, tools)
}

// List returns what is known, and how many more were seen than are kept.
func (s *Hosts) List() (out []Host, lost int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.all {
		out = append(out, *h)
	}
	return settled(out), s.lost
}

// mergeHosts adds those of one run to those of others.
func mergeHosts(old, run []Host) []Host {
	all := slices.Clone(run)
	for _, h := range old {
		i := slices.IndexFunc(all, func(o Host) bool { return o.Place == h.Place })
		switch {
		case i >= 0:
			all[i].add(h.Counts)
		case len(all) < maxHosts:
			all = append(all, h)
		}
	}
	return settled(all)
}

// settled leaves out what says nothing further: a name where a connection to it was made,
// and a connection where requests on it were read. It is sorted.
func settled(all []Host) []Host {
	out := slices.DeleteFunc(slices.Clone(all), func(h Host) bool {
		return h.Method == "" && slices.ContainsFunc(all, func(o Host) bool {
			return o.Host == h.Host && o.Fake == h.Fake && (h.Port == 0 && o.Port != 0 || o.Port == h.Port && o.Method != "")
		})
	})
	slices.SortFunc(out, func(a, b Host) int { return a.compare(b.Place) })
	return out
}
