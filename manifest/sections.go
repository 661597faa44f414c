package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A profile in a file can say, beside system calls, what else a server gets, so that
// there is one thing to review: the same keys as server.yaml has, read by the same
// decoder. What server.yaml says itself under such a key replaces the profile's whole.

// sections are the keys of server.yaml that a profile can have.
var sections = []string{"resources", "files", "environment", "egress"}

// sectionKeys are the rows of server.yaml's table that are below them.
func sectionKeys() []key {
	var out []key
	for _, k := range schema() {
		if slices.ContainsFunc(sections, func(s string) bool {
			return k.Path == s || strings.HasPrefix(k.Path, s+".") || strings.HasPrefix(k.Path, s+"[]")
		}) {
			out = append(out, k)
		}
	}
	return out
}

// decodeSections judges the sections of a profile as far as that can be done without a
// server.yaml, and returns what they say in one form, for its digest; "" for none.
func decodeSections(o object) string {
	decodeFixed(o, "capabilities", "none")
	given := slices.DeleteFunc(slices.Clone(sections), func(s string) bool { _, ok := o.fields[s]; return !ok })
	if len(given) == 0 {
		return ""
	}
	s := Default()
	s.Environment = decodeEnvironment(o)
	decodeResources(o.object("resources"), &s.Resources)
	decodeFiles(o, s)
	s.Egress = decodeEgress(o)
	for _, check := range []func(*Server, *report){
		checkEnvironmentSize, checkEnvironmentNames, checkLoaderVariables, checkSearchPath, checkEnvironmentValues, checkEnvironmentSecrets,
		checkFileCount, checkFileShape, checkHostPaths, checkTargets, checkNesting, checkTmpfsSizes, checkTmpfsTotal, checkResources, checkEgress,
	} {
		check(s, o.r)
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, name := range given {
		marshalSection(s, name, line)
	}
	return b.String()
}

func marshalSection(s *Server, name string, line func(string, ...any)) {
	switch name {
	case "resources":
		marshalResources(s, line)
	case "files":
		marshalFiles(s, line)
	case "environment":
		marshalEnvironment(s, line)
	case "egress":
		marshalEgress(s, line)
	}
}

// withSections adds to a server.yaml the sections of the profile that it names and does
// not have itself, and returns their names. What is wrong with the profile is for
// ParseProfile to say: here it adds nothing. Where a section stands is for errors where
// server.yaml names the profile.
func withSections(root node, profile []byte) (node, []string) {
	at, named := root.find("profile")
	if !named || at.kind != scalarKind || !startsLikePath(at.text) || isJSON(profile) {
		return root, nil
	}
	form := newReport()
	p := readYAML(profile, form)
	if p == nil || len(form.errs) > 0 {
		return root, nil
	}
	var taken []string
	for _, name := range sections {
		section, there := p.find(name)
		if _, own := root.find(name); !there || own {
			continue
		}
		root.pairs = append(slices.Clone(root.pairs), pair{node{pos: at.pos, kind: scalarKind, text: name}, section.moved(at.pos)})
		taken = append(taken, name)
	}
	return root, taken
}

func isJSON(data []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) }

// find is the value of a key of a mapping.
func (n node) find(name string) (node, bool) {
	for _, p := range n.pairs {
		if p.key.text == name {
			return p.value, true
		}
	}
	return node{}, false
}

// moved is a node and all that is below it, as if it stood elsewhere.
func (n node) moved(to pos) node {
	n.pos = to
	n.items, n.pairs = slices.Clone(n.items), slices.Clone(n.pairs)
	for i := range n.items {
		n.items[i] = n.items[i].moved(to)
	}
	for i, p := range n.pairs {
		n.pairs[i] = pair{p.key.moved(to), p.value.moved(to)}
	}
	return n
}
