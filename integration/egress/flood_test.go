package egress

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// B5: connections to one server's stub, held and silent, take nothing from another
// server, neither while they stand nor afterwards.
func TestFloodOfOneServer(t *testing.T) {
	w := newWorld(t)
	w.lab.TCPEcho(public + ":9000")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}})
	const rules = "egress:\n  - {host: api.example.com, port: 9000, protocol: tcp}\n"
	w.up("net", rules)
	w.up("two", rules)
	// With fewer files than the daemon usually has, a few programs are a flood.
	const files = 2000
	if err := unix.Prlimit(w.d.Pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files}, nil); err != nil {
		t.Fatal(err)
	}
	w.sh("net", `for n in 1 2 3; do python3 -c '
import socket, time
held = []
try:
    while len(held) < 900: held.append(socket.create_connection(("198.18.0.1", 53), 1))
except OSError: pass
time.sleep(4)' >/dev/null 2>&1 & done; sleep 2`)
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.d.Pid()))
	if err != nil || len(open) > files/2 {
		t.Errorf("one server holds %d files of the daemon: %v", len(open), err)
	}
	w.allowed(w.try("two", "raw", "api.example.com:9000"), "another server during the flood")
	w.sh("net", "sleep 4")
	w.allowed(w.try("two", "raw", "api.example.com:9000"), "another server after the flood")
	w.allowed(w.try("net", "raw", "api.example.com:9000"), "the server itself after the flood")
}
