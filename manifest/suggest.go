package manifest

import (
	"slices"
	"strings"

	"github.com/mcprun/mcprun/internal/slips"
)

// suggest returns the known key that was most likely meant, or nothing.
func suggest(name string, known []string) string {
	if meant := otherName(name); slices.Contains(known, meant) {
		return meant
	}
	best, distance := "", 3 // three slips make another word
	plain := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if len(plain) > maxSuggest {
		return ""
	}
	for _, k := range known {
		if d := slips.Between(plain, k); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best
}

// otherName maps what other formats call a key.
func otherName(name string) string {
	switch strings.ToLower(name) {
	case "env":
		return "environment"
	case "args", "cmd", "entrypoint":
		return "command"
	case "cwd", "working_dir", "workingdir":
		return "workdir"
	case "volumes", "mounts":
		return "files"
	case "mem", "mem_limit":
		return "memory"
	case "source", "src", "host":
		return "from"
	case "target", "dst", "destination":
		return "to"
	case "on":
		return "after"
	case "mode":
		return "access"
	case "timeout":
		return "timeouts"
	}
	return ""
}

// maxSuggest bounds the names that are compared: no key is longer than 14.
const maxSuggest = 20
