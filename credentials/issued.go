package credentials

import (
	"fmt"
	"strings"
	"sync"
)

// maxIssued bounds the placeholders that are remembered: those of all servers that
// run, and then the newest of earlier lives.
const maxIssued = 1 << 14

// Issued knows the placeholders that were handed out, by the life that they were
// made for, so that one in a wrong place is known for what it is. Its zero value
// is empty and ready; it may be used concurrently.
type Issued struct {
	mu    sync.RWMutex
	lives map[string]uint64 // by placeholder
	order []string          // the oldest first
}

// Add enters a placeholder of a life.
func (i *Issued) Add(placeholder string, life uint64) error {
	if placeholder == "" || strings.ContainsFunc(placeholder, separates) {
		return fmt.Errorf("a placeholder with a character that no token has")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, dup := i.lives[placeholder]; dup {
		return fmt.Errorf("a placeholder is handed out twice")
	}
	if i.lives == nil {
		i.lives = make(map[string]uint64)
	}
	if len(i.order) == maxIssued {
		delete(i.lives, i.order[0])
		i.order = i.order[1:]
	}
	i.lives[placeholder] = life
	i.order = append(i.order, placeholder)
	return nil
}

// Foreign reports whether a placeholder of another life stands in text, as a whole
// token: what is glued to other letters is no credential to anybody.
func (i *Issued) Foreign(text string, life uint64) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for token := range strings.FieldsFuncSeq(text, separates) {
		if of, ok := i.lives[token]; ok && of != life {
			return true
		}
	}
	return false
}

// separates reports whether a character ends a token: none of these is in any
// shape of placeholder.
func separates(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.+/=", r))
}
