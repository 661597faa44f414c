package command

import (
	"path"
	"slices"
	"strings"
)

// interpreters take a program from their input, or from an argument behind one of
// these options.
var interpreters = map[string][]string{
	"python": {"-c"}, "pypy": {"-c"}, "perl": {"-e", "-E"}, "ruby": {"-e"}, "node": {"-e", "-p", "--eval", "--print"}, "nodejs": {"-e", "-p", "--eval", "--print"},
	"php": {"-r", "-B", "-R", "-E", "--run"}, "lua": {"-e"}, "luajit": {"-e"}, "rscript": {"-e"}, "osascript": {"-e"}, "julia": {"-e", "-E"}, "tclsh": nil, "expect": {"-c"},
	"groovy": {"-e"}, "deno": {"eval"}, "bun": {"-e", "-p"}, "pwsh": {"-c", "-Command", "-EncodedCommand", "-e", "-enc"}, "powershell": {"-c", "-Command", "-EncodedCommand", "-e", "-enc"},
	"gdb": {"-ex"}, "vim": {"-c", "--cmd"}, "vi": {"-c"}, "nvim": {"-c"}, "awk": nil, "gawk": nil, "mawk": nil, "nawk": nil, "sqlite3": nil,
}

// pipedCode finds an interpreter whose program is what a pipe or a redirection
// brings, or what a substitution makes: nobody has judged it.
func pipedCode(u *unit) fault {
	bad := fault{"command.never.piped_code", "an interpreter is given a program that is made or fetched when it runs, so nobody judged it"}
	switch {
	case u.kind == "source" || u.kind == ".":
		if slices.ContainsFunc(u.rest(), func(w word) bool { return w.unknown || isInput(w.text) }) {
			return bad
		}
	case u.kind == "xargs" && len(u.inside.args) > 0:
		if k := kindOf(u.inside.args[0][0].text); shells[k] || k == "env" && len(u.inside.args[0]) == 2 {
			return bad
		}
	case shells[u.kind]:
		return pipedShell(u, bad)
	}
	inline, ok := interpreters[u.kind]
	if !ok || u.kind == "awk" || u.kind == "sqlite3" {
		return fault{}
	}
	if u.has(inline...) && slices.ContainsFunc(u.rest(), func(w word) bool { return w.unknown }) {
		return bad
	}
	ops := u.operands()
	if u.stdin && (len(ops) == 0 && len(inline) > 0 && !u.has(append([]string{"-m", "--version", "-V", "-v", "-h"}, inline...)...) || len(ops) > 0 && isInput(ops[0].text)) {
		return bad
	}
	return fault{}
}

func isInput(s string) bool {
	return s == "-" || s == "/dev/stdin" || strings.HasPrefix(s, "/dev/fd/") || strings.HasPrefix(s, "/proc/self/fd/")
}

func pipedShell(u *unit, bad fault) fault {
	if len(u.inside.texts) > 0 {
		return fault{} // follow judges the text
	}
	ops := u.operands()
	switch {
	case u.stdin && (len(ops) == 0 || u.has("-s")) && !u.has("--version"):
		return bad
	case len(ops) > 0 && (isInput(ops[0].text) || ops[0].unknown):
		return bad
	}
	return fault{}
}

