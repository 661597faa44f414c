package command

import (
	"net/url"
	"strings"
)

// readers only show what they are given, so they may be given start-up files and
// names of devices.
var readers = toSet("cat", "head", "tail", "less", "more", "bat", "grep", "egrep", "fgrep", "rg", "ls", "stat", "file", "wc", "diff", "cmp", "find", "fd", "du", "df", "tree",
	"md5sum", "sha1sum", "sha256sum", "test", "[", "echo", "printf", "realpath", "readlink", "dirname", "basename", "cut", "sort", "uniq", "awk", "jq", "yq", "lsblk", "blkid", "findmnt",
	"which", "type", "whereis", "cd", "pwd", "source", ".", "nl", "tac", "od", "xxd", "hexdump", "strings", "column", "git", "python", "node", "bash", "sh", "env", "sudo", "nproc", "man")

// showers show names of devices but not what is on them.
var showers = toSet("df", "ls", "lsblk", "blkid", "findmnt", "stat", "file", "test", "[", "echo", "printf")

// scan judges one word for what it names, whatever the program makes of it.
func (j *judge) scan(w word, kind string) {
	if len(w.text) < 2 || len(j.dirs) == 0 && isTame(w.text) {
		return
	}
	if sockets(w.text) {
		j.refuse("command.never.socket", "a path names a connection that the shell, or awk, opens", "")
	}
	if isMetadata(w.text) {
		j.refuse("command.never.metadata", "a word names the metadata service of a cloud, which hands out credentials, or a link-local address", "")
	}
	if strings.Contains(w.text, "ext::") || strings.Contains(w.text, "://-") {
		j.refuse("command.never.transport", "an address makes git or ssh run a program", "use https")
	}
	if strings.Contains(w.text, ".sock") && holdsEngine(w.text) {
		j.refuse("command.never.container", "a word names the socket of a container engine, which commands the whole machine", "")
	}
	j.place(w, w.text, kind)
	for part := range strings.FieldsFuncSeq(w.text, separates) {
		j.fragment(w, part, kind)
	}
}

// isTame: a word of letters and hyphens names nothing that is looked for.
func isTame(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && s[i] != '-' {
			return false
		}
	}
	return true
}

// separates: what stands between names in options, URLs and code.
func separates(r rune) bool { return strings.ContainsRune(" \t\n\"'`=@,;<>|&(){}!:", r) }

func (j *judge) fragment(w word, part, kind string) {
	if part == w.text || len(part) < 3 {
		return
	}
	if strings.Contains(part, "%") {
		if plain, err := url.PathUnescape(part); err == nil {
			part = plain
		}
	}
	j.place(w, part, kind)
	if part[0] == '-' { // -T/etc/shadow
		if at := strings.IndexAny(part, "/~"); at > 0 {
			j.place(w, part[at:], kind)
		}
	}
}

// place judges one path, as it stands and below the folders that cd went to.
func (j *judge) place(w word, p, kind string) {
	if strings.HasPrefix(p, "//") && len(p) < len(w.text) {
		if at := strings.Index(w.text, "://"); at > 0 && !strings.HasPrefix(strings.ToLower(w.text), "file:") {
			if _, rest, ok := strings.Cut(p[2:], "/"); ok {
				p = rest // the folder on another host, of which the names alone are judged
			}
		}
	}
	if p == "" {
		return
	}
	j.placed(w, p, kind)
	if p[0] != '/' && p[0] != '~' && p[0] != '-' {
		for _, d := range j.dirs {
			j.placed(w, d+"/"+p, kind)
		}
	}
}

func (j *judge) placed(w word, p, kind string) {
	found := nowhere
	if w.glob || w.unknown {
		found = patternPlace(p)
	}
	if !strings.Contains(p, mark) {
		found = max(found, placeOf(p))
	}
	if at := strings.LastIndex(p, mark); at >= 0 { // what is written out behind an unknown folder
		if _, rest, ok := strings.Cut(p[at:], "/"); ok && placeOf(rest) == secret {
			found, w.unknown = secret, false
		}
	}
	switch {
	case found == secret && w.unknown && strings.Contains(p, mark):
		j.hold("command.secret", "a word that is not written out may name a file that holds keys or passwords", "write the name out")
	case found == secret:
		j.refuse("command.never.secret", "a word names a file that holds keys or passwords, or says who has them", "")
	case found == device && !showers[kind]:
		j.refuse("command.never.device", "a word names a disk or the memory of the machine", "")
	case found == private:
		j.hold("command.secret", "a word names a file that often holds keys", "name another file")
	case found == startup && kind != "" && !readers[kind] && isNamed(p):
		j.refuse("command.never.startup", "a program that may write is given a file that other programs obey when they start", "")
	}
}

// isNamed: of whole system folders only writers are kept, see writes.
func isNamed(p string) bool {
	p = strings.ToLower(canonical(p))
	if strings.HasPrefix(p, "/") {
		return strings.HasPrefix(p, "/etc/cron") || strings.HasPrefix(p, "/etc/ld.so") || strings.HasPrefix(p, "/etc/systemd") || strings.HasPrefix(p, "/etc/profile") ||
			strings.HasPrefix(p, "/etc/pam.d") || strings.HasPrefix(p, "/etc/init") || strings.HasPrefix(p, "/etc/rc") || strings.Contains(p, "/.")
	}
	return true
}

func sockets(s string) bool {
	if !strings.Contains(s, "/") {
		return false
	}
	for _, part := range []string{"/dev/tcp/", "/dev/udp/", "/inet/tcp", "/inet/udp", "/inet4/", "/inet6/", "zsh/net/"} {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

func holdsEngine(s string) bool {
	for _, part := range []string{"docker.sock", "containerd.sock", "podman.sock", "crio.sock", "buildkitd.sock", "dockershim.sock", "cri-dockerd.sock"} {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}
