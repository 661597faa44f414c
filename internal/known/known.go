// Package known remembers what one server was asked before: which definitions of
// its tools were called, and which hosts it was given. What is not remembered only
// makes a call look riskier, so the memory is bounded, is written a moment later,
// and begins anew where its file is damaged.
//
// It does not protect by itself: who gets one call through makes its host known.
package known

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/atomicfile"
)

const (
	// maxHosts bounds the hosts of one server; those that come later stay new.
	maxHosts = 4096
	// saveAfter gathers what becomes known within a second in one write.
	saveAfter = time.Second
)

// Set is what is known of one server. All methods may be called concurrently. The
// nil Set knows nothing and remembers nothing.
type Set struct {
	path  string
	fault func(error)

	mu    sync.RWMutex
	tools map[mcprun.ToolName]mcprun.Digest // the definition that was called last
	hosts map[string]bool
	dirty bool // a save is on its way
	timer *time.Timer
}

// stored is the file's form.
type stored struct {
	Tools map[mcprun.ToolName]mcprun.Digest `json:"tools"`
	Hosts []string                          `json:"hosts"`
}

// Open reads what is known; that there is no file yet is no error. A file that
// cannot be read is told to fault, and the set begins empty. So are later faults.
func Open(path string, fault func(error)) *Set {
	s := &Set{path: path, fault: fault, tools: map[mcprun.ToolName]mcprun.Digest{}, hosts: map[string]bool{}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return s
	}
	var f stored
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err != nil {
		fault(fmt.Errorf("reading what is known, which begins anew: %w", err))
		return s
	}
	for t, d := range f.Tools {
		s.tools[t] = d
	}
	for _, h := range f.Hosts[:min(len(f.Hosts), maxHosts)] {
		s.hosts[h] = true
	}
	return s
}

// Host reports whether a call that named this host went ahead before.
func (s *Set) Host(host string) bool {
	if s == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.hosts[host]
}

// Tool reports whether a call of exactly this definition went ahead before, and none
// of another one since.
func (s *Set) Tool(tool mcprun.ToolName, definition mcprun.Digest) bool {
	if s == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tools[tool] == definition
}

// Add notes a call that goes ahead.
func (s *Set) Add(tool mcprun.ToolName, definition mcprun.Digest, hosts []string) {
	if s == nil || s.Tool(tool, definition) && len(hosts) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tools[tool] = definition
	for _, h := range hosts {
		if len(s.hosts) < maxHosts {
			s.hosts[h] = true
		}
	}
	if !s.dirty {
		s.dirty = true
		s.timer = time.AfterFunc(saveAfter, s.Save)
	}
}

// Save writes what became known since the last time, if anything did.
func (s *Set) Save() {
	if s == nil {
		return
	}
	s.mu.Lock()
	if !s.dirty {
		s.mu.Unlock()
		return
	}
	s.dirty = false
	s.timer.Stop()
	f := stored{Tools: map[mcprun.ToolName]mcprun.Digest{}, Hosts: make([]string, 0, len(s.hosts))}
	for t, d := range s.tools {
		f.Tools[t] = d
	}
	for h := range s.hosts {
		f.Hosts = append(f.Hosts, h)
	}
	s.mu.Unlock()
	if err := write(s.path, f); err != nil {
		s.fault(fmt.Errorf("keeping what is known: %w", err))
	}
}

// write replaces the file as a whole, so that no half of one is ever read.
func write(path string, f stored) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, raw, 0o600)
}
