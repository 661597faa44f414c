package gate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/urls"
	"github.com/mcprun/mcprun/manifest"
)

// Traits say what a tool brings to those who call it and what it can take away,
// each with why; "" means that it does not. Together they are what makes reading a
// stranger's text dangerous.
type Traits struct {
	Untrusted string // its answers were written by strangers
	Private   string // its answers are nobody else's business
	Sends     string // what it is given can leave the machine
	Changes   string // something is different afterwards
}

// surroundings is what the sandbox of a server lets all of its tools reach.
type surroundings struct {
	wayOut  string // where what a tool is given could go; "" if there is no way
	private string // what is in it that is nobody else's business; "" if nothing is
}

const saidSo = "server.yaml says so"

// around reads from a server.yaml what one tool can reach, or any of them if tool is
// empty: nothing leaves that no egress rule lets out.
func around(m *manifest.Server, tool mcprun.ToolName) surroundings {
	var s surroundings
	for _, r := range m.Egress {
		if tool != "" && len(r.Tools) > 0 && !slices.Contains(r.Tools, tool) {
			continue
		}
		if s.wayOut == "" {
			s.wayOut = fmt.Sprintf("it can reach %s", r.Host)
		}
		if (r.Grant.Private || len(r.Grant.Networks) > 0) && s.private == "" {
			s.private = fmt.Sprintf("it can read from %s, which is inside", r.Host)
		}
	}
	for _, f := range m.Files {
		if f.From != "" && s.private == "" {
			s.private = fmt.Sprintf("it can read files of this machine, in %s", f.To)
		}
	}
	for _, c := range m.Credentials {
		if s.private == "" && (tool == "" || len(c.Tools) == 0 || slices.Contains(c.Tools, tool)) {
			s.private = fmt.Sprintf("it can use the credential %s", c.Name)
		}
	}
	return s
}

// The words of names that say what a tool brings or takes.
const (
	strangersWords = "fetch browse browser navigate web page pages url crawl scrape feed rss download snapshot " +
		"issue issues pr pull review reviews comment comments discussion discussions ticket tickets " +
		"mail mails email emails inbox message messages thread threads channel post posts tweet tweets"
	sendsWords = "send publish tweet notify reply forward upload submit push post share invite webhook mail email message fetch navigate"
	// those that answer no more than that it was done
	writesWords = "write create add set insert save move rename delete remove upload update append mkdir"
)

// traits joins what server.yaml says of a tool with what its name, its definition
// and its surroundings say; where nothing is known of a tool in a place from which
// something can leave, it counts as one that sends.
func traits(g Grant, t *Tool, def map[string]any) Traits {
	name := words(string(t.Name))
	open, _ := hint(def, "openWorldHint")
	var out Traits
	if t.Risk <= mcprun.Medium {
		out.Changes = fmt.Sprintf("its class is %s", t.Risk)
	}
	out.Untrusted = said(g.Untrusted, func() string {
		w := oneOf(name, strangersWords)
		switch {
		case g.around.wayOut == "":
			return ""
		case w != "":
			return fmt.Sprintf("its name says %q, and %s", w, g.around.wayOut)
		case open:
			return "its server says that it reaches outside"
		}
		return ""
	})
	out.Private = said(g.Private, func() string {
		if g.around.private == "" || oneOf(name, writesWords) != "" {
			return ""
		}
		return g.around.private
	})
	out.Sends = said(g.Sends, func() string {
		switch address := g.openAddress(def); {
		case g.around.wayOut == "":
			return ""
		case oneOf(name, sendsWords) != "", open, out.Changes != "", address != "":
			return g.around.wayOut
		}
		return ""
	})
	return out
}

func said(s manifest.Said, guess func() string) string {
	switch s {
	case manifest.Yes:
		return saidSo
	case manifest.No:
		return ""
	}
	return guess()
}

func oneOf(name []string, list string) string {
	for _, w := range name {
		if slices.Contains(strings.Fields(list), w) {
			return w
		}
	}
	return ""
}

// openAddress returns an argument that is an address and that no check keeps to
// hosts which the operator named.
func (g Grant) openAddress(def map[string]any) string {
	input, _ := def["inputSchema"].(map[string]any)
	properties, _ := input["properties"].(map[string]any)
	for name := range properties {
		parts := words(name)
		if len(parts) == 0 || !slices.Contains([]string{"url", "urls", "uri", "link", "href", "webhook", "endpoint", "recipient", "recipients", "to"}, parts[len(parts)-1]) {
			continue
		}
		kept := slices.ContainsFunc(g.Arguments, func(a argument.Attached) bool {
			spec, ok := a.Check.(urls.Spec)
			return ok && spec.Unlisted == argument.Refuse && a.At.Covers(name)
		})
		if !kept {
			return name
		}
	}
	return ""
}