// inlineCode reads code that stands in the call, as far as it names what reverse
// shells and fork bombs are made of.
func inlineCode(u *unit) fault {
	if _, ok := interpreters[u.kind]; !ok {
		return fault{}
	}
	for _, w := range u.rest() {
		if len(w.text) < 8 {
			continue
		}
		s := strings.ToLower(w.text)
		switch {
		case containsAny(s, "pty.spawn"), containsAny(s, "socket", "fsockopen", "net.connect", "require('net')", `require("net")`, "tcpclient", "tcpsocket", "net.createconnection", "/inet", "io::socket") &&
			containsAny(s, "exec", "spawn", "dup2", "/bin/", "subprocess", "pty", "popen", "system", "cmd", "stdin", "fdopen"):
			return fault{"command.never.reverse_shell", "the code connects a shell to another machine"}
		case containsAny(s, "fork") && containsAny(s, "while", "for(", "for (", "loop", "forever", "until"):
			return fault{"command.never.forkbomb", "the code starts itself again without end"}
		case containsAny(s, "base64", "b64decode", "unhexlify", "fromhex", "atob(", "unpack(", "codecs.decode", "marshal", "zlib.decompress", "frombase64", "rot13") && containsAny(s, "exec", "eval", "system", "popen", "spawn", "iex", "function("):
			return fault{"command.never.piped_code", "the code runs what it decodes, so nobody judged it"}
		case containsAny(s, "urlopen", "requests.get", "http.get", "file_get_contents", "lwp::", "open-uri", "fetch(", "downloadstring", "invoke-webrequest") && containsAny(s, "exec(", "eval(", "eval ", "system(", "iex", "|bash", "| bash", "invoke-expression"):
			return fault{"command.never.piped_code", "the code runs what it fetches, so nobody judged it"}
		case containsAny(s, "curl ", "wget ") && containsAny(s, "|sh", "| sh", "|bash", "| bash", "| sudo", "|sudo"):
			return fault{"command.never.piped_code", "the code runs what it fetches, so nobody judged it"}
		case containsAny(s, "rmtree", "rmsync", "rm_rf", "remove_tree") && containsAny(s, `"/"`, `'/'`, `"~"`, `'~'`, "expanduser"), containsAny(s, "rm -rf /", "rm -fr /", "rm -rf ~"):
			return fault{"command.never.delete", "the code deletes the root or a home"}
		case containsAny(s, "setuid(0", "setreuid(0", "chmod(") && containsAny(s, "setuid(0", "setreuid(0", "4755", "04777", "0o4", "s_isuid"):
			return fault{"command.never.setuid", "the code takes the rights of another user"}
		}
	}
	return fault{}
}

func containsAny(s string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(s, p) })
}

// reverseShell finds programs that connect a shell to another machine.
func reverseShell(u *unit) fault {
	bad := fault{"command.never.reverse_shell", "the command connects a shell to another machine"}
	switch {
	case u.kind == "nc" || u.kind == "ncat" || u.kind == "netcat":
		if u.has("-e", "-c", "--exec", "--sh-exec", "--lua-exec") {
			return bad
		}
	case u.kind == "socat":
		if anyWord(u, func(s string) bool {
			s = strings.ToLower(s)
			return containsAny(s, "exec:", "system:", "shell:", "pty", "exec-")
		}) {
			return bad
		}
	case u.kind == "xterm":
		if u.has("-display") {
			return bad
		}
	case shells[u.kind]:
		if u.has("-i") && (u.stdin || len(u.writes) > 0) {
			return bad
		}
	}
	return fault{}
}

// downloaded finds the execution of what an earlier command of the same text
// fetched, or wrote for a shell.
func (j *judge) downloaded(u *unit) fault {
	name := u.args[0].text
	runs := []string{}
	if strings.Contains(name, "/") {
		runs = append(runs, path.Base(name))
	}
	if _, ok := interpreters[u.kind]; ok || shells[u.kind] || u.kind == "source" || u.kind == "." || u.kind == "chmod" && anyWord(u, func(s string) bool { return strings.Contains(s, "x") }) {
		for _, w := range u.operands() {
			runs = append(runs, path.Base(w.text))
		}
	}
	for _, r := range runs {
		if r != "." && r != "/" && slices.Contains(j.fetched, r) {
			return fault{"command.never.download", "the command runs what it fetched before, so nobody judged it"}
		}
	}
	for _, r := range runs {
		if u.kind != "chmod" && r != "." && r != "/" && slices.Contains(j.written, r) && (shells[u.kind] || u.kind == "source" || u.kind == "." || strings.Contains(name, "/")) {
			return fault{"command.never.piped_code", "the command runs what it wrote before, so nobody judged it"}
		}
	}
	for _, w := range u.writes {
		j.written = append(j.written, path.Base(w.text))
	}
	switch u.kind {
	case "curl", "wget", "aria2c", "fetch", "scp", "ftp", "tftp":
		for _, w := range append(u.rest()[:len(u.rest()):len(u.rest())], u.writes...) {
			text, _, _ := strings.Cut(w.text, "?")
			j.fetched = append(j.fetched, path.Base(text))
		}
	case "base64", "xxd", "openssl":
		for _, w := range u.writes {
			j.fetched = append(j.fetched, path.Base(w.text))
		}
	}
	return fault{}
}
