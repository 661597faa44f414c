package manifest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

// notes lists what is allowed and still worth a look, in the order of the file.
func notes(s *Server, r *report) []Note {
	var out []Note
	add := func(path, format string, args ...any) {
		at := r.at(path)
		out = append(out, Note{at.line, at.col, fmt.Sprintf(format, args...)})
	}
	noteTools(s, add)
	noteFiles(s, add)
	noteGrants(s, add)
	noteEgress(s, add)
	for _, v := range s.Environment {
		if namesSecret(v.Name) {
			add(envPath(v.Name), "%s sounds like a secret; whoever reads server.yaml can read it", v.Name)
		}
	}
	if len(s.Command) > 0 && hasTarget(s, s.Command[0]) {
		add(commandPath(0), "the program is in a granted folder; the image's digest does not pin it")
	}
	slices.SortStableFunc(out, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Text, b.Text))
	})
	return out
}

type adder func(path, format string, args ...any)

func noteTools(s *Server, add adder) {
	if len(s.Tools) == 0 {
		add("tools", "no tool is granted; mcprun lock shows them, and then mcprun policy init what to say of each")
	}
	for name, t := range s.Tools {
		if t.Risk == mcprun.High {
			add(toolPath(name), "%s has a high risk; each call needs a human's approval", name)
		}
		if len(t.Preview) > 0 {
			add(toolPath(name)+".preview", "calls of %s are made as a dry run before anybody approves them; with these arguments it must not change anything", name)
		}
	}
}

func noteFiles(s *Server, add adder) {
	var tmpfs int64
	for i, f := range s.Files {
		tmpfs += f.Size
		if f.Access == Write {
			add(fmt.Sprintf("files[%d]", i), "the server can change and delete everything in %s on the host", show(f.From))
		}
	}
	if tmpfs+s.Tmp > s.Resources.Memory {
		add("files", "all tmpfs together, /tmp included, have more than resources.memory; their pages count, and a full one ends the server")
	}
}

func noteGrants(s *Server, add adder) {
	for _, g := range []struct {
		key     string
		granted bool
		may     string
	}{
		{"sampling", s.Grants.Sampling, "make the client's model run prompts"},
		{"elicitation", s.Grants.Elicitation, "ask the user for input"},
		{"roots", s.Grants.Roots, "see which folders the client works in"},
	} {
		if g.granted {
			add("grants."+g.key, "the server may %s", g.may)
		}
	}
}

func noteEgress(s *Server, add adder) {
	for i, r := range s.Egress {
		if r.Grant.Private {
			add(egressPath(i), "the server can reach %s inside your network, this machine included", r.Host)
		}
		if r.Resolves() {
			add(egressPath(i), "%s answers DNS over HTTPS: names that the server asks for there are seen by whoever owns them, and by no rule", r.Host)
		}
		if r.Protocol == netpolicy.TLS && !r.Inspect {
			add(egressPath(i), "what the server sends to %s is not read; with inspect: true methods and paths can be bound", r.Host)
		}
	}
	for _, c := range s.Credentials {
		if c.InContainer {
			add(credentialPath(c.Name), "the container holds %s itself and can send it to every host that egress allows", c.Name)
		}
	}
}
