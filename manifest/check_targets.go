package manifest

import (
	"fmt"
	"slices"
)

// targetPath is the path of the key that names where entry i is mounted.
func targetPath(s *Server, i int) string {
	if s.Files[i].Tmpfs {
		return fmt.Sprintf("files[%d].tmpfs", i)
	}
	return fmt.Sprintf("files[%d].to", i)
}

// checkFileCount: see MaxFiles.
func checkFileCount(s *Server, r *report) {
	if len(s.Files) > MaxFiles {
		r.fail("files", "grant one folder that holds them", "%d entries; at most %d", len(s.Files), MaxFiles)
	}
}

// checkFileShape: an entry that is both, or neither, would be mounted as whatever
// the code that reads it happens to look at first.
func checkFileShape(s *Server, r *report) {
	for i, f := range s.Files {
		at := fmt.Sprintf("files[%d]", i)
		switch {
		case f.Tmpfs && (f.From != "" || f.Access != Read):
			r.fail(at, "leave from and access out", "a tmpfs has no host path and no access")
		case !f.Tmpfs && f.Size != 0:
			r.fail(at, "leave size out", "only a tmpfs has a size")
		case f.Access > Write:
			r.fail(at+".access", "use read or write", "%d is not an access", f.Access)
		}
	}
}

// imageFolders are the folders whose contents the image's digest stands for, and
// those that mcprun and the kernel fill in.
func imageFolders() []string {
	return []string{
		"/proc", "/sys", "/dev", "/run/mcprun", "/var/run", "/.mcprun", // ours and the kernel's; /var/run is often a link to /run
		"/etc", // ld.so.preload, passwd, resolv.conf
		"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/boot",
	}
}

// checkTargets: a mount over a system folder of the image replaces code that was
// pinned by digest with whatever is in a folder of the host; one over /proc has
// let containers write their own security labels (CVE-2019-16884).
func checkTargets(s *Server, r *report) {
	for i, f := range s.Files {
		if what, fix := badContainerPath(f.To); what != "" {
			r.fail(targetPath(s, i), fix, "%s", what)
			continue
		}
		for _, dir := range imageFolders() {
			if overlap(f.To, dir) {
				r.fail(targetPath(s, i), "use a folder of its own, e.g. /data", "%s covers or lies in %s, a system folder of the container", show(f.To), dir)
				break
			}
		}
	}
}

// checkNesting: what a mount inside a mount shows depends on their order, and a
// folder that the server can write could hold a link where the inner one goes.
func checkNesting(s *Server, r *report) {
	for i, f := range s.Files {
		if !goodTarget(f) {
			continue
		}
		if overlap(f.To, "/tmp") {
			r.fail(targetPath(s, i), "use a folder outside /tmp, e.g. /data", "%s covers or lies in /tmp, which is a tmpfs", show(f.To))
		}
		for _, g := range s.Files[:i] {
			if goodTarget(g) && overlap(f.To, g.To) {
				r.fail(targetPath(s, i), "mount them beside each other", "%s and %s are the same or one in the other", show(f.To), show(g.To))
			}
		}
	}
}

// goodTarget says whether the target of f can be compared with others.
func goodTarget(f File) bool {
	what, _ := badContainerPath(f.To)
	return what == ""
}

// checkTmpfsSizes: a tmpfs without a bound takes half of the machine's memory.
func checkTmpfsSizes(s *Server, r *report) {
	for i, f := range s.Files {
		if f.Tmpfs {
			checkTmpfsSize(r, fmt.Sprintf("files[%d].size", i), f.Size)
		}
	}
	checkTmpfsSize(r, tmpPath+".size", s.Tmp)
}

func checkTmpfsSize(r *report, path string, size int64) {
	inRange(r, path, size, MinTmpfs, MaxTmpfs, sizeString)
	wholeKiB(r, path, size)
}

// checkTmpfsTotal: each may be within its bound and all of them not.
func checkTmpfsTotal(s *Server, r *report) {
	total := min(s.Tmp, MaxTmpfs)
	for _, f := range s.Files[:min(len(s.Files), MaxFiles)] {
		total += min(f.Size, MaxTmpfs)
	}
	if total > MaxTmpfsTotal {
		r.fail("files", "make them smaller", "all tmpfs together, /tmp included, have %s; at most %s", sizeString(total), sizeString(MaxTmpfsTotal))
	}
}

// hasTarget says whether p lies in a folder whose contents are not the image's.
func hasTarget(s *Server, p string) bool {
	return inside(p, "/tmp") || slices.ContainsFunc(s.Files, func(f File) bool { return goodTarget(f) && inside(p, f.To) })
}
