package kill

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/testenv"
)

// small is a server that starts in no time.
const small = "tools:\n  test_simple_text: {risk: low}\n"

// fleet starts servers of those names, each with its name as a label.
func fleet(d *harness.Daemon, names ...string) {
	for _, n := range names {
		d.Up(n, "gosdk", "labels: {is: "+n+"}\n"+small)
	}
}

// alive lists the processes of one server.
func alive(d *harness.Daemon, server string) (out []int) {
	for _, pid := range d.Pids() {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if strings.Contains(string(raw), "/"+server+"-") {
			out = append(out, pid)
		}
	}
	return out
}

// dies throws a switch and waits until nothing runs of the server that it names.
func dies(t *testing.T, d *harness.Daemon, server string, throw func()) {
	t.Helper()
	if len(alive(d, server)) == 0 {
		t.Fatalf("%s does not run", server)
	}
	begun := time.Now()
	throw()
	eventually(t, server+" is dead", func() bool { return len(alive(d, server)) == 0 })
	t.Logf("%s dead after %v", server, time.Since(begun).Round(time.Millisecond))
}

// ways are all that kill one server each, through a daemon that has a page: who is named
// like it dies.
func ways(t *testing.T, d *harness.Daemon, key killKey) (all map[string]func(), commands func() []*program) {
	var begun []*program
	command := func(args ...string) func() {
		return func() {
			begun = append(begun, begin(t, d.Command(append([]string{"kill", "--why", "a fault"}, args...)...)))
		}
	}
	return map[string]func(){
		"command": command("command"),
		"label":   command("--label", "is=label"),
		"paused":  command("paused"),
		"keep":    command("keep", "--preserve"),
		"folder":  func() { put(t, d, "server@folder", "a fault") },
		"another": func() { put(t, d, "label@is=another", "a fault") },
		"http": func() {
			go func() { // it answers when all is done
				r, _ := http.NewRequest("POST", key.URL, strings.NewReader(`{"target":"server@http","why":"a fault"}`))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer "+key.Key)
				if res, err := http.DefaultClient.Do(r); err == nil {
					res.Body.Close()
				}
			}()
		},
		"page":        button(t, d),
		"interrupted": interrupt(t, d, "interrupted", syscall.SIGINT),
	}, func() []*program { return begun }
}

var wayNames = []string{"command", "label", "paused", "keep", "folder", "another", "http", "page", "interrupted"}

// reasonOf is what the switch of each way says.
func reasonOf(name string) string {
	if name == "interrupted" {
		return "mcprun run "
	}
	return "a fault"
}

// button opens the page as an operator, and returns what its button for a server does.
func button(t *testing.T, d *harness.Daemon) (press func()) {
	t.Helper()
	out := d.Must("approvals", "page")
	at := strings.Index(out, "http://")
	if at < 0 {
		t.Fatalf("no address: %s", out)
	}
	origin, ticket, ok := strings.Cut(strings.Fields(out[at:])[0], "/#ticket=")
	if !ok {
		t.Fatalf("no ticket: %s", out)
	}
	ask := func(path, token, body string) (*http.Response, error) {
		r, _ := http.NewRequest("POST", origin+path, strings.NewReader(body))
		for k, v := range map[string]string{"Content-Type": "application/json", "Origin": origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Authorization": "Bearer " + token} {
			r.Header.Set(k, v)
		}
		return http.DefaultClient.Do(r)
	}
	res, err := ask("/api/enter", "", fmt.Sprintf(`{"ticket":%q}`, ticket))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var session struct{ Token string }
	if err := json.NewDecoder(res.Body).Decode(&session); err != nil || res.StatusCode != http.StatusOK || session.Token == "" {
		t.Fatalf("entering: %s, %v", res.Status, err)
	}
	return func() {
		go func() { // it answers when all is done
			if res, err := ask("/api/stop", session.Token, `{"target":"server@page","why":"a fault"}`); err == nil {
				res.Body.Close()
			}
		}()
	}
}

