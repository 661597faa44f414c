package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/credentials"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/internal/redact"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/netpolicy/dns"
	"github.com/mcprun/mcprun/netpolicy/egress"
	"github.com/mcprun/mcprun/runtime"
)

// network is the way out of one life, with its names and its credentials.
type network struct {
	way   *egress.Way
	names *dns.Names
	held  []heldCredential
	life  uint64 // of placeholders
	bytes *account

	mu    sync.Mutex
	set   *redact.Set // for results, of the secrets in setOf
	setOf []string
}

// heldCredential is a credential of one life: what the container holds in its
// place, and where the daemon gets the secret.
type heldCredential struct {
	spec        manifest.Credential
	placeholder string
	cache       *credentials.Cache
}

// openNetwork makes the way out of a life that is about to start. Each server has
// one, whether a rule allows anything or not: what it tries is to be seen.
func (d *Daemon) openNetwork(ctx context.Context, def *definition, id string, life *front.Life) (_ *network, given runtime.Network, err error) {
	n := &network{life: d.lives.Add(1), bytes: d.account(def.m.Name, id, limits.Egress, leastBytes)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.end(err))
		}
	}()
	policy, err := def.m.Policy()
	if err != nil {
		return nil, runtime.Network{}, err
	}
	fake := def.lesson != nil && def.lesson.fake
	if n.names, err = d.openNames(def.m.Name, fake); err != nil {
		return nil, runtime.Network{}, err
	}
	if err := n.hold(def.m.Credentials, &d.issued); err != nil {
		return nil, runtime.Network{}, err
	}
	var watch func(egress.Attempt)
	if def.lesson != nil {
		watch = def.lesson.attempt
	}
	n.way, err = egress.Open(egress.Config{
		Server: def.m.Name, Instance: id, Policy: policy, Mode: d.mode, Names: n.names, Record: d.record, Seen: d.seen,
		InFlight: func() []egress.Flight { return flights(life) }, Resolver: d.resolver, Own: d.own.is, Log: d.opts.Log,
		Credentials: n.swappable(&d.issued), Spend: n.bytes.spend, Fake: fake, Watch: watch,
	})
	if err != nil {
		return nil, runtime.Network{}, err
	}
	life.CallEnded = func(mcprun.ToolName) { n.way.Recheck() }
	given, err = n.given(ctx, def.m)
	return n, given, err
}

// openNames is the server's table of names; with a fake internet one of this life alone.
func (d *Daemon) openNames(name mcprun.ServerName, fake bool) (*dns.Names, error) {
	if fake {
		return dns.NewNames(egress.MaxFakeNames), nil
	}
	if err := os.MkdirAll(d.opts.Dirs.Names(), 0o700); err != nil {
		return nil, fmt.Errorf("opening the table of names: %w", err)
	}
	return dns.OpenNames(filepath.Join(d.opts.Dirs.Names(), string(name)))
}

func flights(life *front.Life) []egress.Flight {
	var out []egress.Flight
	for _, f := range life.Flights() {
		out = append(out, egress.Flight{Tool: f.Tool, Call: f.Call})
	}
	return out
}

// hold makes a placeholder and a cache for each credential.
func (n *network) hold(specs []manifest.Credential, issued *credentials.Issued) error {
	for _, c := range specs {
		fetcher, err := c.Source.Fetcher(os.LookupEnv)
		if err != nil {
			return fmt.Errorf("credential %s: %w", c.Name, err)
		}
		h := heldCredential{spec: c, cache: credentials.New(fetcher, timeNow, c.Lifetime)}
		if !c.InContainer {
			if h.placeholder, err = credentials.NewPlaceholder(c.Expose.Shape, nil); err != nil {
				return fmt.Errorf("credential %s: %w", c.Name, err)
			}
			if err := issued.Add(h.placeholder, n.life); err != nil {
				return fmt.Errorf("credential %s: %w", c.Name, err)
			}
		}
		n.held = append(n.held, h)
	}
	return nil
}

