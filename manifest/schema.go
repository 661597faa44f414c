package manifest

import (
	"fmt"
	"strings"
)

// key describes one key of server.yaml. Path writes [] for the entries of a list
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
	return []key{
		{"version", "number", "required", "1", "a later format gets another number, and an old mcprun refuses it instead of guessing"},
		{"name", "text", "required", "1 to 40 bytes of a-z, 0-9 and inner hyphens, starting with a letter", "it names cgroups, folders and containers"},
		{"image", "text", "required", "host/repository@sha256:… or a path that starts with ./ ../ or /", "a tag can be moved to another image after the review; a digest cannot"},
		{"command", "list of text", "the image's own", count(1, MaxCommand, "words", "non-empty, without NUL, each at most 32 KiB"), "a command line that can still be reviewed"},
		{"workdir", "text", "the image's own", "absolute and clean; not in /proc, /sys or /dev", "a working folder in /proc/self/fd has led out of containers (CVE-2024-21626)"},
		{"environment", "mapping of name to text", "empty", count(0, MaxEnvironment, "variables", "names of A-Z a-z 0-9 _; values at most 32 KiB, without NUL"), "the kernel bounds arguments and environment together"},
		{"transport", "text", "stdio", "stdio", "http is not supported yet"},
		{"isolation", "text", "runc", "runc", "others are not supported yet"},
		{"profile", "text", "strict", oneOf(Profiles()), "the fewest system calls unless the runtime needs more; a path is not supported yet"},
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
		{"grants", "mapping", "all false", "", "requests from the server to the client are refused unless granted"},
		{"grants.sampling", "true or false", "false", "", "the server may ask the client's model"},
		{"grants.elicitation", "true or false", "false", "", "the server may ask the user for input"},
		{"grants.roots", "true or false", "false", "", "the server may ask for the client's folders"},
		{"tools", "mapping of name to mapping", "none is granted", count(0, MaxTools, "tools", "names of 1 to 128 of A-Z a-z 0-9 _ - ."), "a tool that is not named is not granted"},
		{"tools.*.risk", "text", "required", "low, medium, high or block", "somebody has to have thought about each tool"},
	}
}

// later is every key that is designed and not built, with what to do until then.
// They are errors: a limit that is written down and not enforced is worse than
// none.
func later() map[string]string {
	const egress = "take it out; a server has no network until egress is supported"
	const credentials = "take it out; never write a secret into server.yaml"
	const limits = "take it out; calls are not limited until limits are supported"
	const tool = `take it out; set "risk: block" for a tool that must not run without it`
	return map[string]string{
		"port":                  "take it out; only stdio is supported",
		"egress":                egress,
		"credentials":           credentials,
		"limits":                limits,
		"limits.rate":           limits,
		"limits.concurrency":    limits,
		"limits.budget":         limits,
		"tools.*.justification": tool,
		"tools.*.arguments":     tool,
		"tools.*.rules":         tool,
	}
}

// keyTable is the schema as the decoder asks it, made once a file.
type keyTable struct {
	known map[string][]string // path of a mapping: its keys, in the order of the schema
	later map[string]string
}

func newKeyTable() keyTable {
	t := keyTable{map[string][]string{}, later()}
	for _, k := range schema() {
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