// interrupt has mcprun run hold a server that was up, and returns what ends that.
func interrupt(t *testing.T, d *harness.Daemon, server string, sig syscall.Signal) func() {
	t.Helper()
	d.Must("stop", server)
	p := begin(t, d.Command("run", server+".yaml"))
	eventually(t, server+" runs", func() bool { return len(alive(d, server)) > 0 && ps(t, d, server).State == "running" })
	return func() { p.Process.Signal(sig) }
}

// throwCalls throws the switches that end no process.
func throwCalls(t *testing.T, d *harness.Daemon) {
	t.Helper()
	d.Must("kill", "rest/test_simple_text", "--why", "a fault of the tool")
	d.Must("kill", "--principal", fmt.Sprintf("uid:%d", someone), "--why", "a fault of the client")
}

// callsRefused asserts that both of them hold.
func callsRefused(t *testing.T, d *harness.Daemon) {
	t.Helper()
	refused(t, d.Command("call", "rest", "test_simple_text", "{}"), "a fault of the tool")
	refused(t, asUser(d.Command("call", "rest", "test_simple_text", "{}"), someone), "a fault of the client")
}

// containerdOf is the daemon's own containerd.
func containerdOf(t *testing.T, d *harness.Daemon) int {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		raw, _ := os.ReadFile(f)
		if strings.Contains(string(raw), fmt.Sprintf("(containerd) S %d ", d.Pid())) {
			pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
			return pid
		}
	}
	t.Fatal("the daemon has no containerd")
	return 0
}

// With containerd stopped every way still kills, one while the one before it waits for
// containerd to clean up; that follows when it goes on.
func TestContainerdStopped(t *testing.T) {
	d := harness.New(t, "-web", "localhost:0", "-clients", fmt.Sprint(someone))
	key := makeKey(t, d)
	fleet(d, "rest", "last")
	before := d.Snapshot()
	fleet(d, wayNames...)
	d.Must("pause", "paused")
	all, commands := ways(t, d, key)
	ctrd := containerdOf(t, d)
	if err := syscall.Kill(ctrd, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := func() { syscall.Kill(ctrd, syscall.SIGCONT) }
	defer goOn()
	for _, name := range wayNames {
		dies(t, d, name, all[name])
	}
	throwCalls(t, d)
	callsRefused(t, d)
	dies(t, d, "last", func() { syscall.Kill(d.Pid(), syscall.SIGUSR1) })
	goOn()
	for _, c := range commands() {
		if text, _ := c.end(t); !strings.Contains(text, "killed") || !strings.Contains(text, "stay dead") {
			t.Errorf("%v: %s", c.Args, text)
		}
	}
	emptied(t, d)
	d.Must("revive", "--all", "--why", "test")
	for _, name := range wayNames {
		refused(t, d.Command("start", name+".yaml"), reasonOf(name))
	}
	d.Must("start", "last.yaml")
	d.Must("start", "rest.yaml")
	eventually(t, "nothing is left of the others", func() bool {
		after := d.Snapshot()
		return after.Snapshots == before.Snapshots && len(after.Cgroups) == len(before.Cgroups) && len(after.Mounts) == len(before.Mounts)
	})
}

// filled is a small file system that fills up, in place of a folder.
func filled(t *testing.T, dir, size string) (fill, free func()) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	name := filepath.Join(dir, ".full")
	return func() {
		f, err := os.Create(name)
		for buf := make([]byte, 4096); err == nil; {
			_, err = f.Write(buf)
		}
		if f.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}, func() { os.Remove(name) }
}

