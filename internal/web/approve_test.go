package web

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
)

// shown is the digest of a call as the page shows it now.
func (b *bench) shown(token, id string) mcprun.Digest {
	b.t.Helper()
	var out struct{ Shown mcprun.Digest }
	w := b.request("GET", "/api/call?id="+id, token, "")
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Shown == "" {
		b.t.Fatalf("looking: %d %s", w.Code, w.Body)
	}
	return out.Shown
}

func (b *bench) approve(token, id string, shown mcprun.Digest, code string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.request("POST", "/api/approve", token, fmt.Sprintf(`{"id":%q,"why":"read it","shown":%q,"code":%q}`, id, shown, code))
}

// A yes is to what was shown, and by somebody who has the authenticator: an agent that
// runs as an operator has the token, too. What is refused leaves the code good.
func TestApprove(t *testing.T) {
	b := newBench(t)
	token := b.enter("uid:7")
	item, other := b.ask(`{"n":1}`), b.ask(`{"n":2}`)
	long := b.ask(`{"n":"` + strings.Repeat("x", 300<<10) + `"}`)
	over := b.ask(`{"n":3}`)
	good := b.shown(token, item.ID)
	overShown := b.shown(token, over.ID)
	if _, err := b.desk.Desk.Decide(over.ID, false, "uid:8", approval.Unproven, "no"); err != nil {
		t.Fatal(err)
	}
	before := b.desk.changes()
	for _, c := range []struct {
		name, id string
		shown    mcprun.Digest
		code     string
		why      string
	}{
		{"no code", item.ID, good, "", "code is wrong"},
		{"a wrong code", item.ID, good, "654321", "code is wrong"},
		{"nothing was shown", item.ID, "", goodCode, "shown differently"},
		{"something else was shown", item.ID, "sha256:00", goodCode, "shown differently"},
		{"another call was shown", item.ID, b.shown(token, other.ID), goodCode, "shown differently"},
		{"too long to read", long.ID, b.shown(token, long.ID), goodCode, "too long"},
		{"it is over", over.ID, overShown, goodCode, "it is denied"},
		{"there is no such call", "a-0", good, goodCode, "no call"},
	} {
		if w := b.approve(token, c.id, c.shown, c.code); w.Code == 200 || !strings.Contains(w.Body.String(), c.why) || b.desk.changes() != before || b.desk.used {
			t.Errorf("%s: %d %s; the code is used: %v", c.name, w.Code, w.Body, b.desk.used)
		}
	}
	b.desk.none = true
	if w := b.approve(token, item.ID, good, goodCode); w.Code == 200 || !strings.Contains(w.Body.String(), "mcprun approvals enroll") {
		t.Errorf("without an authenticator: %d %s", w.Code, w.Body)
	}
	b.desk.none = false
	if w := b.approve(token, item.ID, good, goodCode); w.Code != 200 {
		t.Fatalf("the control: %d %s", w.Code, w.Body)
	}
	if i, _ := b.desk.Get(item.ID); i.State != approval.Approved || i.By != "uid:7" || i.Why != "read it" || !slices.Equal(b.desk.proofs, []approval.Proof{approval.ByCode}) {
		t.Errorf("approved: %+v, proofs %v", i, b.desk.proofs)
	}
	if w := b.approve(token, other.ID, b.shown(token, other.ID), goodCode); w.Code == 200 {
		t.Error("a code is good twice")
	}
}

// What a call is compared with is part of what is shown: a yes to the page as it was
// before another call was approved is no yes to it as it is now.
func TestApproveWhatIsShownNow(t *testing.T) {
	b := newBench(t)
	token := b.enter("uid:7")
	first := b.ask(`{"n":1}`)
	b.pass(time.Second)
	second := b.ask(`{"n":2}`)
	stale := b.shown(token, second.ID)
	if w := b.approve(token, first.ID, b.shown(token, first.ID), goodCode); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	b.desk.used = false
	if w := b.approve(token, second.ID, stale, goodCode); w.Code == 200 || !strings.Contains(w.Body.String(), "shown differently") || b.desk.used {
		t.Errorf("what was shown before: %d %s", w.Code, w.Body)
	}
	if w := b.approve(token, second.ID, b.shown(token, second.ID), goodCode); w.Code != 200 {
		t.Errorf("the control: %d %s", w.Code, w.Body)
	}
}
