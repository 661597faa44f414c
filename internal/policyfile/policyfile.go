// Package policyfile reads policy.yaml from the disk, if nobody but root or the
// reader's own user can have written it: whoever can write the ceilings can lift them.
//
// It looks at the file and at the folder that it is in, links followed. It does NOT
// look at the folders above, at access lists, or at who else is root.
package policyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
)

// Read reads and checks one policy.yaml, and returns its text as well. A file that is
// not there is an error that wraps fs.ErrNotExist.
func Read(path string) (*manifest.Ceilings, []byte, error) {
	doing := "reading " + path
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, nil, &mcprun.Error{Class: mcprun.Usage, What: doing, Err: err, Hint: "docs/policy-yaml.md shows a complete one"}
	}
	// Not blocking: the path of a pipe would hold up who reads it.
	fd, err := unix.Open(real, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, &mcprun.Error{Class: mcprun.Usage, What: doing, Err: &fs.PathError{Op: "open", Path: real, Err: err}}
	}
	f := os.NewFile(uintptr(fd), real)
	defer f.Close()
	if why, fix := untrusted(f, real); why != "" {
		return nil, nil, &mcprun.Error{Class: mcprun.Denied, What: doing, Why: why, Hint: fix}
	}
	data, err := io.ReadAll(io.LimitReader(f, manifest.MaxSize+1))
	if err != nil {
		return nil, nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Err: err}
	}
	c, err := Parse(path, data)
	return c, data, err
}

// Parse reads the text of a policy.yaml, whoever wrote it.
func Parse(path string, data []byte) (*manifest.Ceilings, error) {
	c, err := manifest.ParseCeilings(path, data)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "policy.yaml has errors", Why: "\n" + err.Error(), Hint: "all keys are in docs/policy-yaml.md; try again with mcprun policy check " + path}
	}
	return c, nil
}

// untrusted says why somebody else can have written the file.
func untrusted(f *os.File, real string) (why, fix string) {
	var st, dir unix.Stat_t
	if err := errors.Join(unix.Fstat(int(f.Fd()), &st), unix.Stat(filepath.Dir(real), &dir)); err != nil {
		return err.Error(), ""
	}
	owned := func(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }
	const shared = 0o022
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return "it is not a file", ""
	case !owned(st.Uid):
		return fmt.Sprintf("it belongs to uid %d, who could lift the ceilings", st.Uid), "chown root " + real
	case st.Mode&shared != 0:
		return fmt.Sprintf("others can write it (its mode is %04o), and so lift the ceilings", st.Mode&0o7777), "chmod go-w " + real
	case !owned(dir.Uid):
		return fmt.Sprintf("its folder belongs to uid %d, who could put another file there", dir.Uid), "keep it in a folder of root's, such as /etc/mcprun"
	case dir.Mode&shared != 0 && dir.Mode&unix.S_ISVTX == 0:
		return fmt.Sprintf("others can write its folder (its mode is %04o), and so put another file there", dir.Mode&0o7777), "chmod go-w " + filepath.Dir(real)
	}
	return "", ""
}
