package approval

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/mcprun/mcprun/internal/atomicfile"
)

// Factor is a second factor: codes of an authenticator (TOTP, RFC 6238). An agent
// that runs as a user who may decide has no authenticator. Each code is good once.
//
// Whoever can read the daemon's folder of keys, as root can, can make codes: it
// keeps apart who shares a user with the agent, not who owns the machine. Whoever may
// ask the daemon can keep right codes out by trying wrong ones; a no needs no code.
type Factor struct {
	path string
	now  func() time.Time

	mu    sync.Mutex
	state factorState
}

type factorState struct {
	Secret string    `json:"secret"`          // base32; "" is none
	Last   uint64    `json:"last"`            // the step of the last code that was taken
	Wrong  int       `json:"wrong,omitempty"` // how many wrong codes since then
	Tried  time.Time `json:"tried,omitzero"`  // when the last of them was
}

const (
	// period and drift are what authenticators use, and one step of a wrong clock.
	period = 30
	drift  = 1
	// guessFree wrong codes cost no wait: people mistype. From then on nothing is looked
	// at before guessWait is over, which doubles with each wrong code up to guessLongest.
	// Three of a million codes are right at any time. Who guesses has 14 tries in the
	// first 1.7 hours, and then 24 a day: 24 x 3/1,000,000 is 0.007 % a day, 2.6 % a year.
	// A right code begins anew: beside a human who approves every half hour it is 12 tries
	// each time, in 16 of them and a night about 0.07 % a day. One try every 12 seconds
	// without end, as it was, is 2 % a day.
	guessFree    = 5
	guessWait    = 12 * time.Second
	guessLongest = time.Hour
)

var (
	// ErrNoFactor means that none is set up.
	ErrNoFactor = errors.New("no second factor is set up")
	// ErrCode means that a code is wrong, or was used.
	ErrCode = errors.New("the code is wrong, or was used already")
	// ErrGuesses means that too many codes were tried.
	ErrGuesses = errors.New("too many wrong codes were tried")
)

// OpenFactor reads the factor kept at path; that there is none yet is no error.
func OpenFactor(path string, now func() time.Time) (*Factor, error) {
	f := &Factor{path: path, now: now}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &f.state)
	}
	if err == nil && f.state.Secret == "" {
		err = errors.New("it holds no secret")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the second factor %s: %w", path, err)
	}
	return f, nil
}

// Enrolled reports whether there is one.
func (f *Factor) Enrolled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.Secret != ""
}

// Enroll makes a new secret and returns it as authenticators read it. Where there is
// one already, a code of that proves who asks.
func (f *Factor) Enroll(account, code string) (url string, err error) {
	if f.Enrolled() {
		if err := f.Check(code); err != nil {
			return "", err
		}
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "mcprun", AccountName: account, Period: period, Algorithm: otp.AlgorithmSHA1, Digits: otp.DigitsSix})
	if err != nil {
		return "", fmt.Errorf("making a second factor: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return key.URL(), f.save(factorState{Secret: key.Secret()})
}

// Check takes a code; it is good once. What it answers is on the disk before: a code
// must not be good again after a crash, nor a guess be free.
func (f *Factor) Check(code string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.Secret == "" {
		return ErrNoFactor
	}
	now := f.now()
	if left := f.state.Tried.Add(pause(f.state.Wrong)).Sub(now); f.state.Wrong > 0 && left > 0 {
		return fmt.Errorf("%w; the next one counts in %s", ErrGuesses, left.Round(time.Second))
	}
	if at, ok := f.step(code, now); ok {
		return f.save(factorState{Secret: f.state.Secret, Last: at})
	}
	wrong := f.state
	wrong.Wrong, wrong.Tried = wrong.Wrong+1, now
	if err := f.save(wrong); err != nil {
		return err
	}
	return ErrCode
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

// step finds of which step a code is, if it may be taken then; call it with mu held.
func (f *Factor) step(code string, now time.Time) (uint64, bool) {
	step := uint64(now.Unix()) / period
	for at := step - drift; at <= step+drift; at++ {
		ok, err := hotp.ValidateCustom(code, at, f.state.Secret, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && ok {
			return at, at > f.state.Last
		}
	}
	return 0, false
}

// save writes the state and takes it over; call it with mu held.
func (f *Factor) save(s factorState) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(f.path, raw, 0o600); err != nil {
		return fmt.Errorf("keeping the second factor: %w", err)
	}
	f.state = s
	return nil
}
