package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mcprun/mcprun"
)

// runChecks runs every check; each reports all it finds. They hold for values
// from a file and for values that a program made.
func runChecks(s *Server, r *report) {
	for _, check := range []func(*Server, *report){
		checkName,
		checkLabels,
		checkImageKind,
		checkImageRef,
		checkImagePath,
		checkCommand,
		checkWorkDir,
		checkEnvironmentSize,
		checkEnvironmentNames,
		checkLoaderVariables,
		checkSearchPath,
		checkEnvironmentValues,
		checkEnvironmentSecrets,
		checkCommandSecrets,
		checkProfile,
		checkFileCount,
		checkFileShape,
		checkHostPaths,
		checkOwnFiles,
		checkTargets,
		checkNesting,
		checkTmpfsSizes,
		checkTmpfsTotal,
		checkResources,
		checkTimeouts,
		checkIsolation,
		checkIdle,
		checkCallLimits,
		checkToolCount,
		checkToolNames,
		checkRisks,
		checkApprovers,
		checkConfirms,
		checkPreviews,
		checkArguments,
		checkRules,
		checkEgress,
		checkEgressTools,
		checkCredentialNames,
		checkCredentialSources,
		checkCredentialPlaces,
		checkExposures,
		checkOwnKills,
	} {
		check(s, r)
	}
}

// checkName: the name becomes a cgroup, a folder and a container name; a slash or
// a dot in it would lead elsewhere.
func checkName(s *Server, r *report) {
	if _, err := mcprun.ParseServerName(string(s.Name)); err != nil {
		r.fail("name", "use 1 to 40 of a-z, 0-9 and inner hyphens, starting with a letter", "%v", err)
	}
}

// checkProfile: an unknown profile must never fall back to another one.
func checkProfile(s *Server, r *report) {
	if slices.Contains(Profiles(), s.Profile) {
		return
	}
	if s.OwnProfile() {
		if what, fix := badHostPath(s.Profile); what != "" {
			r.fail("profile", fix, "%s", what)
		}
		return
	}
	if strings.ContainsAny(s.Profile, "/.") && !strings.HasPrefix(s.Profile, "~") {
		r.fail("profile", "write ./"+s.Profile+" for a file beside this one", "%s is not a built-in profile", show(s.Profile))
		return
	}
	fix := "write " + oneOf(Profiles())
	if meant := suggest(s.Profile, Profiles()); meant != "" {
		fix = "did you mean " + meant + "?"
	}
	r.fail("profile", fix, "%s is not a built-in profile", show(s.Profile))
}

// checkWorkDir: a working folder under /proc/self/fd has led out of containers
// (CVE-2024-21626), and a relative one depends on the image.
func checkWorkDir(s *Server, r *report) {
	if s.WorkDir == "" && !r.written("workdir") {
		return
	}
	if what, fix := badContainerPath(s.WorkDir); what != "" {
		r.fail("workdir", fix, "%s", what)
		return
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if inside(s.WorkDir, dir) {
			r.fail("workdir", "use a folder of the image, e.g. /app", "%s is a folder of the kernel", show(s.WorkDir))
		}
	}
}

// checkResources: a value outside is a slip of the unit, or takes the machine
// away from everyone else.
func checkResources(s *Server, r *report) {
	inRange(r, "resources.memory", s.Resources.Memory, MinMemory, MaxMemory, sizeString)
	inRange(r, "resources.cpu", s.Resources.MilliCPU, MinMilliCPU, MaxMilliCPU, milliString)
	inRange(r, "resources.pids", s.Resources.Pids, MinPids, MaxPids, decimal)
	inRange(r, "resources.file-size", s.Resources.FileSize, MinFileSize, MaxFileSize, sizeString)
	inRange(r, "resources.open-files", s.Resources.OpenFiles, MinOpenFiles, MaxOpenFiles, decimal)
	wholeKiB(r, "resources.memory", s.Resources.Memory)
	wholeKiB(r, "resources.file-size", s.Resources.FileSize)
}

