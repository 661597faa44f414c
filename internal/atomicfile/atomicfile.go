// Package atomicfile replaces files as a whole: whoever reads one finds the old or the
// new text and no half of either, after a power cut too, and once Write has returned
// the new one.
//
// It does not keep two writers apart, and it makes a new file: its owner is who writes.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write puts data into the place of the file at path, with mode whatever the umask.
// The folder has to be there. On an error the old file is as it was, but for one of the
// last step, after which either may be found after a power cut.
func Write(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(dir) // without it a power cut can bring the old name back
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
