package credentials

import (
	"fmt"
	"slices"
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
	mu      sync.RWMutex
	lives   map[string]uint64 // by placeholder
	order   []string          // the oldest first
	lengths []int             // of placeholders, each once
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
	if !slices.Contains(i.lengths, len(placeholder)) {
		i.lengths = append(i.lengths, len(placeholder))
	}
	i.lives[placeholder] = life
	i.order = append(i.order, placeholder)
	return nil
}

// Foreign reports whether a placeholder of another life stands in text, as a token
// or a part of one between signs, as in session=…, /repos/… or user.…: what is
// glued to other letters is no credential to anybody.
func (i *Issued) Foreign(text string, life uint64) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for token := range strings.FieldsFuncSeq(text, separates) {
		if i.foreign(token, life) {
			return true
		}
	}
	return false
}

// foreign looks at each part of a token that begins and ends at a sign or at the
// token's end, and is as long as some placeholder: those may hold signs themselves.
func (i *Issued) foreign(token string, life uint64) bool {
	for start := 0; ; start++ {
		for _, n := range i.lengths {
			end := start + n
			if end > len(token) || end < len(token) && !sign(token[end]) {
				continue
			}
			if of, ok := i.lives[token[start:end]]; ok && of != life {
				return true
			}
		}
		next := strings.IndexFunc(token[start:], func(r rune) bool { return sign(byte(r)) })
		if next < 0 {
			return false
		}
		start += next
	}
}

// sign reports whether a character can be within a placeholder and between it and
// something else.
func sign(c byte) bool { return strings.IndexByte("-_.+/=", c) >= 0 }

// separates reports whether a character ends a token: none of these is in any
// shape of placeholder.
func separates(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.+/=", r))
}
