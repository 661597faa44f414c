package manifest

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// ExplainPath says what a server finds at an absolute path, and what would give it this
// machine's file of that path where it has it not: a program is told "no such file", and
// nobody why. base is the folder of server.yaml. It looks at names alone, and follows no
// symbolic links.
func (m *Server) ExplainPath(base, p string) (says, hint string) {
	p = path.Clean(p)
	if f, ok := m.mountOf(p); ok {
		switch {
		case f.Tmpfs:
			return "it is the server's own, in memory, and empty when it starts", ""
		case f.Access == Write:
			return fmt.Sprintf("it is %s of this machine, which the server may read and change", below(f.host(base), f.To, p)), ""
		}
		says = fmt.Sprintf("it is %s of this machine, which the server may read", below(f.host(base), f.To, p))
		return says, fmt.Sprintf("to let it change it, in server.yaml: files: [{from: %s, to: %s, access: write}]", f.From, f.To)
	}
	for _, f := range m.Files {
		if !f.Tmpfs && within(f.host(base), p) {
			return fmt.Sprintf("this machine's %s is %s for the server", p, below(f.To, f.host(base), p)), ""
		}
	}
	switch {
	case within("/tmp", p):
		return "it is the server's own, in memory, and empty when it starts; this machine's is not in the container", ""
	case within("/proc", p), within("/dev", p):
		return "it is the container's own; this machine's is not in the container", ""
	}
	says = "what is there, if anything, is the image's, and cannot be changed; this machine's is not in the container, since no entry of files names a folder that holds it"
	dir := path.Dir(p)
	if givesAway(dir) != "" {
		return says, "copy what it needs to a folder of its own, and give it that, in server.yaml: files: [{from: ./data, to: /data}]"
	}
	return says, fmt.Sprintf("to give it, in server.yaml: files: [{from: %s, to: %s}]", dir, dir)
}

// mountOf is the innermost entry of files that holds a path of the container's.
func (m *Server) mountOf(p string) (in File, ok bool) {
	for _, f := range m.Files {
		if within(f.To, p) && len(f.To) >= len(in.To) {
			in, ok = f, true
		}
	}
	return in, ok
}

// host is where on this machine the entry leads.
func (f File) host(base string) string {
	if filepath.IsAbs(f.From) {
		return filepath.Clean(f.From)
	}
	return filepath.Join(base, f.From)
}

func within(dir, p string) bool {
	dir = path.Clean(dir)
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// below is p, which is below from, as seen below to.
func below(to, from, p string) string {
	return path.Join(to, strings.TrimPrefix(p, path.Clean(from)))
}
