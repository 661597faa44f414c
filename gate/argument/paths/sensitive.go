package paths

import (
	"path"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

// sensitive are names that hold keys, or that another program obeys when it
// starts, without anybody looking. In lower case. A name of two parts stands for a
// file in a folder of that name. Files that people open knowingly and that run
// code too (Makefile, package.json, CI workflows) are left out: a tool that edits
// a project has to write them.
var sensitive = toSet(
	// keys and tokens
	".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker/config.json", ".config/gcloud", ".config/gh", ".env", ".netrc", "_netrc", ".npmrc",
	".pypirc", ".pgpass", ".my.cnf", ".git-credentials", ".vault-token", ".htpasswd", "authorized_keys", "authorized_keys2",
	"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", ".cargo/credentials", ".cargo/credentials.toml",
	".gem/credentials", ".terraform.d", ".m2/settings.xml", ".bash_history", ".zsh_history", ".password-store",
	// run by git: hooks, configured commands, and a file .git that points elsewhere
	".git", "git~1", ".gitconfig", ".config/git", ".gitmodules", ".husky",
	// run by shells and sessions
	".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin",
	".kshrc", ".cshrc", ".tcshrc", ".config/fish", ".envrc", ".inputrc", ".xinitrc", ".xprofile", ".xsession", ".config/autostart",
	".config/systemd", ".pam_environment", "crontab", "cron.d", "cron.daily", "cron.hourly", "sudoers", "sudoers.d", "ld.so.preload",
	// run by editors, interpreters and agents
	".vimrc", ".exrc", ".emacs", ".gdbinit", ".lldbinit", ".pythonrc", ".pythonstartup", "sitecustomize.py", "usercustomize.py",
	".vscode/settings.json", ".vscode/tasks.json", ".vscode/launch.json", ".idea/workspace.xml", ".mcp.json", ".vscode/mcp.json",
	".cursor/mcp.json", ".claude/settings.json", ".claude/settings.local.json", ".gemini/settings.json",
)

func toSet(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}

// harmless are the endings of a .env file that is written to be read by all.
var harmless = toSet(".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults")

// judgeNames gives the spec's verdict on sensitive names in the part of a path
// below its root. The root itself was named by a person.
func (s Spec) judgeNames(rest string) argument.Finding {
	if s.Sensitive == argument.Pass {
		return argument.Passed
	}
	parent := ""
	for name := range strings.SplitSeq(rest, "/") {
		name = strings.ToLower(name) // git and file systems of other machines fold case (CVE-2014-9390)
		if isSensitive(parent, name) {
			return argument.Finding{Verdict: min(s.Sensitive, argument.Pass), Rule: "path.sensitive",
				Reason: "the path names a place that holds keys, or that other programs run or obey", Hint: "name another file"}
		}
		parent = name
	}
	return argument.Passed
}

func isSensitive(parent, name string) bool {
	switch {
	case name == "":
		return false
	case sensitive[name], parent != "" && sensitive[parent+"/"+name]:
		return true
	case strings.HasPrefix(name, ".env."):
		return !harmless[name]
	case strings.ContainsAny(name, "[?*{"):
		return mayBeSensitive(name)
	}
	return false
}

// maxAlternatives bounds the work on a name with braces.
const maxAlternatives = 64

// mayBeSensitive reports a pattern that spells a sensitive name in part: .s[s]h,
// .ss?, .{ssh,x}. One that begins with a wildcard selects everything and is not
// meant.
func mayBeSensitive(name string) bool {
	before, rest, braces := strings.Cut(name, "{")
	if !braces {
		return matchesSensitive(name)
	}
	inside, after, _ := strings.Cut(rest, "}")
	if strings.ContainsAny(inside+after, "{}") {
		after = "*" // what is nested may be anything
	}
	alternatives := strings.SplitN(inside, ",", maxAlternatives+1)
	if len(alternatives) > maxAlternatives {
		return true
	}
	for _, a := range alternatives {
		if matchesSensitive(before + strings.ReplaceAll(a, "{", "*") + after) {
			return true
		}
	}
	return false
}

func matchesSensitive(pattern string) bool {
	if pattern == "" || pattern[0] == '*' || pattern[0] == '?' {
		return false
	}
	for s := range sensitive {
		if ok, _ := path.Match(pattern, s); ok {
			return true
		}
	}
	return false
}
