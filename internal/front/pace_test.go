package front

import (
	"testing"
	"time"

	"github.com/mcprun/mcprun/internal/upstream"
)

// A client in a loop of refusals wrote a record for each, as fast as it could send. It
// waits now, and another client of the server does not.
func TestRefusedClientIsSlowedDown(t *testing.T) {
	r := newRig(t, upstream.Grants{})
	loop, other := r.client(), r.client()
	begun := time.Now()
	done := make(chan time.Duration, 1)
	go func() {
		for range refusedBurst + refusedPerSecond {
			loop.send(call(`1`, "echo", `{"message":1}`))
			loop.want("schema.invalid")
		}
		done <- time.Since(begun)
	}()
	for range 10 {
		asked := time.Now()
		other.send(call(`1`, "echo", `{"message":2}`))
		other.want("schema.invalid")
		if took := time.Since(asked); took > 500*time.Millisecond {
			t.Errorf("another client waited %v", took)
		}
	}
	if took := <-done; took < 500*time.Millisecond {
		t.Errorf("%d refusals took %v", refusedBurst+refusedPerSecond, took)
	}
}
