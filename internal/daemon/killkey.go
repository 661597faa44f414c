package daemon

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/atomicfile"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/paths"
)

// killKey is the file with the key of programs that may kill over HTTP, and do nothing
// else. It is read anew for each request: a new key counts at once, and so does none.
func killKey(d paths.Dirs) string { return filepath.Join(d.Keys(), "kill.key") }

// minKey is the length of a key that nobody guesses: 32 bytes, as base64 has them.
const minKey = 43

// Automation reports whether this is the key.
func (d *Daemon) Automation(key string) bool {
	want, ok := readKillKey(d.opts.Dirs)
	if !ok {
		return false
	}
	a, b := sha256.Sum256([]byte(key)), sha256.Sum256([]byte(want)) // of one length, whatever was sent
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// readKillKey returns the key. Without a file there is none, and none is taken out of a
// file that others than root can read.
func readKillKey(dirs paths.Dirs) (key string, ok bool) {
	f, err := os.OpenFile(killKey(dirs), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", false
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 {
		return "", false
	}
	raw, err := io.ReadAll(io.LimitReader(f, 1<<10))
	key = strings.TrimSpace(string(raw))
	return key, err == nil && len(key) >= minKey
}

// makeKillKey makes a key in place of the one before, or takes that away.
func (d *Daemon) makeKillKey(c *control.Call) (*control.Result, error) {
	doing, does := "making a key for kills over HTTP", "made a key for kills over HTTP"
	if c.Remove {
		doing, does = "removing the key for kills over HTTP", "removed the key for kills over HTTP"
	}
	rec := &audit.Record{Type: audit.TypeNote, Principal: c.Peer.Principal(), Who: string(c.Peer.Principal()), Reason: does}
	if err := d.record.AppendDurable(rec); err != nil {
		return nil, fmt.Errorf("%s: it cannot be recorded: %w", doing, err)
	}
	failed := func(err error) error { return &mcprun.Error{Class: mcprun.Failed, What: doing, Err: err} }
	if c.Remove {
		if err := os.Remove(killKey(d.opts.Dirs)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, failed(err)
		}
		return &control.Result{}, nil
	}
	var raw [32]byte
	rand.Read(raw[:]) // never fails since Go 1.24
	key := base64.RawURLEncoding.EncodeToString(raw[:])
	if err := atomicfile.Write(killKey(d.opts.Dirs), []byte(key+"\n"), 0o600); err != nil {
		return nil, failed(err)
	}
	made := &control.KillKey{Key: key, File: killKey(d.opts.Dirs)}
	if d.page.srv != nil {
		made.URL = d.page.srv.Automation()
	}
	return &control.Result{KillKey: made}, nil
}
