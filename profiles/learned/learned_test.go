package learned

import (
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/profiles"
)

func watched(t *testing.T) *Watch {
	t.Helper()
	w := NewWatch("amd64", nil)
	for _, c := range []struct {
		call  string
		args  [6]uint64
		tools []mcprun.ToolName
		ok    bool
	}{
		{"execve", [6]uint64{}, nil, true},
		{"socket", [6]uint64{16, 3, 0}, nil, true}, // AF_NETLINK, which no built-in profile has
		{"socket", [6]uint64{38, 5, 0}, nil, false},
		{"ioctl", [6]uint64{1, 0x5401}, nil, true},
		{"ioctl", [6]uint64{1, 0x5421}, nil, true},
		{"clone3", [6]uint64{}, nil, false},
		{"mkdir", [6]uint64{}, []mcprun.ToolName{"make"}, true},
		{"mkdir", [6]uint64{}, []mcprun.ToolName{"make"}, true},
		{"sync", [6]uint64{}, []mcprun.ToolName{"make", "other: #x"}, true},
		{"mount", [6]uint64{}, []mcprun.ToolName{"make"}, false},
	} {
		g, err := w.Decide(c.call, c.args, c.tools)
		if err != nil || g.OK != c.ok {
			t.Errorf("%s%v: %+v, %v", c.call, c.args, g, err)
		}
	}
	w.Opened("/workspace/private name/file", true, []mcprun.ToolName{"make"})
	w.Opened("/etc/passwd", false, nil)
	return w
}

func run(t *testing.T, w *Watch) Seen {
	t.Helper()
	s := w.Result()
	s.Server, s.Image, s.Runs = "files", "sha256:1", []Run{{When: time.Unix(1, 0), Took: 1}}
	s.Listed, s.Called = []mcprun.ToolName{"make", "other"}, []mcprun.ToolName{"make"}
	return s
}

func TestProposeSaysWhatWasSeen(t *testing.T) {
	text := Merge(Seen{}, run(t, watched(t))).Propose("files-learned")
	for _, want := range []string{
		"extends: none\n", "1 of 2 tools were called, in one run; the last of them saw something new",
		"# Wrote below /workspace: once, in calls of make.\n", "- mkdir # 2 times", "reason: seen in calls of make\n",
		"where: [{arg: family, any: [AF_NETLINK]}, {arg: type, any: [SOCK_RAW]}, {arg: protocol, any: [NETLINK_ROUTE]}]",
		"where: [{arg: request, any: [TCGETS, FIONBIO]}]",
		"# Tried socket(AF_ALG, SOCK_SEQPACKET, unspecified), which no profile can allow", "# Tried mount(",
		"      - mkdirat\n", // a neighbour
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	for _, not := range []string{"private", "passwd", "clone3", "- mount", "AF_ALG]"} {
		if strings.Contains(text, not) {
			t.Errorf("it says %q:\n%s", not, text)
		}
	}
}

// A server that was seen to look up a name and to connect had one line of both kinds of
// sockets, which no profile can have: nothing could be learned from any server that goes out.
func TestSocketsStayApart(t *testing.T) {
	const inet, inet6, stream, dgram = 2, 10, 1, 2
	w := NewWatch("amd64", nil)
	for _, args := range [][6]uint64{{inet, stream}, {inet, dgram}, {inet6, dgram}, {inet6, stream}, {1, stream}, {1, dgram}} {
		if g, err := w.Decide("socket", args, nil); err != nil || !g.OK {
			t.Fatalf("%v: %+v, %v", args, g, err)
		}
	}
	text := run(t, w).Propose("sockets")
	for _, want := range []string{
		"where: [{arg: family, any: [AF_INET, AF_INET6]}, {arg: type, any: [SOCK_STREAM]}, {arg: protocol, any: [unspecified]}]",
		"where: [{arg: family, any: [AF_INET, AF_INET6]}, {arg: type, any: [SOCK_DGRAM]}, {arg: protocol, any: [unspecified]}]",
		"where: [{arg: family, any: [AF_UNIX]}, {arg: type, any: [SOCK_STREAM, SOCK_DGRAM]}]",
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("it does not say once %q:\n%s", want, text)
		}
	}
}

// What the operator's ceilings forbid is refused while a server is watched, too.
func TestCeilingsHold(t *testing.T) {
	var never []profiles.Forbidden
	for _, text := range []string{"sync", "socket(family=AF_NETLINK)", "socket(type=SOCK_DGRAM)", "kill"} {
		f, err := profiles.ParseForbidden(text)
		if err != nil {
			t.Fatal(err)
		}
		never = append(never, f)
	}
	w := NewWatch("amd64", never)
	for _, c := range []struct {
		call string
		args [6]uint64
		ok   bool
	}{
		{"sync", [6]uint64{}, false}, {"socket", [6]uint64{16, 3, 0}, false}, {"socket", [6]uint64{2, 0x80002, 17}, false},
		{"socket", [6]uint64{2, 0x80001, 6}, true}, {"syncfs", [6]uint64{}, true},
	} {
		if g, err := w.Decide(c.call, c.args, nil); err != nil || g.OK != c.ok {
			t.Errorf("%s%v: %+v, %v", c.call, c.args, g, err)
		}
	}
	p, err := profiles.Learning(never)
	if err != nil || len(p.Explain("kill")) > 0 || len(p.Explain("read")) == 0 {
		t.Errorf("the profile for learning: %v", err)
	}
}

func TestMergeCountsRunsAndWhatIsNew(t *testing.T) {
	all := Merge(Seen{}, run(t, watched(t)))
	first := len(all.Calls)
	if all.Runs[0].Lines != first || first == 0 {
		t.Errorf("the first run saw %d of %d", all.Runs[0].Lines, first)
	}
	again := Merge(all, run(t, watched(t)))
	if len(again.Calls) != first || len(again.Runs) != 2 || again.Runs[1].Lines != 0 || !strings.Contains(again.Trust(), "nothing new") {
		t.Errorf("%d calls, %+v, %s", len(again.Calls), again.Runs, again.Trust())
	}
	for _, c := range again.Calls {
		if c.Call == "mkdir" && c.Tools["make"] != 4 {
			t.Errorf("counted %+v", c)
		}
	}
	w := watched(t)
	w.Decide("symlink", [6]uint64{}, nil)
	if more := Merge(again, run(t, w)); more.Runs[2].Lines != 1 || len(more.Calls) != first+1 {
		t.Errorf("%+v, %d calls", more.Runs, len(more.Calls))
	}
	other := run(t, watched(t))
	other.Image = "sha256:2"
	if anew := Merge(again, other); len(anew.Runs) != 1 {
		t.Errorf("what another image was seen to do counts: %+v", anew.Runs)
	}
}

// A server that makes up calls costs bounded memory, and what is left out is counted.
func TestLinesAreBounded(t *testing.T) {
	w := NewWatch("amd64", nil)
	const tries = maxLines + 100
	for i := range uint64(tries) {
		if _, err := w.Decide("prctl", [6]uint64{100 + i}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if s := w.Result(); len(s.Calls) != maxLines || s.Lost != tries-maxLines {
		t.Errorf("%d lines, %d lost", len(s.Calls), s.Lost)
	}
	for i := range 10 * maxFolders {
		w.Opened("/w"+strings.Repeat("x", i)+"/f", true, nil)
	}
	if n := len(w.Result().Folders); n != maxFolders {
		t.Errorf("%d folders", n)
	}
}
