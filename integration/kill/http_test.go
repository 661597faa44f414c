package kill

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// post asks the daemon's HTTP listener for a kill.
func post(t *testing.T, url, key, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

type killKey struct{ Key, File, URL string }

func makeKey(t *testing.T, d *harness.Daemon) killKey {
	t.Helper()
	var k killKey
	if err := json.Unmarshal([]byte(d.Must("kill-key", "--json")), &k); err != nil {
		t.Fatal(err)
	}
	return k
}

// A program with the key kills a server; without it, with one that was replaced or
// removed, or out of a file that others can read, nobody does.
func TestHTTP(t *testing.T) {
	d := harness.New(t, "-web", "localhost:0")
	d.Up("one", "everything", tools)
	old := makeKey(t, d)
	k := makeKey(t, d)
	if st, err := os.Stat(k.File); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", st.Mode(), err)
	}
	const body = `{"target":"server@one","why":"an alarm"}`
	for name, key := range map[string]string{"none": "", "the old one": old.Key, "another": strings.Repeat("A", len(k.Key))} {
		if status, answer := post(t, k.URL, key, body); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if err := os.Chmod(k.File, 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _ := post(t, k.URL, k.Key, body); status != http.StatusUnauthorized {
		t.Errorf("a key that everybody can read is taken: %d", status)
	}
	if err := os.Chmod(k.File, 0o600); err != nil {
		t.Fatal(err)
	}
	answers(t, echo(d, "one"))
	if status, answer := post(t, k.URL, k.Key, `{"target":"server@nobody","why":"x"}`); status != http.StatusConflict || !strings.Contains(answer, "no server is named") {
		t.Errorf("a server that is not there: %d %s", status, answer)
	}
	call := long(t, d, "one", 0)
	status, answer := post(t, k.URL, k.Key, body)
	if status != http.StatusOK || !strings.Contains(answer, `"step":"clean"`) {
		t.Errorf("with the key: %d %s", status, answer)
	}
	call.killed(t, "an alarm")
	refused(t, d.Command("start", "one.yaml"), "automation key", "an alarm")
	if len(d.Pids()) != 0 {
		t.Error("processes are left")
	}
	d.Must("kill-key", "--remove")
	if status, _ := post(t, k.URL, k.Key, body); status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
		t.Errorf("a key that was removed: %d", status)
	}
}
