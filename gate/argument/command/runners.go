package command

import (
	"fmt"
	"slices"
	"strings"
)

// runner says by what a program runs other programs, or code that stands in the
// call. All of it is held, and the spec opens it one at a time.
type runner struct {
	flags  []string
	subs   []string // subcommands
	whole  string   // why the program is held whatever its arguments
	single bool     // options with one dash are whole words: find -name
	valued string   // letters whose value may be attached, which end a cluster
}

// runners are programs that are harmless but for some options. The lists are of
// what their manuals name, and of what GTFOBins collected.
var runners = map[string]runner{
	"find":              {flags: []string{"-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprint0", "-fprintf", "-fls", "-files0-from"}, single: true},
	"fd":                {flags: []string{"-x", "-X", "--exec", "--exec-batch"}, valued: "detEScj"},
	"git":               {subs: []string{"config", "bisect run", "filter-branch", "filter-repo", "submodule foreach", "submodule update", "submodule add", "difftool", "mergetool", "daemon", "instaweb", "send-email", "hook", "shell", "web--browse", "gui", "citool", "p4", "svn", "cvsserver", "maintenance", "rebase", "remote-ext", "remote-fd", "upload-pack", "receive-pack", "upload-archive", "credential", "for-each-repo", "fast-import"}},
	"tar":               {flags: []string{"--to-command", "--checkpoint-action", "-I", "--use-compress-program", "-F", "--info-script", "--new-volume-script", "--rsh-command", "--rmt-command"}, valued: "fCTXbHKLNVg"},
	"rsync":             {flags: []string{"-e", "--rsh", "--rsync-path", "-M", "--remote-option", "--config"}, valued: "fBT"},
	"ssh":               {flags: []string{"-o", "-F", "-S", "-R", "-L", "-D", "-w", "-J"}, valued: "bceEIilmpQWB"},
	"scp":               {flags: []string{"-o", "-F", "-S", "-J", "-D"}, valued: "ciPlX"},
	"sftp":              {flags: []string{"-o", "-F", "-S", "-J", "-D", "-b"}, valued: "BciPlRs"},
	"sort":              {flags: []string{"--compress-program"}, valued: "kotST"},
	"split":             {flags: []string{"--filter"}, valued: "abClnt"},
	"zip":               {flags: []string{"-T", "-TT", "--unzip-command"}, valued: "bnPtixs"},
	"man":               {flags: []string{"-P", "--pager", "-H", "--html", "-p", "--preprocessor", "-C", "--config-file"}, valued: "LmMSesrRTE"},
	"less":              {flags: []string{"+", "--cmd", "-k", "--lesskey-file", "--lesskey-src", "--lesskey-content"}},
	"more":              {flags: []string{"+"}},
	"most":              {flags: []string{"+"}},
	"vim":               {whole: "is an editor, which runs commands"},
	"vi":                {whole: "is an editor, which runs commands"},
	"view":              {whole: "is an editor, which runs commands"},
	"nvim":              {whole: "is an editor, which runs commands"},
	"ex":                {whole: "is an editor, which runs commands"},
	"ed":                {whole: "is an editor, which runs commands"},
	"emacs":             {whole: "is an editor, which runs commands"},
	"nano":              {flags: []string{"-s", "--speller"}, valued: "CJQTXYcfor"},
	"make":              {whole: "runs what a makefile says", flags: []string{"-f", "-C", "-I", "-E", "--file", "--makefile", "--directory", "--include-dir", "--eval"}},
	"gmake":             {whole: "runs what a makefile says", flags: []string{"-f", "-C", "-I", "-E", "--file", "--makefile", "--directory", "--include-dir", "--eval"}},
	"ninja":             {whole: "runs what a build file says"},
	"mvn":               {whole: "runs what a build file says"},
	"gradle":            {whole: "runs what a build file says"},
	"ant":               {whole: "runs what a build file says"},
	"rake":              {whole: "runs what a build file says"},
	"just":              {whole: "runs what a build file says"},
	"npx":               {whole: "runs a program that it may download"},
	"bunx":              {whole: "runs a program that it may download"},
	"pnpx":              {whole: "runs a program that it may download"},
	"uvx":               {whole: "runs a program that it may download"},
	"npm":               {subs: packageScripts, flags: []string{"--node-options", "--script-shell", "--call", "--prefix", "-C"}},
	"yarn":              {subs: packageScripts},
	"pnpm":              {subs: packageScripts},
	"bun":               {subs: append([]string{"build"}, packageScripts...), flags: []string{"-e", "--eval", "-p", "--print"}},
	"pip":               {subs: []string{"install", "download", "wheel", "config"}},
	"pipx":              {subs: []string{"install", "run", "inject", "runpip", "upgrade"}},
	"uv":                {subs: []string{"run", "pip", "add", "sync", "tool", "build"}},
	"poetry":            {subs: []string{"run", "install", "add", "build", "shell"}},
	"gem":               {subs: []string{"install", "build", "exec", "update"}},
	"bundle":            {subs: []string{"exec", "install", "update"}},
	"composer":          {subs: []string{"install", "update", "require", "exec", "run-script", "run", "global"}},
	"cargo":             {subs: []string{"run", "install", "r"}, flags: []string{"--config"}},
	"go":                {subs: []string{"run", "generate", "tool", "install", "get", "env -w"}, flags: []string{"-exec", "-toolexec", "-vettool", "-overlay", "-modfile", "-ldflags", "-gccgoflags", "-pkgdir"}, single: true},
	"docker":            {subs: containerRuns},
	"podman":            {subs: containerRuns},
	"nerdctl":           {subs: containerRuns},
	"docker-compose":    {whole: "starts containers"},
	"kubectl":           {flags: []string{"--kubeconfig"}, subs: []string{"exec", "run", "apply", "create", "cp", "debug", "edit", "patch", "replace", "attach", "delete", "proxy", "port-forward", "drain", "plugin", "set", "kustomize"}},
	"helm":              {subs: []string{"install", "upgrade", "plugin", "uninstall"}, flags: []string{"--post-renderer"}},
	"terraform":         {subs: []string{"apply", "destroy", "init", "console"}},
	"apt":               {subs: systemPackages, flags: []string{"-o", "-c"}},
	"apt-get":           {subs: systemPackages, flags: []string{"-o", "-c"}},
	"yum":               {subs: systemPackages},
	"dnf":               {subs: systemPackages},
	"apk":               {subs: append([]string{"add", "del"}, systemPackages...)},
	"brew":              {subs: systemPackages},
	"dpkg":              {flags: []string{"-i", "--install", "--pre-invoke", "--post-invoke"}},
	"rpm":               {flags: []string{"-i", "-U", "--install", "--upgrade", "--eval", "-E", "--pipe"}},
	"curl":              {flags: []string{"-K", "--config", "-T", "--upload-file", "--engine"}, valued: "XHdoAeubcmFxyYzCDEPQrtUw"},
	"wget":              {flags: []string{"-e", "--execute", "--use-askpass", "--config", "--post-file", "--body-file", "-i", "--input-file"}, valued: "oaBtOTwQPUlADIXR"},
	"python":            {flags: []string{"-c", "-m"}, valued: "WX"},
	"pypy":              {flags: []string{"-c", "-m"}, valued: "WX"},
	"perl":              {flags: []string{"-e", "-E", "-M", "-m", "-n", "-p"}, valued: "iIxlF"},
	"ruby":              {flags: []string{"-e", "-r", "-n", "-p"}, valued: "EFIKWx"},
	"node":              {flags: []string{"-e", "--eval", "-p", "--print", "-pe", "-r", "--require", "--import", "--loader", "--inspect"}},
	"nodejs":            {flags: []string{"-e", "--eval", "-p", "--print", "-r", "--require"}},
	"deno":              {subs: []string{"eval", "run", "repl", "install", "task"}},
	"php":               {flags: []string{"-r", "-B", "-R", "-E", "-d", "--run", "-S", "-a"}, valued: "ct"},
	"lua":               {flags: []string{"-e", "-l"}},
	"luajit":            {flags: []string{"-e", "-l"}},
	"rscript":           {flags: []string{"-e"}},
	"julia":             {flags: []string{"-e", "-E", "--eval", "--print", "-L"}},
	"osascript":         {flags: []string{"-e"}},
	"groovy":            {flags: []string{"-e"}},
	"jshell":            {whole: "runs code"},
	"irb":               {whole: "runs code"},
	"ipython":           {whole: "runs code"},
	"expect":            {whole: "runs programs"},
	"pwsh":              {whole: "runs code"},
	"powershell":        {whole: "runs code"},
	"xargs":             {whole: "runs a program with arguments that it reads"},
	"parallel":          {whole: "runs programs"},
	"ssh-keygen":        {flags: []string{"-D"}, valued: "fCNPbt"},
	"screen":            {whole: "runs programs"},
	"tmux":              {whole: "runs programs"},
	"at":                {whole: "runs programs later"},
	"batch":             {whole: "runs programs later"},
	"start-stop-daemon": {whole: "runs programs"},
	"ansible":           {whole: "runs programs elsewhere"},
	"gdb":               {whole: "runs commands"},
	"lldb":              {whole: "runs commands"},
	"openssl":           {flags: []string{"-engine", "-provider", "-provider-path", "-config"}, subs: []string{"s_client", "s_server", "engine"}, single: true},
	"ip":                {subs: []string{"netns", "vrf"}, flags: []string{"-b", "-batch", "-force"}, single: true},
	"tcpdump":           {flags: []string{"-z"}, valued: "BcCEFGijmMrsTVwWyQ"},
	"nmap":              {flags: []string{"--script", "--interactive", "-iL"}},
	"rg":                {flags: []string{"--pre", "--hostname-bin"}},
	"ag":                {flags: []string{"--pager"}},
	"bat":               {flags: []string{"--pager"}},
	"hg":                {flags: []string{"--config"}},
	"svn":               {flags: []string{"--config-option", "--diff-cmd", "--diff3-cmd", "--editor-cmd"}},
	"gcc":               {flags: []string{"-wrapper", "-fplugin", "-specs"}, single: true},
	"java":              {flags: []string{"-agentpath", "-agentlib", "-javaagent", "-cp", "-jar"}, single: true},
	"cpio":              {flags: []string{"--rsh-command"}},
	"7z":                {flags: []string{"-sfx"}, single: true},
	"sqlite3":           {flags: []string{"-cmd", "-init"}, single: true},
	"psql":              {flags: []string{"-f", "--file"}, valued: "chdpUvRFPTLo"},
	"mysql":             {flags: []string{"--pager"}},
	"mongosh":           {flags: []string{"--eval"}},
	"ffmpeg":            {single: true},
	"source":            {whole: "runs a script"},
	".":                 {whole: "runs a script"},
	"trap":              {whole: "runs a text later"},
	"alias":             {whole: "gives a name another meaning"},
	"enable":            {whole: "changes what the shell knows"},
	"hash":              {flags: []string{"-p"}},
	"complete":          {flags: []string{"-C", "-F"}},
	"mapfile":           {flags: []string{"-C"}},
	"readarray":         {flags: []string{"-C"}},
}

