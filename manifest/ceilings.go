package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/credentials"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/limits/detect"
	"github.com/mcprun/mcprun/netpolicy"
	"github.com/mcprun/mcprun/profiles"
)

// Ceilings is one policy.yaml: what the operator lets any server.yaml ask for. A
// server.yaml can only be stricter. The zero value lets none ask for anything.
//
// They bound what files say. A host path that leads elsewhere through a mount of
// the host, a name that resolves to a forbidden address, and an image whose
// contents are hostile are not seen here. Treat a value as immutable.
type Ceilings struct {
	Images      ImageCeilings
	Files       FileCeilings
	Egress      EgressCeilings
	Risk        RiskFloors
	Limits      Limits
	Grants      Grants   // those that a server may be given
	Profiles    []string // sorted as in Profiles(); own ones must stand on one of these
	OwnProfiles OwnProfiles
	NeverCalls  []profiles.Forbidden // what no profile may allow
	Credentials CredentialCeilings
	Approval    Approval
	Revive      Revive
	Isolation   IsolationFloors
	Kill        []detect.Rule // switches that are thrown by themselves

	lines map[string]int // where in the file the keys stand that it has
}

// OwnProfiles say which profiles in files may be used. They are known by what they
// enforce: a path would be the word of whoever asks.
type OwnProfiles struct {
	Any   bool            // all that can be written
	Allow []mcprun.Digest // these alone, where Any is not set
}

// ImageCeilings say which images may run.
type ImageCeilings struct {
	Any      bool         // every image that is named by a digest
	Allow    []ImageRange // these alone, where Any is not set
	Archives bool         // image: ./file.tar
}

// FileCeilings say which paths of the host may be mounted. A path stands for itself,
// for all below it, and for each folder that holds it.
type FileCeilings struct {
	Any      bool     // all that is not forbidden
	Allow    []string // only what is in one of these, where Any is not set
	Forbid   []string
	ReadOnly []string // access: write is refused
}

// EgressCeilings say which hosts rules may name.
type EgressCeilings struct {
	Any     bool                // all that are not forbidden
	Allow   []netpolicy.Pattern // these alone, where Any is not set
	Forbid  []netpolicy.Zone
	Private bool // private: true and networks may be written
}

// RiskFloors say which class tools have at least.
type RiskFloors struct {
	Default mcprun.Risk // of every tool; the zero value blocks them
	Tools   []RiskFloor
}

// RiskFloor is the least class of the tools whose names match.
type RiskFloor struct {
	Name   Glob
	Server Glob // empty: of every server
	Risk   mcprun.Risk
}

// Limits are the most that a server may take.
type Limits struct {
	Memory   int64 // bytes
	MilliCPU int64
	Pids     int64
	Tmp      int64         // bytes of all tmpfs together, /tmp included
	Call     time.Duration // timeouts.call
	Approval time.Duration // timeouts.approval

	Server    limits.Set // calls of each server; a server.yaml can only be stricter
	Principal limits.Set // calls of each principal, over all servers
	All       limits.Set // all calls of all servers together
}

// Common are the limits that hold for all servers together.
func (l Limits) Common() limits.Common { return limits.Common{All: l.All, Principal: l.Principal} }

// CredentialCeilings say where secrets may come from and where they may be.
type CredentialCeilings struct {
	Sources     []string // kinds of sources, as in SourceKinds()
	InContainer bool     // exposure: container
}

// Approval says who may let a held call go ahead. With the zero value nobody may:
// no number of people is enough.
type Approval struct {
	Approvers []mcprun.Principal // nil: every operator
	Needs     int                // how many different people must say yes; 0: no number is enough
	FourEyes  bool               // nobody approves a call of their own, even with an authenticator
	Proof     bool               // each yes needs an authenticator's proof
	Webhook   Webhook
}

// Revive says what it takes to take back a kill switch. With the zero value nobody may:
// no number of people is enough.
type Revive struct {
	Approvers int // how many different operators must say yes
}

// IsolationFloors say behind which wall servers run at least. The zero value demands
// none beyond a container: what may not run at all is not said here.
type IsolationFloors struct {
	All       Isolation // every server
	High      Isolation // servers that have a tool of class high
	Untrusted Isolation // servers whose image is not in Trusted; an archive on disk never is
	Trusted   []ImageRange
}

// Webhook is where the daemon says that a call waits: one of URL and Source is set,
// or none.
type Webhook struct {
	URL       string             // in the clear
	Source    credentials.Source // where the URL is kept, if it is a secret itself
	Settled   bool               // it is told what became of the call as well
	Arguments bool               // it is told why the call waits, and the beginning of each argument
}

