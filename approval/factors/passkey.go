package factors

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval/passkey"
)

// AddPasskey keeps a new passkey of somebody, which does not count yet.
func (b *Book) AddPasskey(who mcprun.Principal, key passkey.Credential, record Record) (Factor, error) {
	what := digest(string(Passkey), string(key.ID), string(key.Key))
	return b.add(kept{Factor: Factor{Person: who, Kind: Passkey, Synced: key.Synced, What: what}, Key: &key}, record)
}

// Passkeys are those of somebody that count; with all, also those that do not, so that
// they are not made twice.
func (b *Book) Passkeys(who mcprun.Principal, all bool) []passkey.Credential {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.passkeys(who, all)
}

func (b *Book) passkeys(who mcprun.Principal, all bool) []passkey.Credential {
	var out []passkey.Credential
	for _, k := range b.state.live(b.now()) {
		if k.Kind == Passkey && k.Person == who && (all || k.Counts()) {
			out = append(out, *k.Key)
		}
	}
	return out
}

// Sign takes a yes of one of somebody's own passkeys, which check judges. Its counter
// is on the disk before the yes counts. One whose counter went back counts no more, and
// cloned records that.
func (b *Book) Sign(who mcprun.Principal, check func([]passkey.Credential) (passkey.Credential, error), cloned Record) (Factor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	got, err := check(b.passkeys(who, false))
	if err != nil && !errors.Is(err, passkey.ErrCloned) {
		return Factor{}, err
	}
	next := b.state
	next.Factors = slices.Clone(next.Factors)
	i := slices.IndexFunc(next.Factors, func(k kept) bool {
		return k.Kind == Passkey && k.Person == who && k.Counts() && bytes.Equal(k.Key.ID, got.ID)
	})
	if i < 0 {
		return Factor{}, ErrUnknown
	}
	k := &next.Factors[i]
	if err != nil {
		k.Cloned = b.now()
		return k.Factor, errors.Join(fmt.Errorf("%w; it counts no more", err), b.change(next, k.Factor, cloned))
	}
	k.Used, k.Key = b.now(), &got
	return k.Factor, b.save(next)
}
