package mcprun_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/cli"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// commandLines returns every command that help shows, as "mcprun audit tail".
func commandLines(cmd *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			out = append(append(out, c), commandLines(c)...)
		}
	}
	return out
}

func TestEveryCommandIsDocumented(t *testing.T) {
	doc := readDoc(t, "docs/commands.md")
	all := commandLines((&cli.App{}).Command())
	if len(all) < 15 {
		t.Fatalf("only %d commands found: the test sees too little", len(all))
	}
	for _, c := range all {
		// The line of use as help prints it stands in a heading, so that what is
		// documented is what is typed.
		use := strings.TrimSuffix(c.UseLine(), " [flags]")
		section, ok := sectionOf(doc, "`"+use+"`")
		if !ok {
			t.Errorf("docs/commands.md has no heading with `%s`", use)
			continue
		}
		for _, flag := range flagsIn(c.LocalNonPersistentFlags()) {
			if !strings.Contains(section, "`"+flag) {
				t.Errorf("docs/commands.md does not say what %s of %s does", flag, c.CommandPath())
			}
		}
	}
	global := flagsIn((&cli.App{}).Command().PersistentFlags())
	if len(global) < 3 {
		t.Fatalf("only %v found: the test sees too little", global)
	}
	for _, flag := range global {
		if !strings.Contains(doc, "`"+flag) {
			t.Errorf("docs/commands.md does not say what the global %s does", flag)
		}
	}
}

// flagsIn returns the flags that help prints, as they are typed.
func flagsIn(set *pflag.FlagSet) []string {
	var out []string
	set.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			out = append(out, "--"+f.Name)
		}
	})
	return out
}

// A heading for a command that is gone would teach what does not work.
func TestEveryDocumentedCommandExists(t *testing.T) {
	uses := map[string]bool{}
	for _, c := range commandLines((&cli.App{}).Command()) {
		uses[strings.TrimSuffix(c.UseLine(), " [flags]")] = true
	}
	for _, m := range regexp.MustCompile("(?m)^##+ `(mcprun [^`]+)`").FindAllStringSubmatch(readDoc(t, "docs/commands.md"), -1) {
		if !uses[m[1]] {
			t.Errorf("docs/commands.md describes `%s`, which does not exist", m[1])
		}
	}
}

// sectionOf returns the text under the heading that ends in title.
func sectionOf(doc, title string) (string, bool) {
	var section strings.Builder
	found := false
	for line := range strings.Lines(doc) {
		if strings.HasPrefix(line, "##") {
			if found {
				break
			}
			found = strings.HasSuffix(strings.TrimSpace(line), title)
		}
		if found {
			section.WriteString(line)
		}
	}
	return section.String(), found
}

func TestEveryExitCodeIsDocumented(t *testing.T) {
	doc := readDoc(t, "docs/exit-codes.md")
	for _, c := range []mcprun.Class{mcprun.Failed, mcprun.Usage, mcprun.Denied, mcprun.Unreachable} {
		if row := fmt.Sprintf("| %d | %s |", c.ExitCode(), c); !strings.Contains(doc, row) {
			t.Errorf("docs/exit-codes.md has no row %q", row)
		}
	}
	if !strings.Contains(doc, "| 0 | done |") {
		t.Error("docs/exit-codes.md does not say what 0 is")
	}
}

var linkPattern = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksResolve(t *testing.T) {
	n := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skippedFolder(d.Name()):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		n += checkLinks(t, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 20 {
		t.Errorf("only %d links found: the test sees too little", n)
	}
}

// checkLinks follows the links of one file to files and headings of this repository.
func checkLinks(t *testing.T, name string) (n int) {
	t.Helper()
	for _, m := range linkPattern.FindAllStringSubmatch(readDoc(t, name), -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		n++
		file, anchor, _ := strings.Cut(m[1], "#")
		target := name
		if file != "" {
			target = filepath.Join(filepath.Dir(name), file)
		}
		if _, err := os.Stat(target); err != nil {
			t.Errorf("%s: the link to %s leads nowhere", name, m[1])
		} else if anchor != "" && !hasHeading(readDoc(t, target), anchor) {
			t.Errorf("%s: %s has no heading for #%s", name, target, anchor)
		}
	}
	return n
}

func skippedFolder(name string) bool {
	return name == "testdata" || name == "bin" || name == "node_modules" || len(name) > 1 && name[0] == '.'
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// hasHeading makes anchors the way that forges do.
func hasHeading(doc, anchor string) bool {
	for line := range strings.Lines(doc) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		title := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		if strings.ReplaceAll(notInAnchor.ReplaceAllString(title, ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}
