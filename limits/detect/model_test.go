package detect

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/limits"
)

// model says the same as Watch in the plainest way: it keeps every event for ever.
type model struct {
	rules []Rule
	kept  map[int][]kept // by the rule's place and the target
	until map[pair]time.Time
}

type pair struct {
	rule   int
	target limits.Target
}

type kept struct {
	target limits.Target
	at     time.Time
	n      int
}

func (m *model) see(e Event, now time.Time, b board) (killed []pair) {
	for i, r := range m.rules {
		if r.After != e.Name {
			continue
		}
		t := limits.Target{Server: e.Server}
		if r.Level == Principal {
			t = limits.Target{Principal: e.Principal}
		}
		p := pair{i, t}
		if b.stopped(limits.Subject{Server: t.Server, Principal: t.Principal}) {
			// The books of what is stopped are closed.
			for j := range m.kept[i] {
				if m.kept[i][j].target == t {
					m.kept[i][j].n = 0
				}
			}
			continue
		}
		if now.Before(m.until[p]) {
			continue
		}
		sum := e.Times
		for _, k := range m.kept[i] {
			if k.target == t && now.Sub(k.at) < r.Within {
				sum += k.n
			}
		}
		m.kept[i] = append(m.kept[i], kept{t, now, e.Times})
		if sum >= r.Times {
			for j := range m.kept[i] {
				if m.kept[i][j].target == t {
					m.kept[i][j].n = 0
				}
			}
			m.until[p] = now.Add(r.CoolDown)
			b[t] = true
			killed = append(killed, p)
		}
	}
	return killed
}

// play has Watch and model see the same and returns how many kills there were. Each three
// bytes are one step.
func play(t *testing.T, script []byte) int {
	rules := []Rule{
		{After: CredentialMisuse, Times: 1, Level: Server, CoolDown: 10 * time.Second},
		{After: EgressDenied, Times: 3, Within: 10 * time.Second, Level: Server, CoolDown: 5 * time.Second},
		{After: EgressDenied, Times: 8, Within: time.Minute, Level: Server, CoolDown: time.Minute},
		{After: CallRefused, Times: 5, Within: 20 * time.Second, Level: Principal, CoolDown: 30 * time.Second},
	}
	var w Watch
	w.SetCommon(rules)
	m := &model{rules: rules, kept: map[int][]kept{}, until: map[pair]time.Time{}}
	ours, theirs := board{}, board{}
	now, total := start, 0
	servers := []mcprun.ServerName{"a", "b"}
	clients := []mcprun.Principal{"uid:1", "uid:2"}
	for step := 0; len(script) >= 3; step++ {
		op, who, much := script[0]%5, int(script[1]%2), int(script[2])
		script = script[3:]
		e := Event{Server: servers[who], Principal: clients[(who+much)%2], Times: 1 + much%3}
		switch op {
		case 0:
			now = now.Add(time.Duration(much) * 100 * time.Millisecond)
			continue
		case 1:
			for _, b := range []board{ours, theirs} {
				delete(b, limits.Target{Server: servers[who]})
				delete(b, limits.Target{Principal: clients[who]})
			}
			continue
		case 2:
			e.Name = CredentialMisuse
		case 3:
			e.Name = EgressDenied
		case 4:
			e.Name = CallRefused
		}
		hits := ours.see(&w, e, now.Sub(start))
		want := m.see(e, now, theirs)
		total += len(hits)
		if len(hits) != len(want) {
			t.Fatalf("step %d, %+v: %v, the model kills %v", step, e, hits, want)
		}
		for i, h := range hits {
			if h.Target != want[i].target || h.Rule != rules[want[i].rule] || h.Seen < h.Rule.Times {
				t.Fatalf("step %d: %+v, the model kills %+v", step, h, want[i])
			}
		}
	}
	return total
}

func TestModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	kills := 0
	for range 300 {
		script := make([]byte, 3*400)
		for i := range script {
			script[i] = byte(r.UintN(256))
		}
		kills += play(t, script)
	}
	if kills < 1000 {
		t.Errorf("%d kills: the model sees too little", kills)
	}
}

func FuzzWatch(f *testing.F) {
	f.Add([]byte{3, 0, 2, 3, 0, 2, 1, 0, 0, 0, 0, 255, 2, 1, 1, 4, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) { play(t, script[:min(len(script), 3*4096)]) })
}

// Counting costs a call that is refused nothing that it would notice.
func BenchmarkSee(b *testing.B) {
	var w Watch
	w.SetCommon([]Rule{{After: CallRefused, Times: MaxTimes, Within: time.Minute, Level: Principal, CoolDown: time.Second}})
	now := start
	for b.Loop() {
		now = now.Add(time.Millisecond * 61)
		w.See(Event{Name: CallRefused, Principal: "uid:1", Times: 1}, now, func(limits.Subject) bool { return false }, func(Hit) {})
	}
}
