package audit

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mcprun/mcprun"
)

// writerEnv makes the test binary a writer of the log under the folder it names.
const writerEnv = "MCPRUN_AUDIT_TEST_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		fmt.Fprintln(os.Stderr, writeForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever appends from several goroutines, plainly and durably, over many
// files, and prints each number once it is acknowledged.
func writeForever(base string) error {
	l, err := Open(filepath.Join(base, "log"), Options{KeyDir: filepath.Join(base, "key"), maxFile: 50_000})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for w := range cap(errs) {
		wg.Go(func() {
			for i := 0; ; i++ {
				r := Record{Type: TypeCall, Call: mcprun.NewCallID(), Reason: strings.Repeat("x", i%500)}
				add := l.Append
				if (i+w)%16 == 0 {
					add = l.AppendDurable
				}
				if err := add(&r); err != nil {
					errs <- err
					return
				}
				// One write a line: the kernel keeps lines whole.
				os.Stdout.WriteString(fmt.Sprintf("%d %s\n", r.Seq, r.Call))
			}
		})
	}
	wg.Wait()
	return <-errs
}

// Kill the writer at any moment: what it acknowledged is there, in order, and the
// log opens and verifies.
func TestKill(t *testing.T) {
	const rounds = 50
	base := t.TempDir()
	p := place{filepath.Join(base, "log"), filepath.Join(base, "key")}
	acked := make(map[uint64]mcprun.CallID)
	for range rounds {
		runWriter(t, base, acked, 1+rand.IntN(400))
	}
	l := p.open(t, Options{})
	l.Close()
	report := p.mustVerify(t, l.Checkpoint())
	there := make(map[uint64]mcprun.CallID)
	for _, r := range p.readAll(t) {
		there[r.Seq] = r.Call
	}
	lost := 0
	for seq, call := range acked {
		if there[seq] != call {
			lost++
		}
	}
	if lost > 0 || len(acked) < rounds {
		t.Errorf("%d of %d acknowledged records are lost", lost, len(acked))
	}
	t.Logf("%d kills, %d acknowledged, %d in the log, %d files, %d torn tails", rounds, len(acked), report.Records, report.Files, len(ofType(p.readAll(t), TypeTornTail)))
}

// runWriter runs a writer until it has acknowledged n records, kills it, and
// adds all that it acknowledged.
func runWriter(t *testing.T, base string, acked map[uint64]mcprun.CallID, n int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), writerEnv+"="+base)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	for i := 0; ; i++ {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			break // also for a last line that the kill cut
		}
		if err != nil {
			t.Fatal(err)
		}
		num, call, _ := strings.Cut(strings.TrimSpace(line), " ")
		seq, err := strconv.ParseUint(num, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		acked[seq] = mcprun.CallID(call)
		if i == n {
			cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Fatalf("the writer ended by itself: %v %s", err, stderr.String())
	}
}
