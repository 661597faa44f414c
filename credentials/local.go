package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mcprun/mcprun"
)

const (
	// MaxOutput bounds what is read from a file or a program: four times the
	// largest secret, so that what is too long is refused by its length, and a
	// slip such as a log file costs no memory.
	MaxOutput = 64 << 10

	// maxPath is PATH_MAX, the final NUL included.
	maxPath = 4096

	// maxVariable is far above any name in use, and below most pasted secrets.
	maxVariable = 128
)

// variable is Source.Env.
type variable string

func (v variable) name() string { return "env" }

func (v variable) where() string {
	if v.check(0) != nil {
		return "(no valid name)"
	}
	return string(v)
}

// check does not repeat the name: a common slip is to write the secret there.
func (v variable) check(int) error {
	if len(v) > maxVariable || !isName(string(v)) || looksLikeToken(string(v)) {
		return errors.New("env: this is no name of a variable: write the name, such as GITHUB_TOKEN, never the value")
	}
	return nil
}

func isName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && '0' <= c && c <= '9':
		default:
			return false
		}
	}
	return s != ""
}

// looksLikeToken knows the tokens that could pass for the name of a variable.
func looksLikeToken(s string) bool {
	for _, p := range []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return len(s) == len("AKIA")+16 && (strings.HasPrefix(s, "AKIA") || strings.HasPrefix(s, "ASIA"))
}

func (v variable) get(_ context.Context, env lookup) (Secret, error) {
	value, ok := env(string(v))
	if !ok {
		return Secret{}, errors.New("it is not set in the daemon's environment")
	}
	return NewSecret(value, time.Time{})
}

// file is Source.File.
type file string

func (f file) name() string    { return "file" }
func (f file) where() string   { return printablePath(string(f)) }
func (f file) check(int) error { return checkPath("file", string(f)) }

func (f file) get(context.Context, lookup) (Secret, error) {
	raw, err := readFile(string(f), MaxOutput, private)
	if err != nil {
		return Secret{}, err
	}
	return NewSecret(cutNewline(raw), time.Time{})
}

// checkPath does not repeat the path: it may be a secret written in its place.
func checkPath(field, path string) error {
	if !validPath(path) {
		return fmt.Errorf("%s: write an absolute path without . and .., such as /etc/mcprun/token", field)
	}
	return nil
}

func validPath(p string) bool {
	return len(p) < maxPath && filepath.IsAbs(p) && filepath.Clean(p) == p && isPrintable(p)
}

// isPrintable keeps line breaks and terminal sequences out of messages.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' || 0x80 <= r && r < 0xa0 })
}

func printablePath(p string) string {
	if !validPath(p) {
		return "(no valid path)"
	}
	return p
}

// openness says who may do what with a file.
type openness bool

const (
	private openness = false // nobody but the owner and root may read or write
	public  openness = true  // others may read, not write
)

// readFile reads a whole file of at most max bytes. Symbolic links are followed,
// as secrets that systemd or Kubernetes put in place are links; what is judged is
// the opened file itself, so that it cannot be exchanged after the look.
func readFile(path string, max int64, open openness) ([]byte, error) {
	// O_NONBLOCK: opening a FIFO must not wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if err := checkMode(path, info, open); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > max {
		return nil, fmt.Errorf("%s has more than %d bytes", path, max)
	}
	return raw, nil
}

// checkMode refuses a file that others can read or change. A group may read if it
// is root's or the daemon's own; none may write.
func checkMode(path string, info fs.FileInfo, open openness) error {
	mode := info.Mode().Perm()
	doing := "looking at the mode of " + path
	if open == public {
		if mode&0o022 == 0 {
			return nil
		}
		return &mcprun.Error{Class: mcprun.Failed, What: doing, Why: fmt.Sprintf("others can write it (%#o)", mode), Hint: "chmod go-w " + shellQuote(path)}
	}
	if mode&0o027 == 0 && (mode&0o040 == 0 || ownGroup(info)) {
		return nil
	}
	return &mcprun.Error{Class: mcprun.Failed, What: doing, Why: fmt.Sprintf("others can read or write it (%#o)", mode), Hint: "chmod 600 " + shellQuote(path)}
}

func ownGroup(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Gid == 0 || int(st.Gid) == os.Getegid())
}

func shellQuote(s string) string {
	plain := !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-", r))
	})
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// cutNewline cuts the one line break that editors and programs end a file with.
func cutNewline(raw []byte) string {
	if cut, ok := bytes.CutSuffix(raw, []byte("\n")); ok {
		raw = bytes.TrimSuffix(cut, []byte("\r"))
	}
	return string(raw)
}
