package servers

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// chat is a chat program that takes Slack's format, over https on loopback.
type chat struct {
	*httptest.Server
	mu    sync.Mutex
	texts []string
	hold  chan struct{} // while it is not nil, nothing is answered before it is closed
}

func newChat(t *testing.T) *chat {
	c := &chat{}
	c.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		var body struct{ Text string }
		if err := json.Unmarshal(raw, &body); err != nil || r.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			http.Error(w, "invalid_payload", 400)
			return
		}
		c.mu.Lock()
		hold := c.hold
		c.texts = append(c.texts, body.Text)
		c.mu.Unlock()
		if hold != nil {
			<-hold
		}
		io.WriteString(w, "ok")
	}))
	t.Cleanup(c.Close)
	return c
}

// told waits until a message holds a text, and returns all messages.
func (c *chat) told(t *testing.T, says string) string {
	t.Helper()
	var all string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		c.mu.Lock()
		all = strings.Join(c.texts, "\n----\n")
		c.mu.Unlock()
		if strings.Contains(all, says) {
			return all
		}
	}
	t.Fatalf("nobody was told %q: %s", says, all)
	return ""
}

const webhookSecret = "T0K3N-s3cret-4711"

// A call that waits is told to the webhook that policy.yaml names, without its arguments;
// another webhook is told without a restart; what was not told when the daemon died is
// told by the next one; and the address, which lets anybody post there, stands nowhere.
func TestWebhook(t *testing.T) {
	first, second := newChat(t), newChat(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var roots string
	for _, c := range []*chat{first, second} {
		roots += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}))
	}
	ca := write("ca.pem", roots)
	address := write("address", first.URL+"/services/"+webhookSecret+"\n")
	policy := write("policy.yaml", "version: 1\napproval: {webhook: {source: \"file:"+address+"\", settled: true}}\n")
	d := harness.Prepare(t, "-policy", policy)
	d.Start("SSL_CERT_FILE=" + ca)
	if !d.Ready() {
		t.Fatal("the daemon ended at its start")
	}
	o := &office{t: t, d: d}
	o.workspace()
	d.Up("files", "filesystem", "profile: node\nfiles: [{from: ./workspace, to: /workspace, access: write}]\ntools:\n  write_file: {risk: high, arguments: {path: {path: {under: [/workspace]}}}}\n  list_allowed_directories: {risk: low}\n")

	if out := d.Must("policy", "show"); !strings.Contains(out, "# approval.webhook: nothing was to be told yet") {
		t.Errorf("policy show: %s", out)
	}
	d.Must("approvals", "webhook")
	first.told(t, "*A trial*")
	answer := o.call("what is nobody's business")
	id := o.waiting()
	if all := first.told(t, "mcprun approvals show "+id); !strings.Contains(all, "`write_file` of `files`") || !strings.Contains(all, "root (uid:0)") || strings.Contains(all, "business") || strings.Contains(all, "note.txt") {
		t.Errorf("told: %s", all)
	}
	d.Must("deny", id, "--why", "not now")
	first.told(t, "*denied* on ")
	<-answer

	// A chat program that does not answer delays no call and no approval.
	hold := make(chan struct{})
	first.mu.Lock()
	first.hold = hold
	first.mu.Unlock()
	var stuck []<-chan string
	began := time.Now()
	for _, text := range []string{"one", "two", "three"} {
		stuck = append(stuck, o.call(text))
	}
	for n := 0; n < 3 && time.Since(began) < 8*time.Second; {
		n = strings.Count(d.Must("approvals", "--json"), `"waiting"`)
	}
	if out := d.Must("call", "files", "list_allowed_directories"); !strings.Contains(out, "/workspace") {
		t.Error("a call that waits for nobody got no answer")
	}
	if took := time.Since(began); took > 8*time.Second { // a try at the chat program takes 10 s
		t.Errorf("calls waited %v for the chat program", took)
	}

	// Another one, without a restart: it is told what waits.
	write("address", second.URL+"/services/"+webhookSecret)
	write("policy.yaml", "version: 1\napproval: {webhook: {source: \"file:"+address+"\", settled: true, arguments: true}}\n")
	d.Must("policy", "reload")
	close(hold)
	if all := second.told(t, "`\"three\"`"); !strings.Contains(all, "`\"one\"`") || !strings.Contains(all, "`\"two\"`") {
		t.Errorf("told: %s", all)
	}

	// What waits after a crash is told again.
	second.mu.Lock()
	second.texts = nil
	second.mu.Unlock()
	d.Crash()
	d.Start("SSL_CERT_FILE=" + ca)
	if !d.Ready() {
		t.Fatal("the daemon does not come back")
	}
	second.told(t, "`\"three\"`")
	for _, c := range stuck {
		<-c
	}

	// One that fails is a record, and said to whoever looks.
	write("policy.yaml", "version: 1\napproval: {webhook: {url: \"https://127.0.0.1:1/"+webhookSecret+"\"}}\n")
	d.Must("policy", "reload")
	if _, errs, code := d.Run("approvals", "webhook"); code != 1 || !strings.Contains(errs, "it refuses connections") || strings.Contains(errs, webhookSecret) {
		t.Errorf("a trial: code %d, %s", code, errs)
	}
	for end := time.Now().Add(20 * time.Second); !strings.Contains(d.Must("policy", "show"), "it was not told about 3 calls; FAILS: it refuses connections"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("policy show: %s", d.Must("policy", "show"))
		}
	}
	if out, _, code := d.Run("doctor"); code == 0 || !strings.Contains(out, "approval.webhook") || strings.Contains(out, webhookSecret) {
		t.Errorf("doctor: code %d, %s", code, out)
	}
	record := d.Must("audit", "tail", "-n", "300", "--json")
	for _, want := range []string{"told the webhook (file " + address + ") about calls", "the webhook (policy.yaml) was not told about calls that wait for approval or waited: it refuses connections", "a trial message to approval.webhook"} {
		if !strings.Contains(record, want) {
			t.Errorf("the record lacks %q: %s", want, record)
		}
	}
	var shown struct{ Source []byte } // which is base64 in JSON
	if err := json.Unmarshal([]byte(d.Must("policy", "show", "--json")), &shown); err != nil || !strings.Contains(string(shown.Source), "approval: {webhook: {url: \"https://hidden.invalid/") {
		t.Errorf("the file that is shown: %s, %v", shown.Source, err)
	}
	for _, out := range []string{d.Must("policy", "show"), string(shown.Source), record} {
		if strings.Contains(out, webhookSecret) {
			t.Errorf("the address is shown: %s", out)
		}
	}
	d.Shutdown()
	searchBytes(t, filepath.Dir(d.Dir), webhookSecret)
}

// searchBytes fails if any file below dir holds a text: the record, the logs, the rest.
func searchBytes(t *testing.T, dir, text string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.Contains(path, "/containerd/") { // images
			return err
		}
		raw, err := os.ReadFile(path)
		if files++; strings.Contains(string(raw), text) {
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil || files < 4 {
		t.Errorf("%d files searched: %v", files, err)
	}
}