// scripts judge arguments that no list of options describes: a language, or a
// place where an option means something else. [Program.Opens] opens one as "script".
var scripts = map[string]func(u *unit) bool{
	"ssh": readsCommands,
	"git": gitRuns,
	"awk": awkRuns, "gawk": awkRuns, "mawk": awkRuns, "nawk": awkRuns,
	"sed": sedRuns, "gsed": sedRuns,
	"curl":   uploads,
	"python": readsProgram, "pypy": readsProgram, "perl": readsProgram, "ruby": readsProgram, "node": readsProgram, "nodejs": readsProgram,
	"php": readsProgram, "lua": readsProgram, "luajit": readsProgram, "tclsh": readsProgram, "rscript": readsProgram, "julia": readsProgram,
	"osascript": readsProgram, "groovy": readsProgram,
	"sqlite3": clientRuns, "psql": clientRuns, "mysql": clientRuns,
}

var (
	packageScripts = []string{"run", "run-script", "rum", "urn", "exec", "x", "dlx", "install", "i", "in", "ins", "add", "ci", "clean-install", "test", "t", "tst", "start", "stop", "restart", "rebuild", "rb", "publish", "explore", "create", "init", "innit", "link", "ln", "pack", "config", "set", "update", "up", "upgrade", "edit", "install-test", "it"}
	containerRuns  = []string{"run", "exec", "create", "start", "build", "buildx", "builder", "compose", "cp", "commit", "load", "import", "plugin", "swarm", "service", "stack", "container", "image", "volume create", "context"}
	systemPackages = []string{"install", "remove", "purge", "update", "upgrade", "dist-upgrade", "full-upgrade", "reinstall", "localinstall", "source", "build-dep", "changelog"}
)

