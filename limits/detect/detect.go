// Package detect decides when what was seen of servers and clients throws a kill switch
// by itself: "credential.misuse, 3 times within a minute: kill the server".
//
// It counts; it looks at nothing, knows no time, and throws nothing: the caller says what
// was seen and when, and carries out what is decided. What nobody detects is not counted.
// The counts are in memory; Recall makes them anew from what the caller has recorded.
// Whoever can make a server do what is counted can have it killed: that is the price of
// every automatic switch.
package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/limits"
)

// Name is one thing that can be detected; the set is closed.
type Name string

const (
	CredentialMisuse  Name = "credential.misuse"
	EgressDenied      Name = "egress.denied"
	ToolChanged       Name = "tool.changed"
	ResultInvalid     Name = "result.invalid"
	ProtocolViolation Name = "protocol.violation"
	ContainerMemory   Name = "container.memory"
	ContainerPids     Name = "container.pids"
	SyscallNever      Name = "syscall.never"
	ServerCrashed     Name = "server.crashed"
	CallRefused       Name = "call.refused"
	AccessDenied      Name = "access.denied"
)

// Level says what is stopped, seen from what was detected.
type Level string

const (
	Tool      Level = "tool"      // the tool that it was about
	Server    Level = "server"    // the server that did it
	Label     Level = "label"     // all servers with the same label
	Principal Level = "principal" // the client that did it
	All       Level = "all"       // everything
)

// Detection describes one Name.
type Detection struct {
	Name Name
	// Levels are what can be stopped for it, the usual one first. What a client does
	// stops that client and nobody else: otherwise any of them could stop all.
	Levels []Level
	About  string // what counts, for the reference
}

var (
	ofServer = []Level{Server, Label, All}
	ofTool   = []Level{Server, Tool, Label, All}
	ofClient = []Level{Principal}
)

// Detections lists them all, as people read them.
func Detections() []Detection {
	return []Detection{
		{CredentialMisuse, ofServer, "a request with a placeholder where none may be: for another host, in another place, by another tool, or that of another server or of an earlier start"},
		{EgressDenied, ofServer, "a name, a connection or a request that no egress rule allows; those that are left out of the record as too many count too, with the next that is not. Limits of egress rules and credential.misuse do not"},
		{ToolChanged, ofTool, "a pinned tool got another definition while its server ran, once each time that the server is asked for its tools"},
		{ResultInvalid, ofTool, "a result that was withheld, since it does not fit the pinned schema or could not be made safe"},
		{ProtocolViolation, ofServer, "a line that is no message, or too long, and a reply to a request that was never made. Replies that come too late do not count"},
		{ContainerMemory, ofServer, "the kernel ended a process of it for want of memory"},
		{ContainerPids, ofServer, "it was refused one more process or thread"},
		{SyscallNever, ofServer, "a system call that no profile can allow, such as mount or ptrace; repeats of one count when they are recorded, the first at once. io_uring_setup, which node tries at each start, does not"},
		{ServerCrashed, ofServer, "it ended by itself, or could not be started again for a call"},
		{CallRefused, ofClient, "a call that policy refused: a tool that is not there or not granted, arguments that no schema or rule lets through. Limits, switches, people who said no, and tools that are withheld do not count"},
		{AccessDenied, ofClient, "a request on the control socket that its user may not make"},
	}
}

// Names lists the names of all detections.
func Names() []string {
	var out []string
	for _, d := range Detections() {
		out = append(out, string(d.Name))
	}
	return out
}

// Find returns the detection of that name.
func Find(n Name) (Detection, bool) {
	all := Detections()
	if i := slices.IndexFunc(all, func(d Detection) bool { return d.Name == n }); i >= 0 {
		return all[i], true
	}
	return Detection{}, false
}

// Bounds of a rule.
const (
	// MaxTimes is more than people mean by a burst; each counter remembers as many moments.
	MaxTimes = 1000
	// MinWithin is about as exact as what is seen comes in; MaxWithin is a day, after which
	// somebody has looked at the record.
	MinWithin, MaxWithin = time.Second, 24 * time.Hour
	// MinCoolDown and DefaultCoolDown let what is left of the one that was killed come in
	// before it counts again; a kill takes at most ten seconds to clean up.
	MinCoolDown, MaxCoolDown, DefaultCoolDown = time.Second, 24 * time.Hour, 10 * time.Second
	// MaxReason keeps a reason readable in a refusal.
	MaxReason = 200
	// MaxRules of one file: more are read by nobody.
	MaxRules = 32
)

// Rule is one line of kill: in policy.yaml or server.yaml. The zero value kills nothing.
type Rule struct {
	After    Name          // what is counted; named so since "on" is true to some YAML readers
	Times    int           // how often
	Within   time.Duration // in how long; 0 where once is enough
	Level    Level
	Label    string        // the key of the label; of Level Label
	CoolDown time.Duration // how long after a kill nothing counts
	Reason   string        // in the operator's words; may be empty
}

// Event is something that was seen.
type Event struct {
	Name      Name
	Server    mcprun.ServerName
	Tool      mcprun.ToolName
	Principal mcprun.Principal
	Times     int // how often at once; 0 is never
}

// Hit is what is to be stopped, and why.
type Hit struct {
	Rule   Rule
	Own    bool // the rule is of the server's own server.yaml
	Target limits.Target
	Seen   int // how often, within Rule.Within
}

// Why says it in words.
func (h Hit) Why() string {
	out := string(h.Rule.After) + " was seen"
	if h.Rule.Times > 1 || h.Seen > 1 {
		out += fmt.Sprintf(" %d times", h.Seen)
	}
	if h.Rule.Within > 0 {
		out += " within " + span(h.Rule.Within)
	}
	out += ", a kill rule of policy.yaml"
	if h.Own {
		out = strings.TrimSuffix(out, "policy.yaml") + "server.yaml"
	}
	if h.Rule.Reason != "" {
		out += ": " + h.Rule.Reason
	}
	return out
}

// String is the rule as people say it: after credential.misuse, 3 times within 1m: the
// server is killed.
func (r Rule) String() string {
	out := "after " + string(r.After)
	if r.Times > 1 {
		out += fmt.Sprintf(", %d times within %s", r.Times, span(r.Within))
	}
	switch r.Level {
	case All:
		return out + ": everything is killed"
	case Label:
		return out + ": all servers with the same " + r.Label + " are killed"
	case Principal:
		return out + ": the client is killed"
	}
	return out + ": the " + string(r.Level) + " is killed"
}

// span writes a duration without its zeros.
func span(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
