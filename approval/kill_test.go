package approval

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
)

// deskEnv makes the test binary a process that serves racing clients from the log
// under the folder it names; clockEnv is what its clock says, in nanoseconds.
const (
	deskEnv  = "MCPRUN_APPROVAL_TEST_DESK"
	clockEnv = "MCPRUN_APPROVAL_TEST_CLOCK"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(deskEnv); dir != "" {
		now, err := strconv.ParseInt(os.Getenv(clockEnv), 10, 64)
		if err == nil {
			err = serveForever(dir, time.Unix(0, now))
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const (
	kills      = 1000 // deaths altogether
	killLogs   = 40   // logs that they are of: each life reads the whole of its log
	killLanes  = 4    // of them at the same time
	killMoment = Life / 3
	killLeap   = killMoment / 2 // by which the clock jumps in the middle of a life
)

// toolsNeed is how many have to approve a call of each tool: what the checker knows by
// itself, not from the record.
var toolsNeed = map[mcprun.ToolName]int{"one": 1, "two": 2}

// tell is one write: the kernel keeps such lines whole.
func tell(form string, args ...any) { os.Stdout.WriteString(fmt.Sprintf(form+"\n", args...)) }

// serveForever restores a desk from the log, says how all that it found stands, and lets
// clients race on it. What is acknowledged to a client is told right after.
func serveForever(base string, now time.Time) error {
	var leap atomic.Int64
	clock := func() time.Time { return now.Add(time.Duration(leap.Load())) }
	log, d, err := openDesk(base, clock)
	if err != nil {
		return err
	}
	for _, i := range d.List() {
		tell("stands %s %s %s", i.ID, i.State, i.Args)
	}
	tell("ready")
	// Nobody is in the middle of anything when the clock jumps: it is before or after, so
	// that the checker can tell to the nanosecond what had expired.
	var still sync.RWMutex
	var done atomic.Int64
	at := rand.Int64N(60)
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			for {
				var err error
				if done.Add(1) == at {
					still.Lock()
					leap.Store(int64(killLeap))
					err = takeAll(d, log) // before anybody else looks at the desk
					still.Unlock()
				} else {
					still.RLock()
					err = oneClient(d, log)
					still.RUnlock()
				}
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	return <-errs
}

func openDesk(base string, clock func() time.Time) (*audit.Log, *Desk, error) {
	log, err := audit.Open(filepath.Join(base, "log"), audit.Options{KeyDir: filepath.Join(base, "key"), Now: clock})
	if err != nil {
		return nil, nil, err
	}
	d := New(log, clock)
	return log, d, audit.Since(filepath.Join(base, "log"), clock().Add(-Life), func(e audit.Entry) error { d.Restore(&e.Record); return nil })
}

// oneClient asks, lets somebody decide, and takes, each of them or not.
func oneClient(d *Desk, log *audit.Log) error {
	one := calls()[rand.IntN(len(calls()))]
	i, err := d.Ask(one)
	if err != nil {
		return err
	}
	tell("asked %s", i.ID)
	for range rand.IntN(3) {
		yes := rand.IntN(12) > 0
		by := mcprun.Principal(fmt.Sprintf("uid:%d", 2+rand.IntN(3)))
		got, err := d.Decide(i.ID, yes, by, Unproven, "")
		var refused *mcprun.Error
		switch {
		case errors.Is(err, ErrOver), errors.Is(err, ErrUnknown), errors.As(err, &refused):
		case err != nil:
			return err
		default:
			tell("said %s %s %v %s", i.ID, by, yes, got.State)
		}
	}
	if rand.IntN(2) == 0 {
		return nil
	}
	return takeOne(d, log, one)
}

// calls are the few that all clients ask for.
func calls() (out []Item) {
	for n := range 8 {
		i := item(fmt.Sprint(n / 2))
		i.Tool = []mcprun.ToolName{"one", "two"}[n%2]
		i.Needs = toolsNeed[i.Tool]
		out = append(out, i)
	}
	return out
}

func takeOne(d *Desk, log *audit.Log, one Item) error {
	var id string
	took, err := d.Take(one.Binding, func(a string) error {
		rec := &audit.Record{Type: audit.TypeCall, Server: one.Server, Tool: one.Tool, Principal: one.Principal, ToolDigest: one.ToolDigest, ArgsDigest: one.ArgsDigest, Verdict: mcprun.Allow}
		Mark(rec, a)
		id = a
		return log.AppendDurable(rec)
	})
	if took {
		tell("used %s", id)
	}
	return err
}

func takeAll(d *Desk, log *audit.Log) error {
	all := calls()
	rand.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
	for _, one := range all {
		if err := takeOne(d, log, one); err != nil {
			return err
		}
	}
	return nil
}

// Racing clients and kill -9, a thousand times: no approval is used twice, after it
// expired or without all who have to approve; none that was acknowledged is lost.
func TestKill(t *testing.T) {
	began := time.Now()
	var all sync.WaitGroup
	logs := make(chan *history, killLogs)
	for range killLogs {
		logs <- &history{t: t, base: t.TempDir(), model: model{asked: map[string]*question{}}}
	}
	close(logs)
	var sum tally
	var mu sync.Mutex
	for range killLanes {
		all.Go(func() {
			for h := range logs {
				h.run()
				mu.Lock()
				sum.add(h.tally)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	t.Logf("in %s: %+v", time.Since(began).Round(time.Second), sum)
	// What never happened was not tested.
	if sum.Deaths != kills || min(sum.Unready, sum.Used, sum.UsedByTwo, sum.Denied, sum.Expired, sum.Stood, sum.Half, sum.Unanswered) < kills/100 {
		t.Errorf("too little happened: %+v", sum)
	}
}

// tally counts what happened.
type tally struct {
	Deaths, Unready int // lives that ended, and those that did before all was restored
	Asked, Used     int
	UsedByTwo       int // those of the latter that two approved
	Denied, Expired int // Expired: approved, and not used in time
	Stood           int // approvals that were to be used after a death
	Half            int // questions that had one yes of two after a death
	Unanswered      int // records of which no client was told
}

func (s *tally) add(o tally) {
	s.Deaths, s.Unready, s.Asked, s.Used, s.UsedByTwo = s.Deaths+o.Deaths, s.Unready+o.Unready, s.Asked+o.Asked, s.Used+o.Used, s.UsedByTwo+o.UsedByTwo
	s.Denied, s.Expired, s.Stood, s.Half, s.Unanswered = s.Denied+o.Denied, s.Expired+o.Expired, s.Stood+o.Stood, s.Half+o.Half, s.Unanswered+o.Unanswered
}

// question is what the record has of a call that was asked about.
type question struct {
	b      Binding
	until  time.Time
	yes    []string
	denied bool
	used   bool
}

func (q *question) state(now time.Time) State {
	switch {
	case q.used:
		return Used
	case q.denied:
		return Denied
	case !now.Before(q.until):
		return Expired
	case len(q.yes) >= toolsNeed[q.b.Tool]:
		return Approved
	}
	return Waiting
}

// model is what a log says, read by other eyes than the desk's.
type model struct{ asked map[string]*question }

// take adds a record, and reports what must not be.
func (m model) take(r *audit.Record) error {
	id := r.Detail[detailID]
	q := m.asked[id]
	switch r.Type {
	case audit.TypePending:
		until, err := time.Parse(time.RFC3339Nano, r.Detail[detailUntil])
		if err != nil || q != nil || !until.Equal(r.Time.Add(Life)) {
			return fmt.Errorf("%s is asked at %s: %+v, until %s, %v", id, r.Time, q, until, err)
		}
		b := Binding{r.Principal, r.Server, r.Tool, mcprun.Digest(r.Detail[detailImage]), r.ToolDigest, r.ArgsDigest}
		for other, o := range m.asked {
			if o.b == b && !o.used && r.Time.Before(o.until) {
				return fmt.Errorf("%s is asked although %s is %s", id, other, o.state(r.Time))
			}
		}
		m.asked[id] = &question{b: b, until: until}
	case audit.TypeApproval:
		switch {
		case q == nil || q.state(r.Time) != Waiting || r.Verdict == mcprun.Allow && slices.Contains(q.yes, r.Who):
			return fmt.Errorf("%s says %s of %s at %s, which does not wait for it: %+v", r.Who, r.Verdict, id, r.Time, q)
		case r.Verdict == mcprun.Allow:
			q.yes = append(q.yes, r.Who)
		default:
			q.denied = true
		}
	case audit.TypeCall:
		if q == nil || q.state(r.Time) != Approved {
			return fmt.Errorf("%s is used at %s, but not approved and unused: %+v", id, r.Time, q)
		}
		if r.Principal != q.b.Principal || r.Server != q.b.Server || r.Tool != q.b.Tool || r.ToolDigest != q.b.ToolDigest || r.ArgsDigest != q.b.ArgsDigest {
			return fmt.Errorf("%s is used for another call: %+v", id, q)
		}
		q.used = true
	}
	return nil
}

// told checks what a client was told of against the record.
func (m model) told(line string) error {
	f := strings.Fields(line)
	q := m.asked[f[1]]
	switch ok := q != nil; {
	case !ok:
	case f[0] == "used" && q.used:
		return nil
	case f[0] == "asked":
		return nil
	case f[0] == "said" && f[3] == "false" && q.denied:
		return nil
	case f[0] == "said" && f[3] == "true" && slices.Contains(q.yes, f[2]) && (f[4] == Approved.String()) == (slices.Index(q.yes, f[2])+1 == toolsNeed[q.b.Tool]):
		return nil
	}
	return fmt.Errorf("a client was told %q, and the record has %+v", line, q)
}

// stands checks what a new life has found: the very state of each, and none is lost.
func (m model) stands(lines []string, now time.Time) error {
	found := map[string]bool{}
	for _, line := range lines {
		f := strings.Fields(line)
		q := m.asked[f[1]]
		if q == nil || f[2] != q.state(now).String() || f[3] != `{"a":"`+strings.TrimPrefix(string(q.b.ArgsDigest), "sha256:")+`"}` {
			return fmt.Errorf("at %s after a death: %q, and the record has %+v", now, line, q)
		}
		found[f[1]] = true
	}
	for id, q := range m.asked {
		if s := q.state(now); (s == Approved || s == Waiting || s == Denied && now.Before(q.until)) && !found[id] {
			return fmt.Errorf("at %s after a death: %s is lost, it was %s", now, id, s)
		}
	}
	return nil
}

// history is one log with its many lives.
type history struct {
	t     *testing.T
	base  string
	log   *audit.Reader
	model model
	tally
	ready time.Duration // how long it took the last time
}

func (h *history) run() {
	now := time.Unix(1_800_000_000, 0)
	for range kills / killLogs {
		if err := h.life(now); err != nil {
			h.t.Errorf("life %d of a log: %v", h.Deaths, err)
			return
		}
		now = now.Add(killMoment)
	}
	for _, q := range h.model.asked {
		switch q.state(now.Add(Life)) {
		case Used:
			h.Used++
			h.UsedByTwo += len(q.yes) / 2
		case Denied:
			h.Denied++
		case Expired:
			h.Expired += len(q.yes) / toolsNeed[q.b.Tool]
		}
	}
	h.Asked = len(h.model.asked)
	h.log.Close()
	public, err := audit.PublicKey(filepath.Join(h.base, "key"))
	if err != nil {
		h.t.Error(err)
	}
	if report, err := audit.Verify(filepath.Join(h.base, "log"), audit.VerifyOptions{PublicKey: public}); err != nil || !report.OK() {
		h.t.Errorf("the log does not verify: %v, %v", err, report.Problems)
	}
}

// life lets a process serve until a random moment, and compares what it said with what
// is in the log then.
func (h *history) life(now time.Time) error {
	found, answers, err := h.serve(now)
	if err != nil {
		return err
	}
	h.Deaths++
	if found == nil {
		h.Unready++
	} else if err := h.model.stands(found, now); err != nil {
		return err
	}
	for _, line := range found {
		q := h.model.asked[strings.Fields(line)[1]]
		switch s := q.state(now); {
		case s == Approved:
			h.Stood++
		case s == Waiting && len(q.yes) > 0:
			h.Half++
		}
	}
	if err := h.read(); err != nil {
		return err
	}
	for _, line := range answers {
		if err := h.model.told(line); err != nil {
			return err
		}
		if !strings.HasPrefix(line, "asked") {
			h.Unanswered--
		}
	}
	return nil
}

// serve runs a process until it is killed: before it is ready, or some answers later.
func (h *history) serve(now time.Time) (found, answers []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), deskEnv+"="+h.base, fmt.Sprintf("%s=%d", clockEnv, now.UnixNano()))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	kill := func() { cmd.Process.Kill() }
	if h.ready > 0 && rand.IntN(8) == 0 {
		time.AfterFunc(rand.N(h.ready), kill)
	}
	left := rand.IntN(40)
	ready := false
	var lines []string
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			break // also for a last line that the kill cut
		}
		if err != nil {
			return nil, nil, err
		}
		switch line = strings.TrimSpace(line); {
		case line == "ready":
			ready, h.ready = true, time.Since(began)
			found, lines = lines, []string{}
		default:
			lines = append(lines, line)
		}
		if ready {
			if left--; left < 0 {
				time.AfterFunc(rand.N(2*time.Millisecond), kill)
				left = 1 << 30
			}
		}
	}
	cmd.Wait()
	if st := cmd.ProcessState.Sys().(syscall.WaitStatus); !st.Signaled() || st.Signal() != syscall.SIGKILL || stderr.Len() > 0 {
		return nil, nil, fmt.Errorf("it ended by itself: %v %s", cmd.ProcessState, stderr.String())
	}
	if !ready {
		return nil, nil, nil
	}
	if found == nil {
		found = []string{}
	}
	return found, lines, nil
}

// read takes over what has come to the log.
func (h *history) read() (err error) {
	if h.log == nil {
		if h.log, err = audit.NewReader(filepath.Join(h.base, "log")); errors.Is(err, os.ErrNotExist) {
			h.log = nil
			return nil // killed before there was one
		} else if err != nil {
			return err
		}
	}
	for e, err := range h.log.All() {
		if err != nil {
			return err
		}
		if err := h.model.take(&e.Record); err != nil {
			return err
		}
		if e.Record.Type == audit.TypeApproval || e.Record.Type == audit.TypeCall {
			h.Unanswered++
		}
	}
	return nil
}
