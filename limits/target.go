package limits

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mcprun/mcprun"
)

// Target is what a switch stops: a tool with its Server, a server, all servers with a
// label, all calls of a client. The zero value is everything.
type Target struct {
	Server    mcprun.ServerName `json:"server,omitempty"`
	Tool      mcprun.ToolName   `json:"tool,omitempty"`
	Label     mcprun.Label      `json:"label,omitempty"`
	Principal mcprun.Principal  `json:"principal,omitempty"`
}

// String names the target as people read it.
func (t Target) String() string {
	switch {
	case t.Principal != "":
		return "principal " + string(t.Principal)
	case t.Label != "":
		return "label " + string(t.Label)
	case t.Tool != "":
		return string(t.Server) + "/" + string(t.Tool)
	case t.Server != "":
		return string(t.Server)
	}
	return "everything"
}

// Argument names the target as mcprun kill and mcprun revive take it.
func (t Target) Argument() string {
	switch {
	case t.Principal != "":
		return "--principal " + string(t.Principal)
	case t.Label != "":
		return "--label " + string(t.Label)
	case t.Server != "":
		return t.String()
	}
	return "--all"
}

// Processes reports whether the target is servers, whose processes end with it. The
// others are calls: the servers stay.
func (t Target) Processes() bool { return t.Tool == "" && t.Principal == "" }

// file is the name of the switch's file; @ is in no name of a server, tool, label or
// principal.
func (t Target) file() string { return t.Name() + ".json" }

// Name is the target as the name of a file: all, server@NAME, tool@NAME@TOOL,
// label@KEY=VALUE, principal@KIND:NAME.
func (t Target) Name() string {
	switch {
	case t.Principal != "":
		return "principal@" + string(t.Principal)
	case t.Label != "":
		return "label@" + string(t.Label)
	case t.Tool != "":
		return "tool@" + string(t.Server) + "@" + string(t.Tool)
	case t.Server != "":
		return "server@" + string(t.Server)
	}
	return "all"
}

// ParseTargetName reads what Name writes, and nothing else.
func ParseTargetName(name string) (t Target, err error) {
	if name == "all" {
		return Target{}, nil
	}
	kind, rest, _ := strings.Cut(name, "@")
	switch kind {
	case "server":
		t.Server, err = mcprun.ParseServerName(rest)
	case "tool":
		server, tool, _ := strings.Cut(rest, "@")
		if t.Server, err = mcprun.ParseServerName(server); err == nil {
			t.Tool, err = mcprun.ParseToolName(tool)
		}
	case "label":
		t.Label, err = mcprun.ParseLabel(rest)
	case "principal":
		t.Principal, err = mcprun.ParsePrincipal(rest)
	default:
		err = errors.New("write all, server@NAME, tool@NAME@TOOL, label@KEY=VALUE or principal@uid:NUMBER")
	}
	if err != nil {
		return Target{}, fmt.Errorf("%.200q names nothing that can be stopped: %w", name, err)
	}
	return t, nil
}

// Valid says what is wrong with a target that came from outside, nil if nothing is.
func (t Target) Valid() error {
	again, err := ParseTargetName(t.Name())
	if err == nil && again != t {
		err = errors.New("name one of a tool, a server, a label, a principal and everything")
	}
	return err
}

// Subject is what is looked for among the switches: a call of a client, or what is
// left of it. Without a Tool it is the server itself, without a Principal nobody's.
type Subject struct {
	Server    mcprun.ServerName
	Labels    []mcprun.Label // of the server
	Tool      mcprun.ToolName
	Principal mcprun.Principal
}

// Has reports whether a target stops the subject.
func (t Target) Has(s Subject) bool {
	for _, one := range s.targets() {
		if one == t {
			return true
		}
	}
	return false
}

// targets are all that stop the subject, the widest first.
func (s Subject) targets() []Target {
	all := []Target{{}}
	for _, l := range s.Labels {
		all = append(all, Target{Label: l})
	}
	if s.Principal != "" {
		all = append(all, Target{Principal: s.Principal})
	}
	if s.Server != "" {
		all = append(all, Target{Server: s.Server})
		if s.Tool != "" {
			all = append(all, Target{Server: s.Server, Tool: s.Tool})
		}
	}
	return all
}
