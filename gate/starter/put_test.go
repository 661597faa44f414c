package starter

import (
	"strings"
	"testing"
)

const section = "tools:  # new\n  echo:\n    risk: low\n"

// The rest of a file stays as it is, byte for byte.
func TestPut(t *testing.T) {
	const start = "version: 1 # one\nname: a\nimage: ./a.oci.tar\n"
	for _, r := range []struct{ name, file, want string }{
		{"at the end", start + "profile: node\n", start + "profile: node\n" + section},
		{"no last line break", start + "profile: node", start + "profile: node\n" + section},
		{"in place", start + "tools:\n  x: {risk: high}\n  # mine\n  z: {risk: low}\n\n# about files\nfiles: [{from: ./w, to: /w}]\n", start + section + "\n# about files\nfiles: [{from: ./w, to: /w}]\n"},
		{"in braces over lines", start + "tools: {\n  x: {risk: high}\n  }\nprofile: node\n", start + section + "profile: node\n"},
		{"empty", start + "tools: {}\nprofile: node\n", start + section + "profile: node\n"},
		{"quoted", start + "\"tools\": {x: {risk: low}}\n", start + section},
		{"a value that looks like the key", "version: 1\nname: a\nimage: ./a.oci.tar\nenvironment:\n  tools: x\n", "version: 1\nname: a\nimage: ./a.oci.tar\nenvironment:\n  tools: x\n" + section},
	} {
		got, err := Put([]byte(r.file), nil, section)
		if err != nil || string(got) != r.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", r.name, err, got, r.want)
		}
	}
	for name, file := range map[string]string{
		"all in braces":  "{version: 1, name: a, image: ./a.oci.tar}\n",
		"already broken": start + "nonsense: 1\n",
	} {
		if got, err := Put([]byte(file), nil, section); err == nil {
			t.Errorf("%s: written as %s", name, got)
		}
	}
	// One that is whole with its profile alone: the credential's host stands there.
	whole := start + "profile: ./p.yaml\ncredentials: {key: {source: \"env:KEY\", host: api.example.com, place: {query: key}, expose: {env: KEY}}}\n"
	profile := []byte("version: 1\nname: p\nextends: node\negress: [{host: api.example.com, inspect: true, methods: [GET], paths: [/]}]\n")
	if got, err := Put([]byte(whole), profile, section); err != nil || string(got) != whole+section {
		t.Errorf("with its profile: %v\n%s", err, got)
	}
	if _, err := Put([]byte(whole), nil, section); err == nil {
		t.Error("without its profile it was taken")
	}
	if got, err := Put([]byte(start), nil, "tools:\n  echo: {risk: low}\nprofile: node\n"); err == nil {
		t.Errorf("a section that says more than tools was taken: %s", got)
	}
	if _, err := Put([]byte(start), nil, strings.Replace(section, "low", "mild", 1)); err == nil {
		t.Error("a section that is not valid was taken")
	}
}

// What is written is the file with its tools exchanged and nothing else, or nothing.
func FuzzPut(f *testing.F) {
	f.Add("version: 1\nname: a\nimage: ./a.oci.tar\ntools:\n  x: {risk: low}\n# c\nprofile: node\n")
	f.Add("version: 1\nname: a\nimage: ./a.oci.tar\ntools: {x: {risk: low},\n  z: {risk: low}}\n")
	f.Fuzz(func(t *testing.T, file string) {
		got, err := Put([]byte(file), nil, section)
		if err != nil {
			return
		}
		again, err := Put(got, nil, section)
		if err != nil || string(again) != string(got) {
			t.Errorf("a second time: %v\n%q\n%q", err, got, again)
		}
	})
}