// checkTimeouts: a zero or huge timeout is no timeout, and a call that hangs
// holds its caller.
func checkTimeouts(s *Server, r *report) {
	for _, t := range []struct {
		key            string
		value, low, hi time.Duration
	}{
		{"timeouts.start", s.Timeouts.Start, MinStart, MaxStart},
		{"timeouts.call", s.Timeouts.Call, MinCall, MaxCall},
		{"timeouts.stop", s.Timeouts.Stop, MinStop, MaxStop},
		{"timeouts.approval", s.Timeouts.Approval, MinApproval, MaxApproval},
		{"timeouts.idle", s.Timeouts.Idle, MinIdle, MaxIdle},
	} {
		inRange(r, t.key, t.value, t.low, t.hi, durationString)
		if t.value%time.Millisecond != 0 {
			r.fail(t.key, "round it", "%v is not a whole number of milliseconds", t.value)
		}
	}
}

// checkIsolation: a wall that nobody knows would be built as another one.
func checkIsolation(s *Server, r *report) {
	if s.Isolation > GVisor {
		r.fail("isolation", "write "+oneOf(isolationWords), "%d is not known", s.Isolation)
	}
}

// checkIdle: a time that nothing goes by would be a promise that is not kept.
func checkIdle(s *Server, r *report) {
	if s.Idle > IdleStop {
		r.fail("idle", "write "+oneOf(idleWords), "%d is not known", s.Idle)
	}
	if s.Idle == IdleRun && s.Timeouts.Idle != DefaultIdle {
		r.fail("timeouts.idle", "say what then: idle: freeze or idle: stop; or leave it out", "has no meaning for a server that goes on running")
	}
}

// inRange reports a value outside its bounds, both of which are allowed.
func inRange[T cmp.Ordered](r *report, path string, v, low, high T, text func(T) string) {
	if v < low {
		r.fail(path, "write "+text(low)+" or more", "%s is below the minimum of %s", text(v), text(low))
	}
	if v > high {
		r.fail(path, "write "+text(high)+" or less", "%s is above the maximum of %s", text(v), text(high))
	}
}

// wholeKiB: the kernel counts in pages, and the file cannot say less than a KiB.
func wholeKiB(r *report, path string, v int64) {
	if v%kib != 0 {
		r.fail(path, "round it up", "%d bytes are not a whole number of KiB", v)
	}
}

// checkToolCount: a listing of thousands is reviewed by nobody.
func checkToolCount(s *Server, r *report) {
	if len(s.Tools) > MaxTools {
		r.fail("tools", "grant only the tools that are needed", "%d tools; at most %d", len(s.Tools), MaxTools)
	}
}

// checkToolNames: a name outside the protocol's alphabet can look like another
// tool in an approval.
func checkToolNames(s *Server, r *report) {
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		if _, err := mcprun.ParseToolName(string(name)); err != nil {
			r.fail(toolPath(name), "use 1 to 128 of A-Z a-z 0-9 _ - .", "%v", shortError(err))
		}
	}
}

// checkRisks: a class outside the known ones has no meaning to the gate.
func checkRisks(s *Server, r *report) {
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		if risk := s.Tools[name].Risk; risk > mcprun.Low {
			r.fail(toolPath(name)+".risk", "use low, medium, high or block", "%d is not a risk", risk)
		}
	}
}

// checkConfirms: the client answers, and that may be the agent itself: good enough for
// what would go ahead anyway, and not for what an operator has to approve.
func checkConfirms(s *Server, r *report) {
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		if t := s.Tools[name]; t.Confirm && t.Risk <= mcprun.High && !r.bad[toolPath(name)+".risk"] {
			r.fail(toolPath(name)+".confirm", "take it out, or write risk: medium", "the client answers for the person at it, and may be the agent: a tool of class %s is not its to allow", t.Risk)
		}
	}
}

// shortError keeps a message that quotes its input readable.
func shortError(err error) string {
	const most = 160
	if s := err.Error(); len(s) > most {
		return s[:most] + "…"
	}
	return err.Error()
}

// badText reports what no string that reaches the kernel may hold: it would be
// cut at the NUL, and what was reviewed is not what is run.
func badText(s string) string {
	switch {
	case strings.ContainsRune(s, 0):
		return "holds a NUL character"
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case len(s) > MaxValue:
		return fmt.Sprintf("has %d bytes; at most %d", len(s), MaxValue)
	}
	return ""
}
