// Package manifest reads server.yaml: bytes in, a typed value or all errors out,
// each with its line, its column, what is wrong and how to mend it.
//
// The reader takes a small part of YAML, the part that every YAML reader and
// every human reads in the same way. Anchors, aliases, tags, directives, merge
// keys, block text, several documents, tabs and words such as on or 0777 where
// text is wanted are refused, and each scalar is read twice: by the YAML parser
// and from the source line itself. Unknown keys and keys that are designed but
// not built are errors, so that nothing written in the file is ever ignored.
//
// The package is pure: it opens no file, resolves no link and asks no registry.
// So it does NOT protect against a host path that is harmless by name and leads
// elsewhere through a symbolic link (the runtime checks what it really opens), a
// target that is a link inside the image, an
// image whose contents are hostile, a secret that looks like none of the known
// ones, or an operator who grants too much: what is granted here is granted.
package manifest

import (
	"reflect"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/when"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/limits/detect"
	"github.com/mcprun/mcprun/netpolicy"
)

// Server is one server.yaml. Fields of a value that Parse returned have passed
// Validate. Treat it as immutable.
type Server struct {
	Name        mcprun.ServerName
	Labels      []mcprun.Label // sorted; what switches can name it by
	Image       Image
	Command     []string // nil: the image's own
	WorkDir     string   // empty: the image's own
	Environment []EnvVar // sorted by name
	Isolation   Isolation
	Profile     string // one of Profiles(), or the path of an own one as written
	Files       []File // in the order written; never /tmp
	Tmp         int64  // bytes of the tmpfs at /tmp
	Resources   Resources
	Timeouts    Timeouts
	Idle        Idle                     // what becomes of it when nobody uses it
	Limits      limits.Limits            // of calls; those of single tools are in Tools
	Tools       map[mcprun.ToolName]Tool // a tool that is absent is not granted
	Grants      Grants
	Egress      []netpolicy.Rule // nil: no network at all
	Credentials []Credential     // sorted by name
	Kill        []detect.Rule    // switches that are thrown by themselves, of this server and its tools
	Notes       []Note           // what is allowed and still worth a look
}