// swappable are the credentials as the proxy uses them.
func (n *network) swappable(issued *credentials.Issued) egress.Credentials {
	var own []egress.Credential
	for _, h := range n.held {
		if h.spec.InContainer {
			continue
		}
		own = append(own, egress.Credential{
			Name: h.spec.Name, Placeholder: h.placeholder, Host: h.spec.Host, Port: h.spec.Port,
			Place:   egress.Place{Header: h.spec.Place.Header, Format: h.spec.Place.Format, Basic: h.spec.Place.Basic, Query: h.spec.Place.Query},
			Methods: h.spec.Methods, Paths: h.spec.Paths, Tools: h.spec.Tools,
			Get: func(ctx context.Context) (string, error) {
				s, err := h.cache.Get(ctx)
				return s.Reveal(), err
			},
			Known: h.cache.Known,
		})
	}
	return egress.Credentials{Own: own, Foreign: func(text string) bool { return issued.Foreign(text, n.life) }}
}

// given is what the container gets: how to ask names, whom to trust, placeholders,
// and the secrets that are handed over as such.
func (n *network) given(ctx context.Context, m *manifest.Server) (runtime.Network, error) {
	var set []string
	for _, v := range m.Environment {
		set = append(set, v.Name)
	}
	files, env, err := n.way.Given(runtime.GivenDir, runtime.ResolvConf, runtime.HostsFile, m.Name, set)
	if err != nil {
		return runtime.Network{}, err
	}
	for _, h := range n.held {
		value := h.placeholder
		if h.spec.InContainer {
			s, err := h.cache.Get(ctx)
			if err != nil {
				return runtime.Network{}, fmt.Errorf("credential %s: %w", h.spec.Name, err)
			}
			value = s.Reveal()
		}
		text := strings.Replace(h.spec.Expose.Text, "{}", value, 1)
		if h.spec.Expose.Env != "" {
			env = append(env, h.spec.Expose.Env+"="+text)
		} else {
			files[manifest.SecretDir+h.spec.Expose.File] = []byte(text)
		}
	}
	return runtime.Network{Namespace: n.way.Namespace(), Files: files, Env: env}, nil
}

// secrets is what is taken out of results: all that the credentials of this life
// were, those that the container holds itself included. One that is too short to be
// told from other text is not.
func (n *network) secrets() (*redact.Set, error) {
	var all []string
	for _, h := range n.held {
		for _, s := range h.cache.Known() {
			if len(s) >= redact.MinSecret && len(all) < redact.MaxSecrets {
				all = append(all, s)
			}
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.set == nil || !slices.Equal(n.setOf, all) {
		set, err := redact.New(all)
		if err != nil {
			return nil, fmt.Errorf("preparing the redaction of results: %w", err)
		}
		n.set, n.setOf = set, all
	}
	return n.set, nil
}

// close cuts every connection and forgets every credential, at once.
func (n *network) close(cause error) {
	if n == nil {
		return
	}
	// The way first: what is redacted is forgotten when nothing can come back.
	if n.way != nil {
		n.way.Close(cause)
	}
	for _, h := range n.held {
		h.cache.Forget()
	}
}

// end is close, and waits until the last connection is recorded. What the
// container held is nobody's placeholder any more.
func (n *network) end(cause error) error {
	if n == nil {
		return nil
	}
	n.close(cause)
	if n.way != nil {
		n.way.Wait()
	}
	n.bytes.close()
	if n.names != nil {
		return n.names.Close()
	}
	return nil
}

// ownAddresses tells the host's own addresses, which a container reaches only
// where a rule says private.
type ownAddresses struct {
	mu    sync.Mutex
	addrs map[netip.Addr]bool
	until time.Time
}

// ownLife is how long the list is used: an address that the host gets meanwhile
// counts a moment later.
const ownLife = 2 * time.Second

func (o *ownAddresses) is(a netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := timeNow(); now.After(o.until) {
		list, err := net.InterfaceAddrs()
		if err != nil {
			return true // what cannot be told apart counts as one
		}
		o.addrs, o.until = make(map[netip.Addr]bool, len(list)), now.Add(ownLife)
		for _, l := range list {
			if p, err := netip.ParsePrefix(l.String()); err == nil {
				o.addrs[p.Addr().Unmap()] = true
			}
		}
	}
	return o.addrs[a.Unmap()]
}

// errNetwork says that a server's way out could not be made.
func errNetwork(name mcprun.ServerName, err error) error {
	var e *mcprun.Error
	if errors.As(err, &e) {
		return err
	}
	return fmt.Errorf("opening the network of %s: %w", name, err)
}
