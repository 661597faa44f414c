package command

import (
	"fmt"
	"slices"
	"strings"
)

// hasFlag reports whether arg is flag, or may be read as it by program kind: "-c"
// inside a cluster and with its value attached, "--exec" shortened and with =value,
// "-exec" with one dash or two.
func hasFlag(kind, flag, arg string) bool {
	if len(arg) < 2 || arg[0] != '-' {
		return !strings.HasPrefix(flag, "-") && flag != "" && strings.HasPrefix(arg, flag) || oldCluster(kind, flag, arg)
	}
	name, _, _ := strings.Cut(arg, "=")
	switch {
	case strings.HasPrefix(flag, "--"):
		return len(name) > 2 && strings.HasPrefix(flag, name) || name == flag[1:]
	case len(flag) > 2 || runners[kind].single:
		return name == flag || name == "-"+flag
	case len(flag) == 2 && !strings.HasPrefix(arg, "--"):
		return inCluster(kind, flag[1], arg[1:])
	}
	return false
}

// inCluster looks for a letter up to one that takes the rest as its value.
func inCluster(kind string, letter byte, cluster string) bool {
	for i := range len(cluster) {
		switch {
		case cluster[i] == letter:
			return true
		case strings.IndexByte(runners[kind].valued, cluster[i]) >= 0:
			return false
		}
	}
	return false
}

// oldCluster: tar takes its first argument for options without a dash, in which no
// letter ends the cluster. A file name is held with it, which is rare.
func oldCluster(kind, flag, arg string) bool {
	return kind == "tar" && len(flag) == 2 && arg != "" && !strings.ContainsAny(arg, "./_") && len(arg) <= 8 && strings.IndexByte(arg, flag[1]) >= 0
}

// globals are the options that a program takes in front of its subcommand. Any
// other there is refused, since it might take the subcommand for its value.
var globals = map[string]struct{ valued, plain []string }{
	"git":       {[]string{"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env"}, []string{"--no-pager", "-P", "-p", "--paginate", "--bare", "--no-replace-objects", "--literal-pathspecs", "--no-optional-locks", "--version", "--help", "-h", "-v"}},
	"docker":    {[]string{"-H", "--host", "-c", "--context", "--config", "-l", "--log-level"}, []string{"-D", "--debug", "--version", "-v", "--help"}},
	"podman":    {[]string{"--url", "--connection", "-c", "--log-level"}, []string{"--remote", "-r", "--version", "-v", "--help"}},
	"kubectl":   {[]string{"-n", "--namespace", "--context", "--kubeconfig", "--cluster", "--user", "-s", "--server"}, []string{"--help"}},
	"npm":       {[]string{"--prefix", "-C"}, []string{"--version", "-v", "--silent", "-s", "--help"}},
	"go":        {[]string{"-C"}, nil},
	"cargo":     {[]string{"--color", "--config", "-C", "-Z"}, []string{"--version", "-V", "-q", "--quiet", "-v", "--verbose", "--offline", "--locked"}},
	"systemctl": {[]string{"-t", "--type", "-H", "-M"}, []string{"--user", "--no-pager", "--version", "-a", "--all", "-q"}},
	"pip":       {nil, []string{"--version", "-V", "--disable-pip-version-check", "-q"}},
	"make":      {[]string{"-C", "-f"}, []string{"-s", "-k", "-n", "-B", "-i"}},
}

// findSubcommand returns the index of the first argument that is no option, or the
// number of arguments if there is none; not ok means that it cannot be told.
func findSubcommand(u *unit) (at int, ok bool) {
	if u.inside.at > 0 {
		return u.inside.at, true
	}
	g := globals[u.kind]
	for at = 1; at < len(u.args); at++ {
		w := u.args[at]
		if w.starts() {
			return at, false
		}
		if !strings.HasPrefix(w.text, "-") {
			return at, true
		}
		name, _, attached := strings.Cut(w.text, "=")
		switch {
		case slices.Contains(g.plain, name), slices.Contains(g.valued, name) && attached:
		case slices.Contains(g.valued, name):
			at++
		case name == "--version" || name == "--help":
		default:
			return at, false
		}
	}
	return len(u.args), true
}

// subcommand holds the unit against the list of its program.
func (j *judge) subcommand(p *Program, u *unit) {
	if len(p.Subcommands) == 0 {
		return
	}
	hint := "use " + strings.Join(p.Subcommands[:min(len(p.Subcommands), maxHint)], ", ")
	at, ok := findSubcommand(u)
	switch {
	case !ok:
		j.refuse("command.subcommand", fmt.Sprintf("what stands in front of the subcommand of %s does not say where it is", p.Name), "write the subcommand first")
	case at >= len(u.args):
		if len(u.args) == 1 && u.kind != "make" || u.has("--version", "--help") {
			return // it says how it is used
		}
		j.refuse("command.subcommand", fmt.Sprintf("%s is given no subcommand", p.Name), hint)
	case !p.names(u.args[at:]):
		j.refuse("command.subcommand", fmt.Sprintf("%s may not be given this subcommand", p.Name), hint)
	case u.kind == "make" && slices.ContainsFunc(u.args[at:], func(w word) bool { return !strings.HasPrefix(w.text, "-") && !p.names([]word{w}) }):
		j.refuse("command.subcommand", fmt.Sprintf("%s may not be given one of these targets", p.Name), hint)
	}
}

// names reports whether args begin with a subcommand of the list.
func (p *Program) names(args []word) bool {
	for _, s := range p.Subcommands {
		if begins(args, s) {
			return true
		}
	}
	return false
}

// begins reports whether args begin with the words of s.
func begins(args []word, s string) bool {
	i := 0
	for part := range strings.FieldsSeq(s) {
		if i >= len(args) || !args[i].settled() || args[i].text != part {
			return false
		}
		i++
	}
	return i > 0
}
