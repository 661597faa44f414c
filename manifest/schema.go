package manifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/credentials"
)

// key describes one key of server.yaml or policy.yaml. Path writes [] for the entries of a list
// and * for a name that the file chooses.
type key struct {
	Path    string
	Type    string
	Default string // "required" if there is none
	Bounds  string
	Reason  string // why the bound or the default is what it is
}

// schema is every key that is taken. docs/server-yaml.md shows this table.
func schema() []key {
	return slices.Concat(baseKeys(), killKeys(ownLevels, "server"), limitKeys(), setKeysAs("tools.*.limits", "limits"))
}

// limitKeys are those of what calls are held to.
func limitKeys() []key {
	d := DefaultLimits()
	return slices.Concat([]key{
		{"limits", "mapping", "the defaults below", "", "what calls are held to; of all that a call counts for, the tightest holds"},
	}, setKeys("limits", d.Server), []key{
		{"limits.queue", "number", fmt.Sprint(d.Queue), between(0, maxQueue), "calls that wait for one at work to end; where it is full, the client with most of them gives way"},
		{"limits.wait", "duration", durationString(d.Wait), between(durationString(MinCall), durationString(MaxCall)), "how long they wait"},
		{"limits.principal", "mapping", "none", "", "each principal by itself; keys as in limits, without queue and wait"},
	}, setKeysAs("limits.principal", "limits"), []key{
		{"limits.session", "mapping", "none", "", "each client by itself; keys as for a principal"},
	}, setKeysAs("limits.session", "limits"), []key{
		{"tools.*.limits", "mapping", "none", "", "calls of this tool; keys as for a principal"},
		{"tools.*.cost", "number or mapping", "0", "at most six decimals", "what a call costs, in a unit of your own, for budget.cost"},
		{"tools.*.cost.from", "text", "required in a mapping", "CEL over result", "reads it from the result; where it cannot be read, it is most"},
		{"tools.*.cost.most", "number", "required in a mapping", "at most six decimals", "what is set aside before the result is there"},
	})
}

