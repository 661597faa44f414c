package command

import "strings"

// inside is what a unit runs besides itself.
type inside struct {
	at      int      // where the other program begins in the arguments, 0 if nowhere
	args    [][]word // programs with their arguments
	texts   []word   // texts that a shell is given
	unclear bool
}

// wrapper says how a program that runs another one takes its own options.
type wrapper struct {
	valued  string   // letters whose value is the next argument, or attached
	long    []string // long options whose value is the next argument
	skip    int      // arguments of its own in front of the program
	assigns bool     // takes a=b in front of the program
	joined  bool     // gives a shell all that is left, joined
}

var wrappers = map[string]wrapper{
	"sudo":    {valued: "ugpChrtTUDR", long: []string{"--user", "--group", "--prompt", "--host", "--chdir", "--chroot", "--role", "--type"}, assigns: true},
	"doas":    {valued: "uC", assigns: true},
	"env":     {valued: "uCa", long: []string{"--unset", "--chdir", "--argv0"}, assigns: true},
	"nice":    {valued: "n", long: []string{"--adjustment"}},
	"ionice":  {valued: "cnpPu", long: []string{"--class", "--classdata"}},
	"nohup":   {},
	"timeout": {valued: "sk", long: []string{"--signal", "--kill-after"}, skip: 1},
	"stdbuf":  {valued: "ioe", long: []string{"--input", "--output", "--error"}},
	"setsid":  {}, "setarch": {}, "linux32": {}, "linux64": {}, "fakeroot": {}, "unbuffer": {}, "dbus-run-session": {}, "xvfb-run": {}, "dumb-init": {}, "tini": {}, "catchsegv": {}, "pkexec": {}, "ld.so": {}, "busybox": {}, "toybox": {}, "builtin": {},
	"command": {}, "exec": {valued: "a"},
	"time":        {valued: "fo", long: []string{"--format", "--output"}},
	"xargs":       {valued: "ILnPsdEa", long: []string{"--max-args", "--max-procs", "--max-chars", "--delimiter", "--arg-file", "--replace"}},
	"chrt":        {skip: 1},
	"taskset":     {skip: 1},
	"flock":       {valued: "wE", skip: 1},
	"gosu":        {skip: 1},
	"su-exec":     {skip: 1},
	"setpriv":     {long: []string{"--reuid", "--regid", "--groups"}},
	"strace":      {valued: "eopsEuaOIPSXb"},
	"ltrace":      {valued: "eopsuanlx"},
	"numactl":     {valued: "NmCip"},
	"prlimit":     {},
	"rlwrap":      {valued: "acCDfgHIlmMOpPqsStwz"},
	"firejail":    {},
	"proot":       {valued: "rbqwvR"},
	"systemd-run": {valued: "pEuMH", long: []string{"--unit", "--property", "--slice", "--uid", "--gid"}},
	"watch":       {valued: "nq", long: []string{"--interval"}, joined: true},
	"ssh":         {valued: "bcDEeFIiJLlmOopQRSWwB", skip: 1, joined: true},
	"parallel":    {valued: "jNILn", long: []string{"--jobs", "--delay", "--max-args"}, joined: true},
}

// plainLong are long options without a value, of any wrapper.
var plainLong = toSet("--preserve-env", "--login", "--shell", "--background", "--non-interactive", "--stdin", "--set-home", "--ignore-environment",
	"--null", "--no-run-if-empty", "--verbose", "--interactive", "--preserve-status", "--foreground", "--wait", "--fork", "--ctty", "--portability",
	"--open-tty", "--exit", "--user", "--scope", "--pty", "--pipe", "--collect", "--quiet", "--chgrp", "--color", "--differences", "--beep", "--errexit", "--debug")

// look finds what the unit runs.
func look(u *unit) inside {
	switch u.kind {
	case "find":
		return findExec(u.args)
	case "fd", "fdfind":
		return fdExec(u.args)
	case "su", "runuser", "script", "sg":
		return shellOption(u.args, "c", "--command")
	case "trap":
		if len(u.args) > 2 {
			return inside{texts: u.args[1:2]}
		}
	case "alias":
		return aliased(u.args)
	case "command":
		if len(u.args) > 1 && (u.args[1].text == "-v" || u.args[1].text == "-V") {
			return inside{} // says where a program is
		}
	case "flock":
		if in := shellOption(u.args, "c", "--command"); len(in.texts) > 0 {
			return in
		}
	}
	if shells[u.kind] {
		return shellText(u.args)
	}
	if w, ok := wrappers[u.kind]; ok {
		return w.unwrap(u)
	}
	return inside{}
}

// unwrap skips the wrapper's own options.
func (w wrapper) unwrap(u *unit) inside {
	i, skip := 1, w.skip
	for ; i < len(u.args); i++ {
		a := u.args[i]
		switch {
		case a.starts():
			return inside{unclear: true}
		case a.text == "--":
			i++
			return w.program(u, i+skip)
		case a.text == "-" && u.kind == "env": // the same as -i
		case strings.HasPrefix(a.text, "-") && len(a.text) > 1:
			n, split, clear := w.option(u, i)
			if !clear {
				return inside{unclear: true, texts: split}
			}
			i += n
		case w.assigns && isAssignment(a.text):
		case skip > 0:
			skip--
		default:
			return w.program(u, i)
		}
	}
	return inside{}
}

