package egress

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// A server's budget of bytes holds over all its rules, read or not, and outlives the
// server: what is beyond it is cut in mid-stream, a new connection is refused.
func TestBudgetOfBytes(t *testing.T) {
	w := newWorld(t)
	w.lab.HTTPS(public+":443", "plain.example.com", "inspected.example.com")
	w.lab.DNS.Names(map[string][]string{"plain.example.com": {public}, "inspected.example.com": {public}})
	w.up("net", trusting+`limits: {budget: {egress: 8MiB/month}}
egress:
  - {host: plain.example.com}
  - {host: inspected.example.com, inspect: true, methods: [GET], paths: ["/**"]}
`)
	download := func(host string, n int) int64 {
		out := w.sh("net", "curl -ksS -m 20 -o /dev/null -w 'size=%{size_download} ' 'https://"+host+"/bytes?n="+strconv.Itoa(n)+"'")
		size, _ := strconv.ParseInt(strings.SplitN(out[strings.LastIndex(out, "size=")+len("size="):], " ", 2)[0], 10, 64)
		return size
	}
	spent := func() int64 {
		var rows []struct {
			Kind   string `json:"kind"`
			Amount int64  `json:"amount"`
		}
		if err := json.Unmarshal([]byte(w.d.Must("limits", "net", "--json")), &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Kind == "egress" {
				return r.Amount
			}
		}
		t.Fatal("no budget is shown")
		return 0
	}
	const budget = 8 << 20
	for _, host := range []string{"plain.example.com", "inspected.example.com"} {
		if n := download(host, 1<<20); n != 1<<20 {
			t.Fatalf("%s: %d bytes of a MiB within the budget", host, n)
		}
	}
	w.d.Must("stop", "net")
	w.d.Must("start", "net.yaml")
	if n := spent(); n < 2<<20 || n > 3<<20 {
		t.Errorf("%d bytes are charged for two downloads of a MiB", n)
	}
	if n := download("inspected.example.com", 100_000_000); n > budget-2<<20 || n < 2<<20 {
		t.Errorf("%d bytes came where less than 6 MiB were left", n)
	}
	if n := spent(); n > budget || n < budget-1<<20 {
		t.Errorf("%d bytes are charged of a budget of %d", n, budget)
	}
	w.d.Must("limits", "reset", "net", "--why", "test")
	if n := download("plain.example.com", 100_000_000); n > budget || n < 4<<20 {
		t.Errorf("%d bytes came through a budget of 8 MiB", n)
	}
	if n := spent(); n > budget || n < budget-1<<20 {
		t.Errorf("%d bytes are charged of a budget of %d", n, budget)
	}
}