func baseKeys() []key {
	return []key{
		{"version", "number", "required", "1", "a later format gets another number, and an old mcprun refuses it instead of guessing"},
		{"name", "text", "required", "1 to 40 bytes of a-z, 0-9 and inner hyphens, starting with a letter", "it names cgroups, folders and containers"},
		{"labels", "mapping of name to text", "none", count(0, MaxLabels, "labels", "keys of a-z, 0-9 and hyphens; values of A-Z a-z 0-9 . _ -"), "what servers have in common: mcprun kill --label team=payments stops all that have it"},
		{"image", "text", "required", "host/repository@sha256:… or a path that starts with ./ ../ or /", "a tag can be moved to another image after the review; a digest cannot"},
		{"command", "list of text", "the image's own", count(1, MaxCommand, "words", "non-empty, without NUL, each at most 32 KiB"), "a command line that can still be reviewed"},
		{"workdir", "text", "the image's own", "absolute and clean; not in /proc, /sys or /dev", "a working folder in /proc/self/fd has led out of containers (CVE-2024-21626)"},
		{"environment", "mapping of name to text", "empty", count(0, MaxEnvironment, "variables", "names of A-Z a-z 0-9 _; values at most 32 KiB, without NUL"), "the kernel bounds arguments and environment together"},
		{"transport", "text", "stdio", "stdio", "http is not supported yet"},
		{"isolation", "text", "runc", oneOf(isolationWords), "gvisor: a kernel of its own between the server and the host's; make setup-gvisor"},
		{"profile", "text", "strict", oneOf(Profiles()) + ", or a path that starts with ./ ../ or /", "the fewest system calls unless the runtime needs more; profiles.md says how to write one"},
		{"resources", "mapping", "the defaults below", "", "no server may take the machine away from the others"},
		{"resources.memory", "size", sizeString(DefaultMemory), between(sizeString(MinMemory), sizeString(MaxMemory)), "tmpfs pages count; the heaviest server measured uses 142 MiB"},
		{"resources.cpu", "number", milliString(DefaultMilliCPU), between(milliString(MinMilliCPU), milliString(MaxMilliCPU)) + ", at most three decimals", "below the floor a runtime does not start within the start timeout"},
		{"resources.pids", "number", fmt.Sprint(DefaultPids), between(MinPids, MaxPids), "threads count; room for child processes, none for a fork bomb"},
		{"resources.file-size", "size", sizeString(DefaultFileSize), between(sizeString(MinFileSize), sizeString(MaxFileSize)), "a runaway log stops before the disk is full"},
		{"resources.open-files", "number", fmt.Sprint(DefaultOpenFiles), between(MinOpenFiles, MaxOpenFiles), "the usual soft limit"},
		{"files", "list of mappings", "only /tmp, of " + sizeString(DefaultTmp), count(0, MaxFiles, "entries", "no two targets equal or one inside the other"), "each entry is a mount; a mount inside a mount depends on their order"},
		{"files[].from", "text", "one of from and tmpfs is required", "clean host path that starts with ./ ../ or /; no system folder, key store or container socket", "these give the machine away, whatever the access"},
		{"files[].to", "text", "required with from", "absolute and clean; no system folder of the image, not in /tmp", "a mount there replaces code that the digest pins"},
		{"files[].access", "text", "read", "read or write; write only to what does not hold server.yaml", "a server that can write its own server.yaml chooses its own rights"},
		{"files[].tmpfs", "text", "one of from and tmpfs is required", "as for to; /tmp sets the size of the /tmp that is always there", "an empty folder in memory, gone when the server stops"},
		{"files[].size", "size", "required with tmpfs", between(sizeString(MinTmpfs), sizeString(MaxTmpfs)) + "; together with /tmp at most " + sizeString(MaxTmpfsTotal), "its pages are memory"},
		{"timeouts", "mapping", "the defaults below", "", "zero never means for ever"},
		{"timeouts.start", "duration", durationString(DefaultStart), between(durationString(MinStart), durationString(MaxStart)), "until it answers initialize; the slowest server measured needs 0.7 s"},
		{"timeouts.call", "duration", durationString(DefaultCall), between(durationString(MinCall), durationString(MaxCall)), "for one tool call"},
		{"timeouts.stop", "duration", durationString(DefaultStop), between(durationString(MinStop), durationString(MaxStop)), "until it is killed; a shutdown must not hang on it"},
		{"timeouts.approval", "duration", durationString(DefaultApproval), between(durationString(MinApproval), durationString(MaxApproval)), "how long a call is kept waiting for a human; many clients give up after a minute"},
		{"timeouts.idle", "duration", durationString(DefaultIdle), between(durationString(MinIdle), durationString(MaxIdle)) + "; with idle: freeze or stop", "how long nobody has to use it: no call in flight or held, no subscription"},
		{"idle", "text", "run", oneOf(idleWords), "what becomes of a server that nobody uses; it comes back when it is called"},
		{"grants", "mapping", "all false", "", "requests from the server to the client are refused unless granted"},
		{"grants.sampling", "true or false", "false", "", "the server may ask the client's model"},
		{"grants.elicitation", "true or false", "false", "", "the server may ask the user for input"},
		{"grants.roots", "true or false", "false", "", "the server may ask for the client's folders"},
		{"tools", "mapping of name to mapping", "none is granted", count(0, MaxTools, "tools", "names of 1 to 128 of A-Z a-z 0-9 _ - ."), "a tool that is not named is not granted"},
		{"tools.*.risk", "text", "required", "low, medium, high or block", "somebody has to have thought about each tool"},
		{"tools.*.untrusted", "true or false", "false for the marks; for the risk, what its name and hints say", "", "what it answers was written by strangers: it is put between marks that say so, and whoever read it is tainted"},
		{"tools.*.private", "true or false", "whether the server holds files, credentials or a private host", "", "what it answers is nobody else's business: whoever read it is tainted"},
		{"tools.*.sends", "true or false", "whether it can reach a host, and changes something or takes an address", "", "what it is given can leave the machine: a way out for one who is tainted"},
		{"tools.*.justification", "text", "none is demanded", "required", "the model says what a call is for, what it touches and what will be different, for the human who decides; the server never sees it"},
		{"tools.*.approvers", "number", "1, or what the operator's policy asks for if that is more", between(1, MaxApprovers), "how many different people have to approve a call of it that waits"},
		{"tools.*.confirm", "true or false", "false", "with risk: low or medium", "the person at the client is asked before each call; where the client cannot ask, it waits for an operator"},
		{"tools.*.preview", "mapping", "none", "not with risk: block", "before a human is asked, the call is made with these arguments besides, and they see what it answered"},
		{"tools.*.preview.arguments", "mapping of name to value", "required", "1 to 8 arguments that the tool's schema has; true, false, numbers or text", "you say that with them the tool changes nothing and tells nobody: mcprun cannot know"},
		{"tools.*.arguments", "mapping of name to mapping", "the schema alone", "a name, or a pointer such as /edits/*/path; at most 128 checks", "a schema says what kind of value it is, not which values are safe"},
		{"tools.*.arguments.*.path", "mapping", "no check", "", "a path has one canonical form, and that is below a root"},
		{"tools.*.arguments.*.path.under", "list of text", "required", "absolute folders, not /", "the roots"},
		{"tools.*.arguments.*.path.relative", "text", "relative paths are refused", "a folder below a root", "from where the tool takes relative paths"},
		{"tools.*.arguments.*.path.globs", "true or false", "false", "", "accepts *, ? and {a,b} in names"},
		{"tools.*.arguments.*.path.sensitive", "text", "hold", "refuse, hold or pass", "names that hold keys, or make programs run what they hold: .ssh, .env, .git/hooks"},
		{"tools.*.arguments.*.url", "mapping", "no check", "", "one reading of a URL, and a host that is known"},
		{"tools.*.arguments.*.url.schemes", "list of text", "https", "schemes with a host", "others read files or run code"},
		{"tools.*.arguments.*.url.hosts", "list of text", "none", "as in egress", "these pass"},
		{"tools.*.arguments.*.url.ports", "list of numbers", "the scheme's own", "1 to 65535", "another service is another thing"},
		{"tools.*.arguments.*.url.unlisted", "text", "refuse", "refuse or hold", "public hosts that are not listed; what is not public is refused in any case"},
		{"tools.*.arguments.*.url.private", "true or false", "false", "", "opens those of hosts that are inside; never loopback or metadata"},
		{"tools.*.arguments.*.url.blank", "true or false", "false", "", "accepts about:blank"},
		{"tools.*.arguments.*.command", "mapping", "no check", "", "parsed as a shell reads it; what destroys, escapes or steals is refused in any case"},
		{"tools.*.arguments.*.command.programs", "mapping of name to mapping", "none", "names, or absolute paths", "these may run, wherever in the command they stand"},
		{"tools.*.arguments.*.command.programs.*.subcommands", "list of text", "all", "words, as in \"run build\"", "the first argument that is no option"},
		{"tools.*.arguments.*.command.programs.*.forbidden", "list of text", "none", "options", "also inside a cluster, shortened, or with a value"},
		{"tools.*.arguments.*.command.programs.*.opens", "list of text", "none", "options, or script", "options by which a program runs others are held unless they stand here"},
		{"tools.*.arguments.*.command.others", "text", "refuse", "refuse or hold", "programs that are not listed"},
		{"tools.*.arguments.*.command.allow", "list of text", "none", "pipes, redirections, substitution, sequences, background, variables, globs", "features of the shell"},
		{"tools.*.arguments.*.sql", "mapping", "no check", "", "parsed as the database will: which statements, tables and functions"},
		{"tools.*.arguments.*.sql.dialect", "text", "required", "postgres or sqlite", "what one database runs another reads as a comment"},
		{"tools.*.arguments.*.sql.pass", "list of text", "read", "read, lock, insert, update, delete, transaction, schema or admin", "these kinds of statements pass"},
		{"tools.*.arguments.*.sql.hold", "list of text", "insert, update, delete; none where pass is written", "as in pass", "these wait for a human; all others are refused"},
		{"tools.*.arguments.*.sql.tables", "list of text", "all", "table or schema.table", "only these"},
		{"tools.*.arguments.*.sql.functions", "list of text", "the harmless built-in ones", "name or schema.name", "these as well; others are held, and dangerous ones refused in any case"},
		{"tools.*.arguments.*.sql.many", "true or false", "false", "", "accepts more than one statement"},
		{"tools.*.arguments.*.email", "mapping", "no check", "", "one plain address"},
		{"tools.*.arguments.*.email.domains", "list of text", "none", "as hosts in egress", "these pass"},
		{"tools.*.arguments.*.email.unlisted", "text", "refuse", "refuse or hold", "other domains"},
		{"tools.*.arguments.*.git-ref", "mapping", "no check", "{} for names and hashes", "no options, no signs that a shell reads"},
		{"tools.*.arguments.*.git-ref.revisions", "true or false", "false", "", "accepts HEAD~2, v1^{commit}"},
		{"tools.*.arguments.*.git-ref.ranges", "true or false", "false", "", "accepts v1.0..v2.0"},
		{"tools.*.arguments.*.number", "mapping", "no check", "", "compared exactly"},
		{"tools.*.arguments.*.number.min", "number", "0", "", "the smallest number that is accepted"},
		{"tools.*.arguments.*.number.max", "number", "required", "", "the largest number that is accepted"},
		{"tools.*.arguments.*.number.integer", "true or false", "false", "", "accepts whole numbers alone"},
		{"tools.*.arguments.*.text", "mapping", "no check", "", "no control characters, nothing that a reader does not see"},
		{"tools.*.arguments.*.text.max", "size", "required", "bytes, or KiB, MiB", "what is longer is read by nobody"},
		{"tools.*.arguments.*.text.lines", "true or false", "false", "", "accepts line breaks and tabs"},
		{"tools.*.arguments.*.enum", "list of text", "no check", "", "exactly one of these"},
		{"tools.*.arguments.*.pattern", "text", "no check", "RE2, for the whole value", "for words with a form of their own"},
		{"tools.*.arguments.*.unchecked", "text", "an argument that something runs makes a tool high", "the reason", "for commands, SQL or code that you let through as they are"},
		{"tools.*.arguments.*.secret", "text", "no check", "forbidden", "tokens and keys of known shapes, also encoded once"},
		{"tools.*.rules", "list of mappings", "none", "at most 64", "what checks of single values cannot say"},
		{"tools.*.rules[].when", "text", "required", "CEL over args, tool, server, principal, session, now, recent", "a condition that cannot be judged holds"},
		{"tools.*.rules[].risk", "text", "required", "medium, high or block", "a rule only makes a call riskier"},
		{"tools.*.rules[].reason", "text", "required", "", "for the one who is refused"},
		{"tools.*.rules[].hint", "text", "none", "", "what would be accepted"},
		{"egress", "list of mappings", "no network", "1 to 256 rules; an empty list is an error", "everything that no rule allows is refused"},
		{"egress[].host", "text", "required", "a name, *.name (without the name itself) or an address; no *, no public suffix", "a rule over other people's names opens a way for all of them"},
		{"egress[].port", "number", "443", "1 to 65535", "a port is always part of a rule: another service of the same host is another thing"},
		{"egress[].protocol", "text", "tls", "tls, http or tcp", "tls: the name in the handshake must be the host; tcp is opaque"},
		{"egress[].inspect", "true or false", "false", "with tls", "TLS ends at the proxy, so that each request is judged and credentials can be swapped"},
		{"egress[].methods", "list of text", "required where requests are read", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", "an empty list would look like none and mean all"},
		{"egress[].paths", "list of text", "required where requests are read", "canonical paths; * is one segment, ** any number", "the path that decides is the one that is sent"},
		{"egress[].websocket", "true or false", "false", "with inspect or http", "after the upgrade nothing is read any more"},
		{"egress[].private", "true or false", "false", "", "opens private addresses and this machine's own; never loopback or metadata"},
		{"egress[].networks", "list of text", "none", "networks such as 10.1.0.0/16", "opens exactly these, for hosts inside"},
		{"egress[].tools", "list of text", "all", "tools of this server", "only while one of them is being called"},
		{"egress[].limits", "mapping", "512 connections at a time for the whole server", "", "what goes through one rule, for the life of the instance"},
		{"egress[].limits.connections", "number", "not bounded", "1 to 256", "open at the same time"},
		{"egress[].limits.rate", "text", "not bounded", "a number and /min, e.g. 60/min", "connections, and requests where they are read"},
		{"egress[].limits.bytes", "size", "not bounded", "", "both directions together; cut in mid-stream when they are used up"},
		{"credentials", "mapping of name to mapping", "none", "at most 64", "the server never holds them; it holds placeholders"},
		{"credentials.*.source", "text or mapping", "required", "env:NAME, file:/path, or one of the mappings below", "where the daemon gets the secret"},
		{"credentials.*.source.age", "mapping", "one kind of source is required", "", "a file encrypted with age"},
		{"credentials.*.source.age.file", "text", "required", "absolute", "armored or not; others may read it, not write it"},
		{"credentials.*.source.age.identity", "text", "required", "absolute", "the file with the key, as age-keygen writes it"},
		{"credentials.*.source.exec", "list of text", "one kind of source is required", "an absolute program and its arguments", "prints the secret; at most 10 s and 64 KiB"},
		{"credentials.*.source.vault", "mapping", "one kind of source is required", "", "HashiCorp Vault or OpenBao"},
		{"credentials.*.source.vault.address", "text", "required", "https, or http to loopback", "a secret does not travel in the clear"},
		{"credentials.*.source.vault.path", "text", "required", "as the API has it, e.g. secret/data/github", "versions 1 and 2 of the key-value store, and engines that make secrets"},
		{"credentials.*.source.vault.field", "text", "required", "", "a secret of Vault has several"},
		{"credentials.*.source.vault.token", "text", "required", "env:NAME or file:/path", "what the daemon logs in with"},
		{"credentials.*.source.vault.ca", "text", "the system's", "absolute", "further certificate authorities"},
		{"credentials.*.source.oauth", "mapping", "one kind of source is required", "", "client credentials, RFC 6749 4.4"},
		{"credentials.*.source.oauth.token-url", "text", "required", "https, or http to loopback", "redirects are refused"},
		{"credentials.*.source.oauth.client", "text", "required", "", "the client id"},
		{"credentials.*.source.oauth.secret", "text", "required", "env:NAME or file:/path", "the client secret"},
		{"credentials.*.source.oauth.scopes", "list of text", "none", "", "as few as the tools need"},
		{"credentials.*.source.oauth.audience", "text", "none", "", "some token endpoints want it"},
		{"credentials.*.source.exchange", "mapping", "one kind of source is required", "", "token exchange, RFC 8693"},
		{"credentials.*.source.exchange.token-url", "text", "required", "https, or http to loopback", "redirects are refused"},
		{"credentials.*.source.exchange.client", "text", "none", "", "where the endpoint asks for one"},
		{"credentials.*.source.exchange.secret", "text", "none", "env:NAME or file:/path", "of the client"},
		{"credentials.*.source.exchange.subject", "text", "required", "env:NAME or file:/path", "the token that is traded"},
		{"credentials.*.source.exchange.subject-type", "text", "an access token", "a URI", "what kind of token the subject is"},
		{"credentials.*.source.exchange.scopes", "list of text", "none", "", "as few as the tools need"},
		{"credentials.*.source.exchange.audience", "text", "none", "", "for whom the token is"},
		{"credentials.*.lifetime", "duration", durationString(DefaultLifetime), between(durationString(MinLifetime), durationString(MaxLifetime)), "a rotated secret is taken up after it"},
		{"credentials.*.host", "text", "required", "a name or an address; an egress rule must inspect it", "the only host that the secret is sent to"},
		{"credentials.*.port", "number", "443", "1 to 65535", "part of where it may go"},
		{"credentials.*.place", "mapping", "required", "one of header, basic and query", "the only place where the placeholder is swapped"},
		{"credentials.*.place.header", "text", "one place is required", "a header that does not say how a message is read or where it goes", "e.g. Authorization"},
		{"credentials.*.place.format", "text", "required with header", "with one {}", "e.g. \"Bearer {}\""},
		{"credentials.*.place.basic", "text", "one place is required", "username or password", "of Authorization: Basic, as git sends it"},
		{"credentials.*.place.query", "text", "one place is required", "the name of a parameter", "for hosts that know nothing better"},
		{"credentials.*.methods", "list of text", "those of the rule", "as in egress", "tells a credential for reading from one for writing"},
		{"credentials.*.paths", "list of text", "those of the rule", "as in egress", "narrower than the egress rule"},
		{"credentials.*.tools", "list of text", "all", "tools of this server", "only while one of them is being called"},
		{"credentials.*.expose", "mapping", "required", "env or file", "where the server finds the placeholder"},
		{"credentials.*.expose.env", "text", "one of env and file is required", "a variable that runs no code", "what most servers read"},
		{"credentials.*.expose.file", "text", "one of env and file is required", "a plain name; it stands in " + SecretDir, "readable by the server alone"},
		{"credentials.*.expose.text", "text", "{}", "with one {}", "what stands there, e.g. a line of .pgpass"},
		{"credentials.*.shape", "text", "plain", oneOf(shapes()), "some programs look at the form of their token"},
		{"credentials.*.exposure", "text", "proxy", "proxy or container", "container hands the secret itself over, for protocols in which nothing can be swapped"},
	}
}

// later is every key that is designed and not built, with what to do until then.
// They are errors: a limit that is written down and not enforced is worse than
// none.
func later() map[string]string {
	return map[string]string{
		"port": "take it out; only stdio is supported",
	}
}

func shapes() []string {
	var out []string
	for _, s := range credentials.Shapes() {
		out = append(out, string(s))
	}
	return out
}

// keyTable is the schema as the decoder asks it, made once a file.
type keyTable struct {
	known map[string][]string // path of a mapping: its keys, in the order of the schema
	later map[string]string
}

func newKeyTable(keys []key, later map[string]string) keyTable {
	t := keyTable{map[string][]string{}, later}
	for _, k := range keys {
		path, name := "", k.Path
		if i := strings.LastIndexByte(k.Path, '.'); i >= 0 {
			path, name = k.Path[:i], k.Path[i+1:]
		}
		t.known[path] = append(t.known[path], name)
	}
	return t
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func between(low, high any) string { return fmt.Sprintf("%v to %v", low, high) }

func count(low, high int, what, more string) string {
	return fmt.Sprintf("%d to %d %s; %s", low, high, what, more)
}

func oneOf(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