// runs holds what a listed program may run by its options, unless the spec opens
// it.
func (j *judge) runs(p *Program, u *unit) {
	r, script := runners[u.kind], scripts[u.kind]
	opened := false // a subcommand that the spec names opens itself
	if at, ok := findSubcommand(u); ok && at < len(u.args) {
		opened = p.names(u.args[at:])
		for _, s := range r.subs {
			if !opened && begins(u.args[at:], s) {
				j.hold("command.runs", fmt.Sprintf("%s %s runs other programs or changes what will run", p.Name, s), "list the subcommand if that is meant")
			}
		}
	}
	if r.whole != "" && !opened {
		j.hold("command.runs", fmt.Sprintf("%s %s", p.Name, r.whole), "list what it may run as subcommands if that is meant")
	}
	for _, f := range r.flags {
		if !slices.Contains(p.Opens, f) && u.has(f) {
			j.hold("command.runs", fmt.Sprintf("%s runs other programs, or code that is written in the call, by the option %s", p.Name, f), "leave the option out")
		}
	}
	if script != nil && !slices.Contains(p.Opens, "script") && script(u) {
		j.hold("command.runs", fmt.Sprintf("the arguments of %s may run other programs or code", p.Name), "leave that part out")
	}
	if (len(r.flags) > 0 || script != nil) && slices.ContainsFunc(u.rest(), word.starts) {
		j.hold("command.unknown", fmt.Sprintf("an argument of %s that is not written out may turn out to be an option by which it runs other programs", p.Name), "write it out, or put ./ in front of a pattern")
	}
}

