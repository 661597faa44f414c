package main

import (
	"io/fs"
	"path/filepath"
	"time"
)

const (
	// maxVisited bounds a walk of the tree: larger than an image with a
	// language runtime and its modules.
	maxVisited = 60_000
	// maxFound bounds what a walk lists: one is enough to know.
	maxFound = 20
	// maxWalk leaves an operation time to report.
	maxWalk = opTimeout / 4
)

// walk lists the paths of the whole tree that match, without /proc and /sys.
func walk(match func(path string, d fs.DirEntry) bool) []string {
	var found []string
	visited, end := 0, time.Now().Add(maxWalk)
	filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if visited++; visited > maxVisited || len(found) >= maxFound || time.Now().After(end) {
			return fs.SkipAll
		}
		switch {
		case path == "/proc" || path == "/sys":
			return fs.SkipDir
		case err == nil && match(path, d):
			found = append(found, path)
		}
		return nil
	})
	return found
}