// IsZero reports whether nobody is to be told.
func (w Webhook) IsZero() bool { return w.URL == "" && w.Source.String() == noSource }

// Where says where the address is kept, without the address.
func (w Webhook) Where() string {
	if w.URL != "" {
		return "policy.yaml"
	}
	return w.Source.String()
}

// hiddenAddress begins what is shown in place of an address; nobody can have that name
// (RFC 2606).
const hiddenAddress = "https://hidden.invalid/"

// WithoutAddress are the same ceilings to show to people: what stands in place of the
// webhook's address, with which anybody could post there, only tells two apart. Their
// digest is that of the ceilings themselves.
func (c *Ceilings) WithoutAddress() *Ceilings {
	w := c.Approval.Webhook
	if w.URL == "" || strings.HasPrefix(w.URL, hiddenAddress) {
		return c
	}
	sum := sha256.Sum256([]byte(w.URL))
	shown := *c
	shown.Approval.Webhook.URL = hiddenAddress + hex.EncodeToString(sum[:8])
	return &shown
}

var noSource = credentials.Source{}.String()

// DefaultCeilings is what holds where there is no policy.yaml, and for each key that
// it does not have: no host path outside the folder of server.yaml that would give
// the machine away, and all that this version of server.yaml knows.
func DefaultCeilings() *Ceilings {
	return &Ceilings{
		Images: ImageCeilings{Any: true, Archives: true},
		Files:  FileCeilings{Any: true},
		Egress: EgressCeilings{Any: true, Private: true},
		Risk:   RiskFloors{Default: mcprun.Low},
		Limits: Limits{Memory: MaxMemory, MilliCPU: MaxMilliCPU, Pids: MaxPids, Tmp: MaxTmpfsTotal,
			Call: MaxCall, Approval: MaxApproval},
		Grants:      Grants{Sampling: true, Elicitation: true, Roots: true},
		Profiles:    Profiles(),
		OwnProfiles: OwnProfiles{Any: true},
		Credentials: CredentialCeilings{Sources: SourceKinds(), InContainer: true},
		Approval:    Approval{Needs: 1},
		Revive:      Revive{Approvers: 1},
	}
}

// SourceKinds names the kinds of sources that a credential can have.
func SourceKinds() []string {
	return []string{"env", "file", "age", "exec", "vault", "oauth", "exchange"}
}

// Wall is the isolation that a server has at least, by what its server.yaml says, and
// which key of policy.yaml demands it; "" where none does.
func (c *Ceilings) Wall(s *Server) (least Isolation, key string) {
	demand := func(i Isolation, by string) {
		if i > least {
			least, key = i, by
		}
	}
	f := c.Isolation
	demand(f.All, "minimum-isolation.all")
	if !slices.ContainsFunc(f.Trusted, func(r ImageRange) bool { return r.Has(s.Image) }) {
		demand(f.Untrusted, "minimum-isolation.untrusted")
	}
	for name, t := range s.Tools {
		class, _ := c.Least(s.Name, name)
		if t.Risk != mcprun.Block && mcprun.Stricter(class, t.Risk) <= mcprun.High {
			demand(f.High, "minimum-isolation.high")
		}
	}
	return least, key
}

// WallOfHigh is why a tool that is high, whatever made it so, cannot be called of a
// server behind such a wall; "" if it can. What a tool says of itself is not known
// before it runs, so that Wall cannot say it.
func (c *Ceilings) WallOfHigh(i Isolation) string {
	if c == nil || i >= c.Isolation.High {
		return ""
	}
	return "policy.yaml demands isolation: " + c.Isolation.High.String() + " of servers with a tool of high risk, and this one has " + i.String() + "; write it into server.yaml, lock and start it"
}

// Least is the class that a tool has at least, and which line of policy.yaml demands
// it; "" where only the default does.
func (c *Ceilings) Least(server mcprun.ServerName, tool mcprun.ToolName) (least mcprun.Risk, why string) {
	if c == nil {
		return mcprun.Block, "there are no ceilings"
	}
	least = c.Risk.Default
	if least != mcprun.Low {
		why = "policy.yaml demands " + least.String() + " of every tool"
	}
	for _, f := range c.Risk.Tools {
		if f.Risk >= least || !f.Name.Match(string(tool)) || f.Server != "" && !f.Server.Match(string(server)) {
			continue
		}
		least, why = f.Risk, "policy.yaml demands "+f.Risk.String()+" of tools named "+string(f.Name)
		if f.Server != "" {
			why += " of " + string(f.Server)
		}
	}
	return least, why
}
