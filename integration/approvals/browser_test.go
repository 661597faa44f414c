package approvals

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// browser is a real Chromium that does what the test says, through driver.mjs.
type browser struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

// browserDeadline bounds all that one test does in the browser.
const browserDeadline = 3 * time.Minute

func newBrowser(t *testing.T) *browser {
	t.Helper()
	modules, err := filepath.Abs("../images/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "playwright-core")); err != nil {
		t.Fatalf("%v; make test-tools installs it", err)
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "driver.mjs", modules, chromium)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(browserDeadline, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
		timer.Stop()
	})
	return &browser{t, in, bufio.NewReader(out)}
}

// do runs the body of a function of page, browser, errors and arg.
func (b *browser) do(code string, arg ...any) any {
	b.t.Helper()
	step := map[string]any{"code": code}
	if len(arg) > 0 {
		step["arg"] = arg[0]
	}
	raw, err := json.Marshal(step)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(raw, '\n')); err != nil {
		b.t.Fatal(err)
	}
	line, err := b.out.ReadBytes('\n')
	if err != nil {
		b.t.Fatalf("the browser is gone: %v", err)
	}
	var got struct {
		Value any
		Error string
	}
	if err := json.Unmarshal(line, &got); err != nil {
		b.t.Fatal(err)
	}
	if got.Error != "" {
		b.shot("failed")
		b.t.Fatalf("%s\n%s", code, got.Error)
	}
	return got.Value
}

// see waits until a text is in an element.
func (b *browser) see(selector, text string) {
	b.t.Helper()
	b.do(`await page.locator(arg.selector).filter({ hasText: arg.text }).first().waitFor()`, map[string]string{"selector": selector, "text": text})
}

// shot takes a picture into MCPRUN_TEST_SHOTS, where that is set: for people to look at.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("MCPRUN_TEST_SHOTS")
	if dir == "" {
		return
	}
	raw, _ := json.Marshal(map[string]any{"code": `await page.screenshot({ path: arg })`, "arg": filepath.Join(dir, name+".png")})
	b.in.Write(append(raw, '\n'))
	b.out.ReadBytes('\n')
}
