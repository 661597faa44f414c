// Command callnames writes profiles/tables/calls.txt: the names of system calls and
// their numbers on both architectures, as golang.org/x/sys/unix has them from the
// kernel's own headers, and those that only other machines have. Run it after an update
// of that module:
//
//	go run ./hack/callnames > profiles/tables/calls.txt
//
// It knows nothing about what a call does.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "callnames:", err)
		os.Exit(1)
	}
}

var constant = regexp.MustCompile(`(?m)^\s*SYS_([A-Z0-9_]+)\s*=\s*([0-9]+)$`)

// notCalls are constants that name a range of numbers rather than a call.
var notCalls = []string{"arch_specific_syscall"}

func run() error {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", "golang.org/x/sys").Output()
	if err != nil {
		return fmt.Errorf("finding golang.org/x/sys: %w", err)
	}
	dir, version, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	numbers := map[string]map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "unix", "zsysnum_linux_*.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		arch := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "zsysnum_linux_"), ".go")
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, m := range constant.FindAllStringSubmatch(string(raw), -1) {
			name := strings.ToLower(m[1])
			if slices.Contains(notCalls, name) {
				continue
			}
			if numbers[name] == nil {
				numbers[name] = map[string]string{"amd64": "-", "arm64": "-"}
			}
			numbers[name][arch] = m[2]
		}
	}
	var lines []string
	for name, n := range numbers {
		lines = append(lines, fmt.Sprintf("%s %s %s", name, n["amd64"], n["arm64"]))
	}
	slices.Sort(lines)
	fmt.Printf("# Written by hack/callnames from golang.org/x/sys %s: name, number on amd64, number on arm64.\n%s\n", version, strings.Join(lines, "\n"))
	return nil
}
