package manifest

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// checkEnvironmentSize: see MaxEnvironment.
func checkEnvironmentSize(s *Server, r *report) {
	if len(s.Environment) > MaxEnvironment {
		r.fail("environment", "give the server a file of settings", "%d variables; at most %d", len(s.Environment), MaxEnvironment)
	}
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,255}$`)

// checkEnvironmentNames: a name with = or a NUL in it sets another variable than
// the one that was reviewed; one that appears twice is read differently by
// different programs. bash takes functions from names with other characters
// (CVE-2014-6271).
func checkEnvironmentNames(s *Server, r *report) {
	for i, v := range s.Environment {
		switch {
		case !envName.MatchString(v.Name):
			r.fail(envPath(v.Name), "use A-Z a-z 0-9 and _, not starting with a digit", "%s is not the name of a variable", show(v.Name))
		case strings.HasPrefix(v.Name, "MCPRUN_"):
			r.fail(envPath(v.Name), "use another name", "names that start with MCPRUN_ are for mcprun itself")
		case i > 0 && s.Environment[i-1].Name >= v.Name:
			r.fail(envPath(v.Name), "sort them by name, each once", "is out of order or there twice")
		}
	}
}

// checkLoaderVariables: these make the loader, a shell or a language runtime run
// code, or a command, that they name. They would turn a folder granted as data
// into code. HOME and TMPDIR are allowed: servers need a place to write, and
// what they find there was put there by themselves or by a grant.
func checkLoaderVariables(s *Server, r *report) {
	for _, v := range s.Environment {
		if who := loads(v.Name); who != "" {
			r.fail(envPath(v.Name), "take it out; put options of the runtime into command, and code into the image", "makes %s load or run what it names", who)
		}
	}
}

// loads says what takes code from the variable of this name.
func loads(name string) string {
	for _, p := range []struct{ prefix, who string }{
		{"LD_", "the dynamic loader"},
		{"DYLD_", "the dynamic loader"},
		{"GIT_CONFIG", "git"},
		{"CORECLR_", ".NET"},
		{"COR_", ".NET"},
		{"COMPlus_", ".NET"},
	} {
		if strings.HasPrefix(name, p.prefix) {
			return p.who
		}
	}
	return loaders()[name]
}

func loaders() map[string]string {
	return map[string]string{
		"GCONV_PATH": "the C library", "LOCPATH": "the C library", "NLSPATH": "the C library", "GLIBC_TUNABLES": "the C library", // CVE-2023-4911
		"HOSTALIASES": "the C library", "RESOLV_HOST_CONF": "the C library", "MALLOC_TRACE": "the C library",
		"BASH_ENV": "a shell", "ENV": "a shell", "SHELLOPTS": "a shell", "BASHOPTS": "a shell", "PS4": "a shell",
		"PROMPT_COMMAND": "a shell", "IFS": "a shell", "CDPATH": "a shell", "ZDOTDIR": "a shell",
		"NODE_OPTIONS": "node", "NODE_PATH": "node", "NODE_REPL_EXTERNAL_MODULE": "node",
		"NPM_CONFIG_USERCONFIG": "npm", "npm_config_userconfig": "npm", "NPM_CONFIG_SCRIPT_SHELL": "npm", "npm_config_script_shell": "npm",
		"BUN_OPTIONS": "bun", "DENO_DIR": "deno",
		"PYTHONPATH": "python", "PYTHONHOME": "python", "PYTHONSTARTUP": "python", "PYTHONINSPECT": "python", "PYTHONBREAKPOINT": "python",
		"PYTHONUSERBASE": "python", "PYTHONPYCACHEPREFIX": "python", "PYTHONWARNINGS": "python", "PYTHONEXECUTABLE": "python", "PYTHONPLATLIBDIR": "python",
		"PERL5OPT": "perl", "PERL5LIB": "perl", "PERLLIB": "perl", "PERL5DB": "perl",
		"RUBYOPT": "ruby", "RUBYLIB": "ruby", "GEM_HOME": "ruby", "GEM_PATH": "ruby", "BUNDLE_GEMFILE": "ruby",
		"JAVA_TOOL_OPTIONS": "java", "_JAVA_OPTIONS": "java", "JDK_JAVA_OPTIONS": "java", "CLASSPATH": "java",
		"DOTNET_STARTUP_HOOKS": ".NET", "DOTNET_ADDITIONAL_DEPS": ".NET", "DOTNET_SHARED_STORE": ".NET",
		"PHPRC": "php", "PHP_INI_SCAN_DIR": "php",
		"LUA_INIT": "lua", "LUA_PATH": "lua", "LUA_CPATH": "lua",
		"R_PROFILE": "R", "R_PROFILE_USER": "R", "R_ENVIRON": "R", "R_ENVIRON_USER": "R", "R_LIBS": "R",
		"OPENSSL_CONF": "OpenSSL", "OPENSSL_ENGINES": "OpenSSL", "OPENSSL_MODULES": "OpenSSL",
		"GTK_MODULES": "GTK", "GTK_PATH": "GTK", "GIO_EXTRA_MODULES": "GIO", "QT_PLUGIN_PATH": "Qt", "QT_QPA_PLATFORM_PLUGIN_PATH": "Qt",
		"GIT_SSH": "git", "GIT_SSH_COMMAND": "git", "GIT_EXTERNAL_DIFF": "git", "GIT_PROXY_COMMAND": "git", "GIT_ASKPASS": "git",
		"GIT_EDITOR": "git", "GIT_SEQUENCE_EDITOR": "git", "GIT_PAGER": "git", "GIT_EXEC_PATH": "git", "GIT_TEMPLATE_DIR": "git",
		"SSH_ASKPASS": "ssh", "EDITOR": "an editor's caller", "VISUAL": "an editor's caller", "BROWSER": "a browser's caller",
		"PAGER": "a pager's caller", "MANPAGER": "a pager's caller", "LESSOPEN": "less", "LESSCLOSE": "less", "SHELL": "a shell's caller",
	}
}

// checkSearchPath: PATH decides which program runs, so each folder in it must be
// one of the image: a relative or granted one holds data, not reviewed code.
func checkSearchPath(s *Server, r *report) {
	for _, v := range s.Environment {
		if v.Name != "PATH" {
			continue
		}
		for _, dir := range strings.Split(v.Value, ":") {
			switch {
			case !strings.HasPrefix(dir, "/") || path.Clean(dir) != dir:
				r.fail(envPath(v.Name), "list absolute folders of the image", "%s is not an absolute folder in its shortest form", show(dir))
			case hasTarget(s, dir):
				r.fail(envPath(v.Name), "list folders of the image only", "%s is in a folder that files or /tmp cover; programs there are not pinned", show(dir))
			}
		}
	}
}

// checkEnvironmentValues: see badText.
func checkEnvironmentValues(s *Server, r *report) {
	for _, v := range s.Environment {
		if what := badText(v.Value); what != "" {
			r.fail(envPath(v.Name), "use plain, shorter text", "%s", what)
		}
	}
}

// checkCommand: an empty word is nearly always a slip, and as the program's name
// it runs whatever the system makes of it; for NUL see badText.
func checkCommand(s *Server, r *report) {
	if len(s.Command) > MaxCommand {
		r.fail("command", "put a script into the image", "%d words; at most %d", len(s.Command), MaxCommand)
	}
	if s.Command != nil && len(s.Command) == 0 {
		r.fail("command", "name the program, or leave the key out", "is an empty list")
	}
	for i, word := range s.Command {
		if word == "" {
			r.fail(commandPath(i), "take it out", "is empty")
		}
		if what := badText(word); what != "" {
			r.fail(commandPath(i), "use plain, shorter text", "%s", what)
		}
	}
}

const secretFix = "take it out, and revoke it if the file was shared; name where it is under credentials (docs/credentials.md); a secret must never be written into server.yaml"

// checkEnvironmentSecrets: server.yaml is committed, shown in reviews and copied;
// a secret in it is a secret no more. The message must not repeat it.
func checkEnvironmentSecrets(s *Server, r *report) {
	for _, v := range s.Environment {
		if what := secretIn(v.Value); what != "" {
			r.fail(envPath(v.Name), secretFix, "looks like %s", what)
		}
	}
}

// checkCommandSecrets: the same, and a command line is also shown by ps.
func checkCommandSecrets(s *Server, r *report) {
	for i, word := range s.Command {
		if what := secretIn(word); what != "" {
			r.fail(commandPath(i), secretFix, "looks like %s", what)
		}
	}
}

// namesSecret are ends of names that usually hold a secret.
func namesSecret(name string) bool {
	return slices.ContainsFunc([]string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY", "CREDENTIALS"},
		func(end string) bool { return strings.HasSuffix(strings.ToUpper(name), end) })
}
