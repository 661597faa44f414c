package command

import (
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

// loaders are variables by which a program is made to run other code, or names are
// given another meaning. Setting one undoes what the spec says of programs.
var loaders = toSet("IFS", "PATH", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "CDPATH", "GLOBIGNORE", "SHELL", "EDITOR", "VISUAL", "PAGER", "BROWSER",
	"MANPAGER", "MANOPT", "LESSOPEN", "LESSCLOSE", "LESS", "PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONBREAKPOINT", "NODE_OPTIONS", "NODE_PATH",
	"PERL5OPT", "PERL5LIB", "PERL5DB", "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "PHPRC", "PHP_INI_SCAN_DIR", "LUA_INIT", "LUA_PATH", "LUA_CPATH",
	"RUSTC_WRAPPER", "RUSTC", "GOFLAGS", "CC", "CXX", "MAKEFLAGS", "SUDO_ASKPASS", "SUDO_EDITOR", "SSH_ASKPASS", "RSYNC_RSH", "TAR_OPTIONS", "ZIPOPT", "HOSTALIASES", "OPENSSL_CONF", "GCONV_PATH", "LOCPATH",
	"TERMINFO", "HGRCPATH", "CVS_RSH", "SVN_SSH", "RIPGREP_CONFIG_PATH", "CURL_HOME", "WGETRC", "FPATH", "ZDOTDIR", "HOME", "XDG_CONFIG_HOME", "KUBECONFIG", "DOCKER_HOST", "DOCKER_CONFIG", "AWS_CONFIG_FILE", "NPM_CONFIG_USERCONFIG",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

// judgeVariable says whether a variable may be set at all.
func judgeVariable(name string) argument.Finding {
	upper := strings.ToUpper(name)
	switch {
	case strings.HasPrefix(upper, "HIST"):
		return refuse("command.never.security", "the command changes what the shell records", "")
	case strings.HasPrefix(upper, "LD_"), strings.HasPrefix(upper, "DYLD_"), strings.HasPrefix(upper, "GIT_") && !isHarmlessGit(upper), strings.HasPrefix(upper, "BASH_FUNC"),
		strings.HasPrefix(upper, "NPM_CONFIG_"), strings.HasPrefix(upper, "GLIBC_"), loaders[upper]:
		return refuse("command.never.environment", "the command sets a variable by which programs are made to run other code or to read another configuration", "leave it out")
	}
	return argument.Passed
}

// isHarmlessGit: who wrote a commit and when, and asking no questions.
func isHarmlessGit(name string) bool {
	return strings.HasPrefix(name, "GIT_AUTHOR_") || strings.HasPrefix(name, "GIT_COMMITTER_") || name == "GIT_TERMINAL_PROMPT" || name == "GIT_OPTIONAL_LOCKS"
}
