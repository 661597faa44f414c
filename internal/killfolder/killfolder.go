// Package killfolder reads orders to kill from the names of files that appear in a
// folder: the way that needs no connection, no request and no answer, only a file.
//
// It does not say who may make a file there. The modes of the folder do, and those of
// the folders above it: see Make.
package killfolder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/limits"
)

const (
	// maxWhy bounds the reason that is read from a file: a screen of it.
	maxWhy = 1000
	// maxOrders bounds what one look takes from the folder; the next one takes the rest.
	maxOrders = 1024
)

// Order is a file that stands in the folder and names a target.
type Order struct {
	Target limits.Target
	Who    string    // the owner of the file, as the kernel says
	Why    string    // what stands in it, if anything does
	When   time.Time // of the last change of the file
	Path   string
}

// Make makes the folder so that only root can put a file there, and members of the
// group of operators, where there is just one: 0 means none. They cannot look into it
// or take away the files of others.
func Make(dir string, group uint32) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the kill folder: %w", err)
	}
	st, err := os.Lstat(dir)
	if err == nil && !st.IsDir() {
		err = errors.New("it is no folder")
	}
	mode := fs.FileMode(0o700)
	if group != 0 {
		mode = 0o730 | fs.ModeSticky
	}
	// The mode is narrow before the group is another one.
	if err == nil {
		err = os.Chmod(dir, 0o700)
	}
	if err == nil {
		err = os.Lchown(dir, os.Getuid(), int(group))
	}
	if err == nil {
		err = os.Chmod(dir, mode)
	}
	if err != nil {
		return fmt.Errorf("making the kill folder %s: %w", dir, err)
	}
	return nil
}

// Read returns the orders in the folder and the names that are none. Names that begin
// with a dot are files that are still being written.
func Read(dir string) (orders []Order, strange []string, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the kill folder: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(maxOrders)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("reading the kill folder: %w", err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue
		}
		t, err := limits.ParseTargetName(strings.TrimSuffix(name, ".json"))
		if err != nil {
			strange = append(strange, name)
			continue
		}
		path := filepath.Join(dir, name)
		who, when := owner(path)
		orders = append(orders, Order{Target: t, Who: who, Why: reason(path), When: when, Path: path})
	}
	return orders, strange, nil
}

// owner says whose file it is and when it came under its name, as the kernel says: its
// owner can set any other time of it.
func owner(path string) (who string, when time.Time) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "the kill folder", time.Time{}
	}
	return fmt.Sprintf("uid:%d", st.Uid), time.Unix(st.Ctim.Unix())
}

// reason is the text of a file. Whatever else stands under the name is an order too,
// with nothing to read: no link is followed and no pipe waited for.
func reason(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return ""
	}
	raw := make([]byte, maxWhy)
	n, _ := io.ReadFull(f, raw)
	return strings.TrimSpace(strings.ToValidUTF8(string(raw[:n]), "\uFFFD"))
}