func (w wrapper) program(u *unit, i int) inside {
	if i >= len(u.args) {
		return inside{}
	}
	rest := u.args[i:]
	in := inside{at: i}
	switch {
	case w.joined:
		in.texts = []word{join(rest)}
	case u.kind == "xargs":
		in.args = [][]word{append(rest[:len(rest):len(rest)], word{text: mark, unknown: true})}
	default:
		in.args = [][]word{rest}
	}
	return in
}

// option says how many more arguments the option at i takes. env -S splits its
// value into a command.
func (w wrapper) option(u *unit, i int) (more int, split []word, clear bool) {
	a := u.args[i].text
	if u.kind == "env" && (strings.HasPrefix(a, "--s") || !strings.HasPrefix(a, "--") && strings.Contains(a, "S")) {
		_, value, _ := strings.Cut(a, "S")
		if _, v, ok := strings.Cut(a, "="); ok && strings.HasPrefix(a, "--") {
			value = v
		}
		return 0, []word{join(append([]word{{text: value}}, u.args[i+1:]...))}, false
	}
	if strings.HasPrefix(a, "--") {
		name, _, attached := strings.Cut(a, "=")
		for _, l := range w.long {
			if name == l && !attached {
				return 1, nil, true
			}
		}
		return 0, nil, attached || plainLong[name]
	}
	for k := 1; k < len(a); k++ {
		if strings.IndexByte(w.valued, a[k]) >= 0 {
			if k == len(a)-1 {
				return 1, nil, true
			}
			return 0, nil, true
		}
	}
	return 0, nil, true
}

func isAssignment(s string) bool {
	name, _, ok := strings.Cut(s, "=")
	return ok && name != "" && !strings.ContainsAny(name, "/-. ")
}

// aliased: the text behind a name is what a shell will run for it.
func aliased(args []word) inside {
	var in inside
	for _, a := range args[1:] {
		if _, text, ok := strings.Cut(a.text, "="); ok {
			in.texts = append(in.texts, word{text: text, unknown: a.unknown})
		}
	}
	return in
}

func join(words []word) word {
	var out word
	parts := make([]string, 0, len(words))
	for _, w := range words {
		parts = append(parts, w.text)
		out.unknown = out.unknown || w.unknown
	}
	out.text = strings.TrimSpace(strings.Join(parts, " "))
	return out
}

var shells = toSet("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "rbash", "yash", "hush", "rc", "elvish")

// shellText finds the text behind -c, which is the first argument that is no
// option, wherever in a cluster the c stands.
func shellText(args []word) inside {
	text, want := false, 0
	for i := 1; i < len(args); i++ {
		a := args[i].text
		switch {
		case want > 0: // the name of an option, or a start-up file
			want--
		case a == "--rcfile" || a == "--init-file":
			want = 1
		case a == "--command":
			text = true
		case strings.HasPrefix(a, "--command="):
			return inside{texts: []word{{text: strings.TrimPrefix(a, "--command="), unknown: args[i].unknown}}}
		case strings.HasPrefix(a, "--"):
		case len(a) > 1 && (a[0] == '-' || a[0] == '+'):
			text = text || strings.Contains(a, "c")
			want = strings.Count(strings.ToLower(a), "o")
		case text:
			return inside{texts: []word{args[i]}}
		default:
			return inside{}
		}
	}
	return inside{}
}

// shellOption finds the value of an option that a shell is given.
func shellOption(args []word, letter, long string) inside {
	var in inside
	for i := 1; i < len(args); i++ {
		a := args[i].text
		switch {
		case strings.HasPrefix(a, "--"):
			name, value, attached := strings.Cut(a, "=")
			if len(name) > 3 && strings.HasPrefix(long, name) {
				in.texts = append(in.texts, valueAt(args, i, value, attached))
			}
		case strings.HasPrefix(a, "-"):
			if _, value, ok := strings.Cut(a, letter); ok {
				in.texts = append(in.texts, valueAt(args, i, value, value != ""))
			}
		}
	}
	return in
}

func valueAt(args []word, i int, value string, attached bool) word {
	if attached {
		return word{text: value, unknown: args[i].unknown}
	}
	if i+1 < len(args) {
		return args[i+1]
	}
	return word{}
}

// findExec finds the programs behind -exec and its kin, up to ; or +.
func findExec(args []word) inside {
	var in inside
	for i := 1; i < len(args); i++ {
		switch args[i].text {
		case "-exec", "-execdir", "-ok", "-okdir":
		default:
			continue
		}
		end := i + 1
		for end < len(args) && args[end].text != ";" && args[end].text != "+" {
			end++
		}
		if inner := substituted(args[i+1 : end]); len(inner) > 0 {
			in.args = append(in.args, inner)
		}
		i = end
	}
	return in
}

// substituted makes {} unknown: find puts a name there, below one that was given.
func substituted(args []word) []word {
	out := make([]word, len(args))
	for i, a := range args {
		if strings.Contains(a.text, "{}") {
			a = word{text: strings.ReplaceAll(a.text, "{}", mark), unknown: true}
		}
		out[i] = a
	}
	return out
}

func fdExec(args []word) inside {
	for i := 1; i+1 < len(args); i++ {
		switch args[i].text {
		case "-x", "-X", "--exec", "--exec-batch":
			inner := append(substituted(args[i+1:]), word{text: mark, unknown: true})
			return inside{args: [][]word{inner}}
		}
	}
	return inside{}
}
