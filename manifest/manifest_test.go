package manifest_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcprun/mcprun/manifest"
)

var update = flag.Bool("update", false, "rewrite the golden files and the table in docs/server-yaml.md")

// TestGolden reads each testdata file: ok-*.yaml must be taken and bad-*.yaml
// refused, and the golden file beside it holds the value and its notes, or all
// errors.
func TestGolden(t *testing.T) {
	for _, file := range inputs(t, "*") {
		base := filepath.Base(file)
		t.Run(strings.TrimSuffix(base, ".yaml"), func(t *testing.T) {
			s, err := manifest.Parse(base, read(t, file))
			if taken := err == nil; taken != strings.HasPrefix(base, "ok-") {
				t.Fatalf("Parse: taken %v, error %v", taken, err)
			}
			compareGolden(t, strings.TrimSuffix(file, ".yaml")+".golden", outcome(t, s, err))
		})
	}
}

func inputs(t testing.TB, kind string) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/" + kind + ".yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no input files: %v", err)
	}
	return files
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func outcome(t *testing.T, s *manifest.Server, err error) string {
	t.Helper()
	if err != nil {
		return err.Error() + "\n"
	}
	data, err := manifest.Marshal(s)
	if err != nil {
		t.Fatalf("Marshal: %v", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s", s, data)
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "\n%d:%d: note: %s", n.Line, n.Col, n.Text)
	}
	return strings.TrimSuffix(b.String(), "\n") + "\n"
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, file)), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", file, diff)
	}
}

// TestErrorListIsSortedAndComplete holds for every refused file: a typed list,
// positions inside the file in rising order, and something to do about each.
func TestErrorListIsSortedAndComplete(t *testing.T) {
	for _, file := range inputs(t, "bad-*") {
		data := read(t, file)
		_, err := manifest.Parse(file, data)
		var list *manifest.ErrorList
		if !errors.As(err, &list) {
			t.Fatalf("%s: error is %T, want *ErrorList", file, err)
		}
		lines := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
		last := [2]int{}
		for _, e := range list.Errors {
			at := [2]int{e.Line, e.Col}
			if slices.Compare(at[:], last[:]) < 0 {
				t.Errorf("%s: %v after %v", file, at, last)
			}
			last = at
			if e.Line < 1 || e.Line > len(lines) || e.Col < 1 || e.Col > len([]rune(lines[e.Line-1]))+1 {
				t.Errorf("%s: %d:%d is outside the file: %s", file, e.Line, e.Col, e.What)
			}
			if e.What == "" || e.Fix == "" {
				t.Errorf("%s: no text or no fix in %+v", file, e)
			}
		}
	}
}

// TestSecretsAreNotRepeated: an error goes to logs and bug reports.
func TestSecretsAreNotRepeated(t *testing.T) {
	_, err := manifest.Parse("server.yaml", read(t, "testdata/bad-secrets.yaml"))
	if err == nil {
		t.Fatal("secrets were taken")
	}
	for _, secret := range []string{"a1a1a1", "Ab1Ab1", "ABCD1234", "hunter2", "eyJ", "1234567890"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats %s:\n%v", secret, err)
		}
	}
}