// readsProgram: an interpreter without a script takes its input for one.
func readsProgram(u *unit) bool {
	ops := u.operands()
	return len(ops) > 0 && (ops[0].text == "-" || strings.HasPrefix(ops[0].text, "/dev/") || strings.HasPrefix(ops[0].text, "/proc/")) ||
		len(ops) == 0 && u.stdin
}

// readsCommands: ssh without a command gives a shell elsewhere what it reads.
func readsCommands(u *unit) bool { return u.stdin && u.inside.at == 0 }

// uploads: curl sends a file that is named behind @.
func uploads(u *unit) bool {
	return slices.ContainsFunc(u.rest(), func(w word) bool {
		return strings.HasPrefix(w.text, "@") || strings.Contains(w.text, "=@") || strings.Contains(w.text, "=<") || strings.HasPrefix(w.text, "-d@")
	})
}

// clientRuns: clients of databases have commands that run programs.
func clientRuns(u *unit) bool {
	return slices.ContainsFunc(u.rest(), func(w word) bool {
		s := strings.ToLower(w.text)
		for _, part := range []string{`\!`, ".shell", ".system", ".load", ".import", "load_extension", "program", "system ", `\|`, "edit(", "writefile", ".output", ".once", `\o`, `\i`, `\g`} {
			if strings.Contains(s, part) {
				return true
			}
		}
		return w.unknown
	})
}

// gitRuns: -c and --exec-path set, in front of the subcommand, what git will run;
// other options have that meaning behind it.
func gitRuns(u *unit) bool {
	at, ok := findSubcommand(u)
	if !ok {
		at = len(u.args)
	}
	for _, w := range u.args[1:at] {
		for _, f := range []string{"-c", "--config-env", "--exec-path", "--git-dir", "--work-tree", "-p", "--paginate"} {
			if hasFlag("git", f, w.text) {
				return true
			}
		}
	}
	if at >= len(u.args) {
		return false
	}
	flags := []string{"--upload-pack", "--receive-pack", "--exec", "--ext-diff", "--textconv", "--output", "--open-files-in-pager", "--template", "--extcmd", "--exec-path"}
	switch u.args[at].text {
	case "clone", "init":
		flags = append(flags, "-c", "--config", "-u", "--separate-git-dir")
	case "grep":
		flags = append(flags, "-O")
	case "ls-remote", "fetch", "pull":
		flags = append(flags, "-u")
	}
	for _, w := range u.args[at+1:] {
		for _, f := range flags {
			if hasFlag("git", f, w.text) {
				return true
			}
		}
	}
	return false
}
