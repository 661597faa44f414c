package command

import (
	"slices"
	"strings"
)

// deletes finds the recursive deletion of the machine, of a home or of a root
// folder.
func (j *judge) deletes(u *unit) fault {
	bad := fault{"command.never.delete", "the command deletes the root, a home or a folder of the system with all that is in it"}
	var targets []word
	switch u.kind {
	case "rm", "srm", "rimraf", "trash":
		if u.has("--no-preserve-root") {
			return bad
		}
		if u.kind != "rimraf" && !u.has("-r", "-R", "--recursive", "-d") {
			if slices.ContainsFunc(u.rest(), func(w word) bool { return w.unknown && w.starts() }) {
				j.hold("command.unknown", "an argument of rm that is not written out may turn out to be an option", "write it out, or put ./ in front")
			}
			return fault{}
		}
		targets = u.operands()
	case "find", "fd":
		if !u.has("-delete") && !slices.ContainsFunc(u.inside.args, func(a []word) bool { return len(a) > 0 && deleters[kindOf(a[0].text)] }) {
			return fault{}
		}
		targets = u.operands()[:min(1, len(u.operands()))]
		if len(u.args) > 1 && strings.HasPrefix(u.args[1].text, "-") {
			targets = nil
		}
	case "mv", "shred", "rsync":
		if u.kind == "rsync" && !u.has("--delete", "--del") {
			return fault{}
		}
		targets = u.operands()
		if u.kind == "rsync" {
			targets = targets[max(0, len(targets)-1):]
		} else if u.kind == "mv" {
			targets = targets[:max(0, len(targets)-1)]
		}
	default:
		return fault{}
	}
	for _, t := range targets {
		if j.isRootHere(t) {
			return bad
		}
		if u.kind == "rm" {
			j.deletesHere(t)
		}
	}
	return fault{}
}

// deletesHere holds what empties the current folder, or one that is not written
// out: where that is nobody knows here.
func (j *judge) deletesHere(t word) {
	switch {
	case t.unknown && t.text == mark:
		j.hold("command.unknown", "what is deleted with all that is in it is not written out", "write the folder out")
	case strings.Trim(t.text, "./*?") == "":
		j.hold("command.delete", "the command deletes all that is in the current folder, or the folder above", "name what is to be deleted")
	}
}

var deleters = toSet("rm", "shred", "unlink", "srm")

// isRootHere judges a target as it stands and below the folders that cd went to.
func (j *judge) isRootHere(w word) bool {
	if isRoot(w.text) || strings.HasPrefix(w.text, mark+"/") && strings.Trim(w.text, mark+"/*.") == "" {
		return true
	}
	if strings.HasPrefix(w.text, "/") || strings.HasPrefix(w.text, "~") {
		return false
	}
	return slices.ContainsFunc(j.dirs, func(d string) bool { return isRoot(d + "/" + w.text) })
}

// systemFolders are the folders below / that every machine has.
var systemFolders = toSet("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt", "proc", "root", "run", "sbin", "srv", "sys", "usr", "var",
	"users", "system", "library", "applications", "volumes")

// isRoot: /, ~, a folder directly below /, a user's home, and the parts of the
// system's own folders; also with a * for what is in it.
func isRoot(p string) bool {
	if p == "" {
		return false
	}
	if strings.Trim(p, "./") == "" && strings.Contains(p, "..") {
		return strings.Count(p, "..") > 1 // ../.. is above all that a tool works in
	}
	if strings.HasPrefix(p, "../") {
		if p = canonical(p); !systemFolders[strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(p, "/"), "/*"))] {
			return false
		}
	}
	p = strings.ToLower(canonical(p))
	for {
		cut := strings.TrimRight(p, "*?.")
		cut = strings.TrimSuffix(cut, "[!.]")
		if cut == p || !strings.HasSuffix(cut, "/") {
			break
		}
		if p = strings.TrimRight(cut, "/"); p == "" {
			return true
		}
	}
	switch {
	case p == "/", p == "":
		return true
	case strings.HasPrefix(p, "~"):
		return !strings.Contains(p, "/")
	case !strings.HasPrefix(p, "/"):
		return false
	}
	parts := strings.Split(p[1:], "/")
	switch len(parts) {
	case 1:
		return true
	case 2:
		return parts[0] != "tmp" && parts[0] != "opt" && parts[0] != "srv" && parts[0] != "mnt" && parts[0] != "media" && parts[0] != "root" && systemFolders[parts[0]] &&
			p != "/var/tmp"
	}
	return false
}