// On a disk that is full every way still kills, and what it killed is still dead after a
// crash. With the daemon stopped as well, root's kill --all ends what is left, a server that
// stands still included.
func TestDiskFull(t *testing.T) {
	testenv.Need(t, "root", "containerd", "images")
	d := harness.Prepare(t, "-web", "localhost:0", "-clients", fmt.Sprint(someone))
	if err := os.MkdirAll(d.Dirs.Data, 0o711); err != nil {
		t.Fatal(err)
	}
	fillRecord, freeRecord := filled(t, d.Dirs.Audit(), "4m")
	fillSwitches, freeSwitches := filled(t, d.Dirs.Switches(), "256k")
	defer d.Shutdown()
	d.Start()
	d.Ready()
	key := makeKey(t, d)
	fleet(d, append([]string{"rest", "last", "still"}, wayNames...)...)
	d.Must("pause", "paused")
	d.Must("pause", "still")
	all, commands := ways(t, d, key)
	fillRecord()
	fillSwitches()
	for _, name := range wayNames {
		dies(t, d, name, all[name])
	}
	throwCalls(t, d)
	for _, c := range commands() {
		if text, code := c.end(t); !strings.Contains(text, "killed") || code != 0 {
			t.Errorf("%v: exit code %d, %s", c.Args, code, text)
		}
	}
	emptied(t, d)
	if text := d.Must("audit", "tail", "-n", "1000", "--json"); strings.Count(text, `"type":"kill"`) != len(wayNames)+2 {
		t.Errorf("the record has %d kills", strings.Count(text, `"type":"kill"`))
	}

	if err := syscall.Kill(d.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { // for whatever fails
		if !d.Ended() {
			syscall.Kill(d.Pid(), syscall.SIGCONT)
		}
	}()
	if out := d.Must("kill", "--all", "--why", "a fault too"); !strings.Contains(out, "without a daemon") || len(d.Pids()) > 0 {
		t.Errorf("with the daemon stopped: %s, and %v are left", out, d.Pids())
	}
	d.Crash()
	freeRecord() // a daemon that cannot record its start does not start
	d.Start()
	if !d.Ready() {
		t.Fatal("it does not start")
	}
	refused(t, d.Command("start", "last.yaml"), "everything was killed", "a fault too")
	freeSwitches()
	d.Must("revive", "--all", "--why", "test")
	for _, name := range wayNames {
		refused(t, d.Command("start", name+".yaml"), reasonOf(name))
	}
	d.Must("start", "last.yaml")
	d.Must("start", "rest.yaml")
	callsRefused(t, d)
}

// What is thrown at a daemon that is stopped is thrown when it goes on.
func TestDaemonStopped(t *testing.T) {
	d := harness.New(t)
	fleet(d, "folder", "rest", "ended")
	end := interrupt(t, d, "ended", syscall.SIGTERM)
	halt(t, d)
	put(t, d, "label@is=folder", "a fault")
	end()
	dies(t, d, "folder", func() { syscall.Kill(d.Pid(), syscall.SIGCONT) })
	eventually(t, "what mcprun run held is dead", func() bool { return len(alive(d, "ended")) == 0 })
	refused(t, d.Command("start", "ended.yaml"), "mcprun run ")
	emptied(t, d)
	if len(alive(d, "rest")) == 0 {
		t.Error("the control: the other server has ended")
	}
	halt(t, d)
	syscall.Kill(d.Pid(), syscall.SIGUSR1)
	dies(t, d, "rest", func() { syscall.Kill(d.Pid(), syscall.SIGCONT) })
}

// halt stops the daemon, and returns when every thread of it stands: the signal is sent
// before it has reached them all, and one that ran on took the order that was to wait.
func halt(t *testing.T, d *harness.Daemon) {
	t.Helper()
	if err := syscall.Kill(d.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // for whatever fails
		if !d.Ended() {
			syscall.Kill(d.Pid(), syscall.SIGCONT)
		}
	})
	eventually(t, "the daemon stands still", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.Pid()))
		if err != nil || len(threads) == 0 {
			return false
		}
		for _, file := range threads {
			raw, err := os.ReadFile(file)
			if _, rest, ok := strings.Cut(string(raw), ") "); err == nil && (!ok || !strings.HasPrefix(rest, "T")) {
				return false
			}
		}
		return true
	})
}
