package approval

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"
	"golang.org/x/time/rate"
)

// Factor is a second factor: codes of an authenticator (TOTP, RFC 6238). An agent
// that runs as a user who may decide has no authenticator. Each code is good once.
//
// Whoever can read the daemon's folder of keys, as root can, can make codes: it
// keeps apart who shares a user with the agent, not who owns the machine.
type Factor struct {
	path    string
	now     func() time.Time
	guesses *rate.Limiter

	mu    sync.Mutex
	state factorState
}

type factorState struct {
	Secret string `json:"secret"` // base32; "" is none
	Last   uint64 `json:"last"`   // the step of the last code that was taken
}

const (
	// period and drift are what authenticators use, and one step of a wrong clock.
	period = 30
	drift  = 1
	// guessEvery and guessBurst make finding one of a million codes take years.
	guessEvery = 12 * time.Second
	guessBurst = 5
)

var (
	// ErrNoFactor means that none is set up.
	ErrNoFactor = errors.New("no second factor is set up")
	// ErrCode means that a code is wrong, or was used.
	ErrCode = errors.New("the code is wrong, or was used already")
	// ErrGuesses means that too many codes were tried.
	ErrGuesses = errors.New("too many codes were tried; wait a minute")
)

// OpenFactor reads the factor kept at path; that there is none yet is no error.
func OpenFactor(path string, now func() time.Time) (*Factor, error) {
	f := &Factor{path: path, now: now, guesses: rate.NewLimiter(rate.Every(guessEvery), guessBurst)}
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

// Check takes a code; it is good once.
func (f *Factor) Check(code string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.Secret == "" {
		return ErrNoFactor
	}
	if !f.guesses.AllowN(f.now(), 1) {
		return ErrGuesses
	}
	step := uint64(f.now().Unix()) / period
	for at := step - drift; at <= step+drift; at++ {
		ok, err := hotp.ValidateCustom(code, at, f.state.Secret, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil || !ok {
			continue
		}
		if at <= f.state.Last {
			return ErrCode
		}
		return f.save(factorState{Secret: f.state.Secret, Last: at}) // before it counts: a code must not be good again after a crash
	}
	return ErrCode
}

// save writes the state and takes it over; call it with mu held.
func (f *Factor) save(s factorState) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.path), ".factor-")
	if err != nil {
		return fmt.Errorf("keeping the second factor: %w", err)
	}
	_, err = tmp.Write(raw)
	err = errors.Join(err, tmp.Sync(), tmp.Close()) // made with mode 0600
	if err == nil {
		err = os.Rename(tmp.Name(), f.path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("keeping the second factor: %w", err)
	}
	f.state = s
	return nil
}
