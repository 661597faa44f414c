package manifest

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
)

// startsLikePath says whether text can only be a path.
func startsLikePath(s string) bool {
	return strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || strings.HasPrefix(s, "/")
}

// badPathText reports characters that make a path read differently in a mount
// table, a log or a terminal.
func badPathText(p string) (what, fix string) {
	if bad := badText(p); bad != "" {
		return bad, "use a plain path"
	}
	if len(p) > MaxPath {
		return fmt.Sprintf("has %d bytes; at most %d", len(p), MaxPath), "use a shorter path"
	}
	if strings.ContainsFunc(p, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return show(p) + " holds a character that does not print", "use a plain path"
	}
	return "", ""
}

// badHostPath checks the form of a path on the host.
func badHostPath(p string) (what, fix string) {
	if what, fix := badPathText(p); what != "" {
		return what, fix
	}
	if !startsLikePath(p) {
		return show(p) + " is neither absolute nor relative to server.yaml", "start it with ./ or ../ or /"
	}
	if clean := cleanHostPath(p); p != clean {
		return show(p) + " is not in its shortest form", "write " + clean
	}
	return "", ""
}

// cleanHostPath keeps the leading ./ that path.Clean takes away.
func cleanHostPath(p string) string {
	clean := path.Clean(p)
	switch {
	case clean == ".":
		return "./"
	case clean == "..":
		return "../"
	case startsLikePath(clean):
		return clean
	}
	return "./" + clean
}

// badContainerPath checks the form of a path inside the container.
func badContainerPath(p string) (what, fix string) {
	if what, fix := badPathText(p); what != "" {
		return what, fix
	}
	if !strings.HasPrefix(p, "/") {
		return show(p) + " is not absolute", "start it with /"
	}
	if clean := path.Clean(p); p != clean {
		return show(p) + " is not in its shortest form", "write " + clean
	}
	return "", ""
}

// inside says whether p is dir or lies in it; both are clean.
func inside(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// overlap says whether one of two clean paths is the other or lies in it.
func overlap(a, b string) bool { return inside(a, b) || inside(b, a) }

// hostFolder is a folder of the host and what it would give away.
type hostFolder struct{ path, holds string }

// systemFolders of the host. A path that holds one of them is as bad as the
// folder itself.
func systemFolders() []hostFolder {
	return []hostFolder{
		{"/proc", "the processes of the host"},
		{"/sys", "the devices and cgroups of the host"},
		{"/dev", "the devices of the host"},
		{"/run", "the sockets of the host"},
		{"/var/run", "the sockets of the host"},
		{"/etc", "the accounts and keys of the host"},
		{"/root", "the home folder of root"},
		{"/boot", "the kernel of the host"},
		{"/usr", "the programs of the host"},
		{"/bin", "the programs of the host"},
		{"/sbin", "the programs of the host"},
		{"/lib", "the programs of the host"},
		{"/lib64", "the programs of the host"},
		{"/var/spool/cron", "what the host runs"},
		{"/var/lib/docker", "the state of a container engine"},
		{"/var/lib/containerd", "the state of a container engine"},
		{"/var/lib/containers", "the state of a container engine"},
		{"/var/lib/kubelet", "the state of a container engine"},
		{"/var/lib/mcprun", "the state of mcprun"},
	}
}

// keyStores are names of files and folders that hold keys, wherever they are.
func keyStores() []string {
	return []string{
		".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".netrc", ".git-credentials", ".npmrc", ".pypirc",
		".password-store", ".vault-token", ".pgpass", ".my.cnf", "gcloud", "keyrings", "id_rsa", "id_ed25519",
	}
}

// engineSockets are the names of sockets that start containers for anyone.
func engineSockets() []string {
	return []string{"docker.sock", "containerd.sock", "podman.sock", "crio.sock", "buildkitd.sock", "mcprun.sock"}
}

// checkHostPaths: a folder of the system, a key store or the socket of a container
// engine gives the whole machine away. This looks at names only; links are for
// the one who opens them.
func checkHostPaths(s *Server, r *report) {
	for i, f := range s.Files {
		at := fmt.Sprintf("files[%d].from", i)
		if f.Tmpfs {
			continue
		}
		if what, fix := badHostPath(f.From); what != "" {
			r.fail(at, fix, "%s", what)
			continue
		}
		if what := givesAway(f.From); what != "" {
			r.fail(at, "name a folder that holds only what this server needs", "%s gives away %s", show(f.From), what)
		}
	}
}

// givesAway says what a clean host path holds that no server may have.
func givesAway(p string) string { return givesAwayFrom(p, "") }

// givesAwayFrom is givesAway for a path without dots whose server.yaml lies in dir.
// Who keeps a server.yaml somewhere below /root or /etc keeps folders for that server
// there as well, and means no more than those.
func givesAwayFrom(p, dir string) string {
	if p == "/" {
		return "the whole host"
	}
	for _, f := range systemFolders() {
		own := inside(p, dir) && inside(dir, f.path) && dir != f.path && (f.path == "/root" || f.path == "/etc")
		if strings.HasPrefix(p, "/") && overlap(p, f.path) && !own {
			return f.holds
		}
	}
	if p == "/home" || path.Dir(p) == "/home" {
		return "whole home folders"
	}
	for _, part := range strings.Split(p, "/") {
		if slices.Contains(keyStores(), part) {
			return "keys (" + part + ")"
		}
		if slices.Contains(engineSockets(), part) {
			return "the socket of a container engine"
		}
	}
	return ""
}

// checkOwnFiles: a server that can write its own server.yaml or server.lock
// chooses its own rights at the next start.
func checkOwnFiles(s *Server, r *report) {
	for i, f := range s.Files {
		if f.Access != Write {
			continue
		}
		own := []string{"server.yaml", "server.lock", "policy.yaml"}
		if clean := path.Clean(f.From); holdsServerYAML(clean) || slices.Contains(own, clean) {
			r.fail(fmt.Sprintf("files[%d].from", i), "grant a folder below it, e.g. ./data, or access: read", "with access: write the server could change its own server.yaml")
		}
	}
}

// holdsServerYAML says whether a clean relative path is the folder of server.yaml
// or one above it: nothing but dots.
func holdsServerYAML(p string) bool {
	return !strings.HasPrefix(p, "/") && strings.Trim(p, "./") == "" && p != ""
}
