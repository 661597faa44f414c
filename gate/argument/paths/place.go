package paths

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

// resolve returns the absolute path without dot segments and doubled slashes. A
// ".." must leave the path inside of a root at every step: what leaves a root and
// comes back was never meant well, and behind a link it would not come back.
func (s Spec) resolve(value string) (string, argument.Finding) {
	roots, out := s.Under, make([]byte, 0, len(s.Relative)+len(value)+1)
	if value[0] != '/' {
		if checkRoot(s.Relative) != nil {
			return "", refuse("path.relative", "the path is relative", "write an absolute path"+s.rootsHint())
		}
		roots, out = []string{s.Relative}, append(out, s.Relative...)
	}
	for name := range strings.SplitSeq(value, "/") {
		switch name {
		case "", ".":
			continue
		case "..":
			out = out[:max(bytes.LastIndexByte(out, '/'), 0)]
			if !belowAny(string(out), roots) {
				return "", refuse("path.traversal", "the path climbs out of the folders that are allowed", "write a path without .."+s.rootsHint())
			}
			continue
		}
		if f := checkName(name); f.Verdict != argument.Pass {
			return "", f
		}
		out = append(append(out, '/'), name...)
	}
	if len(out) == 0 {
		return "/", argument.Passed
	}
	return string(out), argument.Passed
}

// checkName judges one name. Windows, and servers written for it, drop dots and
// spaces at the end: "..." and ".git." are other names there.
func checkName(name string) argument.Finding {
	switch last := name[len(name)-1]; {
	case len(name) > maxName:
		return refuse("path.long", fmt.Sprintf("a name in the path has %d bytes; at most %d", len(name), maxName), "")
	case last == '.' || last == ' ':
		return refuse("path.space", "a name in the path ends with a dot or a space, which some programs drop", "take it out")
	}
	return argument.Passed
}

// below reports whether the clean path p is root or below it. No clean path is
// below a root that is not clean itself, nor below "/", which is no limit.
func below(p, root string) bool {
	return len(root) > 1 && root[0] == '/' && strings.HasPrefix(p, root) && (len(p) == len(root) || p[len(root)] == '/')
}

func belowAny(p string, roots []string) bool {
	_, ok := rootOf(p, roots)
	return ok
}

// rootOf returns the longest root that p is below: the one that its grant is about.
func rootOf(p string, roots []string) (root string, ok bool) {
	for _, r := range roots {
		if below(p, r) && len(r) > len(root) {
			root, ok = r, true
		}
	}
	return root, ok
}

// kernel are the trees that hold no files: they read and steer the machine and
// the processes, and /proc/self/root is a way to everything.
var kernel = []string{"/proc", "/dev", "/sys"}

// outside is the finding of a path below no root. Only a root that is itself
// below a kernel tree opens a part of it, since "/" is no root.
func (s Spec) outside(clean string) argument.Finding {
	if belowAny(clean, kernel) {
		return refuse("path.kernel", "the path leads into a tree of the kernel (/proc, /dev or /sys)", "write a path"+s.rootsHint())
	}
	return refuse("path.outside", "the path is outside of the folders that are allowed", "write a path"+s.rootsHint())
}

// rootsHint is the part of a hint that names the roots.
func (s Spec) rootsHint() string {
	switch n := len(s.Under); {
	case n == 0:
		return ""
	case n > maxHintRoots:
		return " below " + strings.Join(s.Under[:maxHintRoots], ", ") + " or another root"
	default:
		return " below " + strings.Join(s.Under, " or ")
	}
}