// changeDir follows cd where the folder is written out.
func (j *judge) changeDir(u *unit) {
	if u.kind != "cd" && u.kind != "pushd" || j.neverOnly && len(u.args) < 2 {
		return
	}
	ops := u.operands()
	dir := "~"
	if len(ops) > 0 {
		dir = ops[0].text
	}
	if len(ops) > 0 && !ops[0].settled() || dir == "-" {
		return
	}
	if dir[:1] != "/" && dir[:1] != "~" && len(j.dirs) > 0 {
		dir = j.dirs[len(j.dirs)-1] + "/" + dir
	}
	if len(j.dirs) >= maxDirs {
		j.report(tooLong())
		return
	}
	j.dirs = append(j.dirs, canonical(dir))
}

// writes finds writing into the system's folders and start-up files.
func writes(u *unit) fault {
	for _, w := range written(u) {
		p := w.text
		if strings.HasPrefix(canonical(p), "/var/log") {
			return fault{"command.never.security", "the command writes to the records of the machine"}
		}
		switch placeOf(p) {
		case startup, secret:
			return fault{"command.never.startup", "the command writes to a folder of the system or to a file that other programs obey when they start"}
		case device:
			return fault{"command.never.device", "the command writes to a disk or to the memory of the machine"}
		}
		if w.glob || w.unknown {
			if patternPlace(p) >= startup {
				return fault{"command.never.startup", "the command writes to files of the system"}
			}
		}
	}
	return fault{}
}

// written are the files that a unit is seen to write.
func written(u *unit) []word {
	out := u.writes
	ops := u.operands()
	switch u.kind {
	case "tee", "touch", "truncate", "rm", "unlink", "shred", "chattr", "mkdir", "rmdir", "patch", "sponge":
		return append(out[:len(out):len(out)], ops...)
	case "chmod", "chown", "chgrp", "setfacl":
		return append(out[:len(out):len(out)], ops[min(1, len(ops)):]...)
	case "mv":
		out = append(out[:len(out):len(out)], ops...)
	case "sed", "gsed", "perl", "ruby":
		if u.has("-i", "--in-place") {
			out = append(out[:len(out):len(out)], ops...)
		}
	case "cp", "install", "ln", "rsync", "scp", "unzip":
		out = append(out[:len(out):len(out)], ops[max(0, len(ops)-1):]...)
	}
	return append(out[:len(out):len(out)], named(u)...)
}

// named are files that are the value of an option that names an output.
func named(u *unit) []word {
	var flags []string
	switch u.kind {
	case "curl", "gcc", "go", "sort", "openssl":
		flags = []string{"-o", "--output", "-out"}
	case "wget":
		flags = []string{"-O", "--output-document", "-P", "--directory-prefix", "-o"}
	case "tar", "unzip":
		flags = []string{"-C", "--directory", "-d"}
	case "cp", "mv", "install", "ln":
		flags = []string{"-t", "--target-directory"}
	case "dd":
		for _, w := range u.rest() {
			if v, ok := strings.CutPrefix(w.text, "of="); ok {
				return []word{{text: v, unknown: w.unknown, glob: w.glob}}
			}
		}
	}
	var out []word
	words := u.rest()
	for i, w := range words {
		for _, f := range flags {
			if !hasFlag(u.kind, f, w.text) {
				continue
			}
			if _, v, ok := strings.Cut(w.text, "="); ok {
				out = append(out, word{text: v, unknown: w.unknown})
			} else if at := strings.IndexAny(w.text, "/~."); at > 0 {
				out = append(out, word{text: w.text[at:], unknown: w.unknown})
			} else if i+1 < len(words) {
				out = append(out, words[i+1])
			}
		}
	}
	return out
}
