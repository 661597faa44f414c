package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
)

const (
	// ticketLife is how long the printed address is good: long enough to click on it.
	// It is good once, so that one in a history or on a screen is worth nothing.
	ticketLife = 2 * time.Minute
	// sessionLife is a working day: what the page can do without a code is to look
	// and to say no.
	sessionLife = 8 * time.Hour
	// maxOfOne bounds the tickets, and the sessions, of one operator; the oldest gives way.
	maxOfOne = 8
	// maxKeys bounds all of them: more than operators there are.
	maxKeys = 1024
)

// errKey means that a ticket or token is none of ours, was used or has expired. It
// does not say which.
var errKey = errors.New("the address or its session is not valid, was used, or has expired")

// keys are tickets, or the tokens of sessions. Only their digests are kept.
type keys struct {
	now  func() time.Time
	life time.Duration

	mu  sync.Mutex
	all map[[sha256.Size]byte]grant
}

// grant is what a key gives.
type grant struct {
	Who   mcprun.Principal
	Until time.Time
}

func newKeys(now func() time.Time, life time.Duration) *keys {
	return &keys{now: now, life: life, all: map[[sha256.Size]byte]grant{}}
}

// mint makes a key for g, which is good until then or for the life of its kind.
func (k *keys) mint(g grant) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if g.Until.IsZero() {
		g.Until = k.now().Add(k.life)
	}
	k.sweep(g.Who)
	if len(k.all) >= maxKeys {
		return "", errors.New("too many sessions are open")
	}
	var raw [32]byte
	rand.Read(raw[:]) // never fails since Go 1.24
	key := base64.RawURLEncoding.EncodeToString(raw[:])
	k.all[sha256.Sum256([]byte(key))] = g
	return key, nil
}

// sweep lets go of what has expired, and of the oldest of who where there are many;
// call it with mu held.
func (k *keys) sweep(who mcprun.Principal) {
	var oldest [sha256.Size]byte
	n := 0
	for d, g := range k.all {
		if !k.now().Before(g.Until) {
			delete(k.all, d)
			continue
		}
		if g.Who == who {
			if n == 0 || g.Until.Before(k.all[oldest].Until) {
				oldest = d
			}
			n++
		}
	}
	if n >= maxOfOne {
		delete(k.all, oldest)
	}
}

// check returns what a key gives. The digest is looked up, so that the time it takes
// says nothing of the key.
func (k *keys) check(key string) (grant, error) { return k.look(key, false) }

// use is check for a key that is good once.
func (k *keys) use(key string) (grant, error) { return k.look(key, true) }

func (k *keys) look(key string, once bool) (grant, error) {
	d := sha256.Sum256([]byte(key))
	k.mu.Lock()
	defer k.mu.Unlock()
	g, ok := k.all[d]
	if once {
		delete(k.all, d)
	}
	if !ok || !k.now().Before(g.Until) {
		return grant{}, errKey
	}
	return g, nil
}

// drop forgets a key.
func (k *keys) drop(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, sha256.Sum256([]byte(key)))
}
