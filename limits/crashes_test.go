package limits

import (
	"testing"
	"time"
)

func TestCrashes(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	tests := []struct {
		name  string
		after []time.Duration // of each crash
		wait  []time.Duration // until it may come back; -1: it stays down
	}{
		{"a loop", []time.Duration{0, 0, 0, 0, 0, 0}, []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, -1}},
		{"now and then", []time.Duration{0, CrashWindow, CrashWindow, CrashWindow, CrashWindow, CrashWindow, CrashWindow}, []time.Duration{0, 0, 0, 0, 0, 0, 0}},
		{"just within the window", []time.Duration{0, CrashWindow - 1}, []time.Duration{0, time.Second}},
		{"the clock went back", []time.Duration{time.Hour, -time.Hour}, []time.Duration{0, time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c Crashes
			now := start
			for i, d := range tt.after {
				now = now.Add(d)
				retry, again := c.Note(now)
				want := tt.wait[i]
				if again != (want >= 0) || again && retry.Sub(now) != want {
					t.Errorf("crash %d: back in %v, %v; want %v", i+1, retry.Sub(now), again, want)
				}
			}
			c.Reset()
			if retry, again := c.Note(now); !again || retry != now {
				t.Errorf("after a reset: back in %v, %v", retry.Sub(now), again)
			}
		})
	}
}
