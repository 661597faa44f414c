package result

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	mountDenied = `{"group":"mounts","name":"mounts.fs.tmpfs","severe":true,"result":"denied","errno":"EPERM"}`
	vsockOpen   = `{"group":"sockets","name":"sockets.af.vsock","severe":true,"result":"allowed","detail":"SOCK_STREAM"}`
	total2      = `{"summary":true,"total":2,"denied":1,"allowed":1,"absent":0,"errors":0,"severe_allowed":1}`
)

func TestParse(t *testing.T) {
	got, err := Parse(strings.NewReader(mountDenied + "\n" + vsockOpen + "\n" + total2 + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Result{
		{Group: "mounts", Name: "mounts.fs.tmpfs", Severe: true, Verdict: Denied, Errno: "EPERM"},
		{Group: "sockets", Name: "sockets.af.vsock", Severe: true, Verdict: Allowed, Detail: "SOCK_STREAM"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1:], LetThrough(got, true)); diff != "" {
		t.Errorf("severe ones (-want +got):\n%s", diff)
	}
	groups := map[string]Counts{"mounts": {Total: 1, Denied: 1}, "sockets": {Total: 1, Allowed: 1, Severe: 1}}
	if diff := cmp.Diff(groups, CountGroups(got)); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, report, reason string
	}{
		{"nothing", "", "no summary line"},
		{"cut off", mountDenied + "\n", "no summary line"},
		{"cut inside a line", mountDenied[:30], "cut off"},
		{"a lost line", mountDenied + "\n" + total2, "the summary says"},
		{"an untrue total", vsockOpen + "\n" + mountDenied + "\n" + strings.Replace(total2, `"severe_allowed":1`, `"severe_allowed":0`, 1), "the summary says"},
		{"a summary that says false", mountDenied + "\n" + vsockOpen + "\n" + strings.Replace(total2, "true", "false", 1), "the summary says"},
		{"a line after the summary", mountDenied + "\n" + vsockOpen + "\n" + total2 + "\n" + mountDenied, "follows the summary"},
		{"a name twice", mountDenied + "\n" + mountDenied, "appears twice"},
		{"no verdict", strings.Replace(mountDenied, "denied", "", 1), "unknown result"},
		{"a new verdict", strings.Replace(mountDenied, "denied", "fine", 1), "unknown result"},
		{"a name outside its group", strings.Replace(mountDenied, `"mounts"`, `"bpf"`, 1), "not in group"},
		{"no group", strings.Replace(mountDenied, `"mounts"`, `""`, 1), "not in group"},
		{"an unknown field", strings.Replace(mountDenied, `"severe"`, `"grave"`, 1), "unknown field"},
		{"a key twice", strings.Replace(mountDenied, `"severe":true`, `"severe":true,"severe":false`, 1), "twice"},
		{"a line too long", strings.Repeat(" ", MaxLine+1), "too long"},
		{"an empty line", "\n" + mountDenied, "no JSON value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rs, err := Parse(strings.NewReader(tc.report))
			if err == nil {
				t.Fatalf("accepted as %v", rs)
			}
			if !strings.Contains(err.Error(), tc.reason) {
				t.Errorf("error %q does not say %q", err, tc.reason)
			}
		})
	}
}

// What Parse accepts survives being written and read again, and every result
// has a verdict that Count knows.
func FuzzParse(f *testing.F) {
	f.Add([]byte(mountDenied + "\n" + vsockOpen + "\n" + total2 + "\n"))
	f.Add([]byte(total2))
	f.Add([]byte(mountDenied))
	f.Fuzz(func(t *testing.T, raw []byte) {
		rs, err := Parse(bytes.NewReader(raw))
		if err != nil {
			return
		}
		for _, r := range rs {
			if !r.Verdict.valid() {
				t.Fatalf("%s has verdict %q", r.Name, r.Verdict)
			}
		}
		var out bytes.Buffer
		if err := Write(&out, rs); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(&out)
		if err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if diff := cmp.Diff(rs, again); diff != "" {
			t.Fatalf("changed by a round trip:\n%s", diff)
		}
	})
}
