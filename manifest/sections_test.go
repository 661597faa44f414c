package manifest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/manifest"
)

const (
	bareServer = "version: 1\nname: x\nimage: ./a.tar\nprofile: ./tight.yaml\n"
	bareTight  = "version: 1\nname: tight\nextends: node\ncapabilities: none\n"
	allOfThem  = bareTight + `resources: {memory: 64MiB, pids: 32}
files: [{from: ./data, to: /data}]
environment: {LOG_LEVEL: debug}
egress: [{host: api.example.com}]
`
)

// What a profile says of a server it gets, and what its server.yaml says of the same key
// stands in its place, whole.
func TestSectionsOfAProfile(t *testing.T) {
	s, taken, err := manifest.ParseUnder("server.yaml", []byte(bareServer), []byte(allOfThem))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(taken, []string{"resources", "files", "environment", "egress"}) {
		t.Errorf("taken: %v", taken)
	}
	if s.Resources.Memory != 64<<20 || s.Resources.Pids != 32 || len(s.Files) != 1 || s.Files[0].To != "/data" || len(s.Environment) != 1 || len(s.Egress) != 1 {
		t.Errorf("it gets %+v", s)
	}
	s, taken, err = manifest.ParseUnder("server.yaml", []byte(bareServer+"resources: {cpu: 0.5}\negress: [{host: other.example.com}]\n"), []byte(allOfThem))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(taken, []string{"files", "environment"}) {
		t.Errorf("taken beside its own: %v", taken)
	}
	if s.Resources.Memory != manifest.DefaultMemory || s.Resources.Pids != manifest.DefaultPids || len(s.Egress) != 1 || s.Egress[0].Host.String() != "other.example.com" {
		t.Errorf("a section of both files is mixed: %+v", s)
	}
	// Without the text of the profile nothing comes from it, nor under one that is built in.
	for _, row := range [][2]string{{bareServer, ""}, {strings.Replace(bareServer, "./tight.yaml", "node", 1), allOfThem}, {bareServer, `{"name":"tight"}`}, {bareServer, "a: [b"}} {
		if s, taken, err := manifest.ParseUnder("server.yaml", []byte(row[0]), []byte(row[1])); err != nil || len(taken) > 0 || len(s.Egress)+len(s.Files)+len(s.Environment) > 0 {
			t.Errorf("%q: %v, %v", row, taken, err)
		}
	}
	if got := manifest.ProfileFile([]byte(bareServer)); got != "./tight.yaml" {
		t.Errorf("the profile's file is %q", got)
	}
}

// Whatever a profile gives is in its digest, which pins and policies compare: a profile
// that opened a host after its review would else pass for the reviewed one.
func TestSectionsAreInTheDigest(t *testing.T) {
	digest := func(text string) string {
		p, err := manifest.ParseProfile("tight.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return string(p.Digest())
	}
	seen := map[string]string{}
	for _, text := range []string{bareTight, bareTight + "resources: {memory: 64MiB}\n", bareTight + "resources: {memory: 65MiB}\n", bareTight + "egress: [{host: api.example.com}]\n",
		bareTight + "egress: [{host: api.example.com, port: 8443}]\n", bareTight + "environment: {A: b}\n", bareTight + "environment: {A: c}\n", bareTight + "files: [{from: ./data, to: /data}]\n",
		bareTight + "files: [{from: ./data, to: /data, access: write}]\n", allOfThem} {
		d := digest(text)
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q have one digest", text, other)
		}
		seen[d] = text
	}
	if digest(bareTight+"resources: {memory: 64MiB}\n") != digest(bareTight+"resources:\n  memory: \"64MiB\"\n") {
		t.Error("the digest depends on how a section is written")
	}
	if digest(bareTight) != digest(strings.Replace(bareTight, "capabilities: none\n", "", 1)) {
		t.Error("a line that changes nothing changes the digest")
	}
}

// Sections are read as strictly as in server.yaml, and what only shows when both files are
// together is an error of the server.yaml, where it names the profile.
func TestSectionsAreJudged(t *testing.T) {
	for text, want := range map[string]string{
		"resources: {memory: 1KiB}":                   "tight.yaml:5:21: resources.memory",
		"resources: {memmory: 64MiB}":                 "did you mean memory?",
		"files: [{from: /etc, to: /data}]":            "gives away",
		"egress: [{host: \"*\"}]":                     "egress[0].host",
		"environment: {LD_PRELOAD: /data/x.so}":       "LD_PRELOAD",
		"capabilities: [NET_ADMIN]":                   "capabilities",
		"tools: {}":                                   "unknown key",
		"credentials: {}":                             "unknown key",
		"egress: []":                                  "egress",
		"environment: {GITHUB_TOKEN: ghp_0123456789}": "",
	} {
		base := bareTight
		if strings.HasPrefix(text, "capabilities") {
			base = strings.Replace(base, "capabilities: none\n", "", 1)
		}
		if _, err := manifest.ParseProfile("tight.yaml", []byte(base+text+"\n")); want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	_, _, err := manifest.ParseUnder("server.yaml", []byte(bareServer+"tools: {a: {risk: low}}\n"), []byte(bareTight+"egress: [{host: api.example.com, tools: [b]}]\n"))
	if err == nil || !strings.Contains(err.Error(), "server.yaml:4:10: egress[0].tools") {
		t.Errorf("a tool that the server does not grant: %v", err)
	}
}

func FuzzParseUnder(f *testing.F) {
	f.Add([]byte(bareServer), []byte(allOfThem))
	f.Add([]byte(bareServer+"egress: [{host: a.example.com}]\n"), []byte(allOfThem))
	f.Fuzz(func(t *testing.T, server, profile []byte) {
		s, taken, err := manifest.ParseUnder("server.yaml", server, profile)
		if err != nil {
			return
		}
		if len(taken) > 0 && !s.OwnProfile() {
			t.Fatal("sections of a profile that is not named")
		}
		if _, err := manifest.Marshal(s); err != nil {
			t.Fatalf("what was read is not valid: %v", err)
		}
	})
}