// Changed names the keys of server.yaml in which two servers differ.
func Changed(a, b *Server) []string {
	var keys []string
	for _, f := range []struct {
		key  string
		a, b any
	}{
		{"name", a.Name, b.Name}, {"labels", a.Labels, b.Labels}, {"image", a.Image, b.Image}, {"command", a.Command, b.Command}, {"workdir", a.WorkDir, b.WorkDir},
		{"environment", a.Environment, b.Environment}, {"isolation", a.Isolation, b.Isolation}, {"profile", a.Profile, b.Profile}, {"files", a.Files, b.Files}, {"tmp", a.Tmp, b.Tmp},
		{"resources", a.Resources, b.Resources}, {"timeouts", a.Timeouts, b.Timeouts}, {"idle", a.Idle, b.Idle}, {"limits", a.Limits, b.Limits}, {"tools", toolsText(a), toolsText(b)}, {"grants", a.Grants, b.Grants},
		{"egress", a.Egress, b.Egress}, {"credentials", a.Credentials, b.Credentials}, {"kill", a.Kill, b.Kill},
	} {
		if !reflect.DeepEqual(f.a, f.b) {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// Image says which image to start: exactly one of Ref and Path is set.
type Image struct {
	Ref    string        // host/repo@sha256:…
	Digest mcprun.Digest // the digest in Ref
	Path   string        // OCI archive or layout on disk, as written
}

// EnvVar is one environment variable.
type EnvVar struct{ Name, Value string }

// Access says what a server may do in a folder. The zero value only reads.
type Access uint8

const (
	Read Access = iota
	Write
)

func (a Access) String() string {
	if a == Write {
		return "write"
	}
	return "read"
}

// File is one mount: a host file or folder, or an empty tmpfs.
type File struct {
	From   string // host path as written; empty for a tmpfs
	To     string // where the server sees it
	Access Access // of a host path; a tmpfs can always be written
	Tmpfs  bool
	Size   int64 // bytes of a tmpfs; 0 for a host path
}

// Resources bounds what one instance may use.
type Resources struct {
	Memory    int64 // bytes, tmpfs pages included
	MilliCPU  int64 // thousandths of one CPU
	Pids      int64
	FileSize  int64 // bytes of the largest file it can write
	OpenFiles int64
}

// Timeouts bounds how long one instance may take.
type Timeouts struct {
	Start    time.Duration // from starting it to its answer to initialize
	Call     time.Duration // for one tool call
	Stop     time.Duration // from asking it to stop to killing it
	Approval time.Duration // a call that is kept waiting for a human
	Idle     time.Duration // without a call, until what idle says
}

// Isolation is what stands between a server and the kernel of the host, the weaker first.
type Isolation uint8

const (
	Runc   Isolation = iota // namespaces and filters: it makes its calls to the host's kernel
	GVisor                  // a kernel of its own, in a process that may ask the host for little
)

var isolationWords = []string{"runc", "gvisor"}

func (i Isolation) String() string { return isolationWords[min(i, GVisor)] }

// Idle is what becomes of a server that nobody uses. It comes back when it is called.
type Idle uint8

const (
	IdleRun    Idle = iota // it goes on running
	IdleFreeze             // its processes stand still and keep their memory
	IdleStop               // it ends, and is started when it is called
)

var idleWords = []string{"run", "freeze", "stop"}

func (i Idle) String() string { return idleWords[min(i, IdleStop)] }

// Tool is what the operator says of one tool. The zero value is blocked.
type Tool struct {
	Risk      mcprun.Risk
	Untrusted Said                // its answers were written by strangers
	Private   Said                // its answers are nobody else's business
	Sends     Said                // what it is given can leave the machine
	Justify   bool                // a call has to say what it is for
	Confirm   bool                // the person at the client is asked before each call
	Approvers int                 // how many have to approve a call that waits; 0: as the operator's policy says
	Preview   []Fixed             // arguments of the dry run that shows what a call would do, sorted by name; nil: there is none
	Arguments []argument.Attached // checks beside the schema
	Rules     []when.Rule
	Limits    limits.Set
	Cost      Cost
}

// Fixed is an argument with its value.
type Fixed struct {
	Name  string
	Value string // JSON: true, false, a number or a text
}

// Said is true, false, or nothing: then what else is known decides.
type Said uint8

const (
	Unsaid Said = iota
	No
	Yes
)

// Or is what was said, or else what other says.
func (s Said) Or(other bool) bool { return s == Yes || s == Unsaid && other }

// Grants are requests that the server may send to the client. The zero value
// refuses all of them.
type Grants struct{ Sampling, Elicitation, Roots bool }

// Default returns what an absent key stands for. It has no name and no image, so
// it is not valid by itself.
func Default() *Server {
	return &Server{
		Profile:   "strict",
		Tmp:       DefaultTmp,
		Resources: DefaultResources(),
		Timeouts:  DefaultTimeouts(),
		Limits:    DefaultLimits(),
	}
}

// DefaultResources returns the resources of a server that names none.
func DefaultResources() Resources {
	return Resources{
		Memory:    DefaultMemory,
		MilliCPU:  DefaultMilliCPU,
		Pids:      DefaultPids,
		FileSize:  DefaultFileSize,
		OpenFiles: DefaultOpenFiles,
	}
}

// DefaultTimeouts returns the timeouts of a server that names none.
func DefaultTimeouts() Timeouts {
	return Timeouts{Start: DefaultStart, Call: DefaultCall, Stop: DefaultStop, Approval: DefaultApproval, Idle: DefaultIdle}
}

// OwnProfile says whether the server names a profile in a file, which whoever reads the
// server.yaml has to read as well: ParseProfile.
func (s *Server) OwnProfile() bool { return startsLikePath(s.Profile) }

// Profiles names the built-in profiles, the strictest first.
func Profiles() []string { return []string{"strict", "go", "node", "python"} }

// Parse reads one server.yaml. The error is always an *ErrorList that holds every
// error found, in the order of the file; filename is used only to print it.
func Parse(filename string, data []byte) (*Server, error) {
	s, _, err := ParseUnder(filename, data, nil)
	return s, err
}

// ParseUnder is Parse with the text of the profile in a file that the server.yaml names,
// whose sections it gets where it does not have them itself: these are returned as well.
// The profile is not judged but for them; that is for ParseProfile.
func ParseUnder(filename string, data, profile []byte) (s *Server, taken []string, err error) {
	r := newReport()
	root := readYAML(data, r)
	if root == nil {
		return nil, nil, r.list(filename)
	}
	whole, taken := withSections(*root, profile)
	s = decode(whole, r)
	runChecks(s, r)
	if err := r.list(filename); err != nil {
		return nil, nil, err
	}
	s.Notes = notes(s, r)
	return s, taken, nil
}

// ProfileFile is the path of the profile that a server.yaml names, as it is written there;
// "" where it names none in a file, or cannot be read that far.
func ProfileFile(data []byte) string {
	root := readYAML(data, newReport())
	if root == nil {
		return ""
	}
	if n, ok := root.find("profile"); ok && n.kind == scalarKind && startsLikePath(n.text) {
		return n.text
	}
	return ""
}

// Validate runs the checks of Parse on a value that did not come from Parse. The
// error is an *ErrorList without positions.
func (s *Server) Validate() error {
	r := newReport()
	runChecks(s, r)
	return r.list("")
}
