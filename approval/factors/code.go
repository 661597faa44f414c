package factors

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/mcprun/mcprun"
)

const (
	// period and drift are what authenticators use, and one step of a wrong clock.
	period = 30
	drift  = 1
	// guessFree wrong codes cost no wait: people mistype. From then on nothing is looked
	// at before guessWait is over, which doubles with each wrong code up to guessLongest.
	// Three of a million codes are right at any time, and a code is held against the one
	// secret of who sends it. Who guesses has 14 tries in the first 1.7 hours, and then 24
	// a day: 24 x 3/1,000,000 is 0.007 % a day, 2.6 % a year.
	// A right code begins anew: beside a human who approves every half hour it is 12 tries
	// each time, in 16 of them and a night about 0.07 % a day. One try every 12 seconds
	// without end, as it was, is 2 % a day.
	guessFree    = 5
	guessWait    = 12 * time.Second
	guessLongest = time.Hour
)

var (
	// ErrCode means that a code is wrong, or was used.
	ErrCode = errors.New("the code is wrong, or was used already")
	// ErrGuesses means that too many codes were tried.
	ErrGuesses = errors.New("too many wrong codes were tried")
)

// guesses are the wrong codes of one person since their last right one.
type guesses struct {
	Count int       `json:"count"`
	Last  time.Time `json:"last"`
}

// AddCode makes a new authenticator that shows codes, and returns it as they read it.
// It does not count yet.
func (b *Book) AddCode(who mcprun.Principal, called string, record Record) (f Factor, url string, err error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "mcprun", AccountName: called, Period: period, Algorithm: otp.AlgorithmSHA1, Digits: otp.DigitsSix})
	if err != nil {
		return Factor{}, "", fmt.Errorf("making an authenticator: %w", err)
	}
	f, err = b.add(kept{Factor: Factor{Person: who, Kind: Code, What: digest(string(Code), key.Secret())}, Secret: key.Secret()}, record)
	return f, key.URL(), err
}

// Check takes a code of somebody's own authenticator; it is good once. What it answers
// is on the disk before: a code must not be good again after a crash, nor a guess be
// free.
func (b *Book) Check(who mcprun.Principal, code string) (Factor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.state
	next.Factors, next.Wrong = slices.Clone(next.Factors), maps.Clone(next.Wrong)
	i := slices.IndexFunc(next.Factors, func(k kept) bool { return k.Kind == Code && k.Person == who && k.Counts() })
	if i < 0 {
		return Factor{}, ErrNone
	}
	now, wrong := b.now(), next.Wrong[who]
	if left := wrong.Last.Add(pause(wrong.Count)).Sub(now); wrong.Count > 0 && left > 0 {
		return Factor{}, fmt.Errorf("%w; the next one counts in %s", ErrGuesses, left.Round(time.Second))
	}
	k := &next.Factors[i]
	if err := k.proves(code, now); err == nil {
		k.Used = now
		delete(next.Wrong, who)
		return k.Factor, b.save(next)
	}
	if next.Wrong == nil {
		next.Wrong = map[mcprun.Principal]guesses{}
	}
	next.Wrong[who] = guesses{wrong.Count + 1, now}
	if err := b.save(next); err != nil {
		return Factor{}, err
	}
	return Factor{}, ErrCode
}

// pause is how long nothing is looked at after so many wrong codes.
func pause(wrong int) time.Duration {
	wait := guessWait
	for n := guessFree; n < wrong && wait < guessLongest; n++ {
		wait *= 2
	}
	if wrong < guessFree {
		return 0
	}
	return min(wait, guessLongest)
}

// proves takes a code of this authenticator and notes that it was taken. A passkey has
// none: that it was made is the proof.
func (k *kept) proves(code string, now time.Time) error {
	if k.Kind == Passkey && code == "" {
		return nil
	}
	step := uint64(now.Unix()) / period
	for at := step - drift; at <= step+drift && k.Kind == Code; at++ {
		ok, err := hotp.ValidateCustom(code, at, k.Secret, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && ok && at > k.Last {
			k.Last = at
			return nil
		}
	}
	return ErrCode
}
