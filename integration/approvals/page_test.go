// Package approvals opens the approval page in a real browser, against a real daemon
// with a real server whose calls wait.
package approvals

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/testenv"
)

// office is a daemon with a server that writes files only if a human says so, and its
// page in a browser.
type office struct {
	*browser
	d      *harness.Daemon
	origin string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	testenv.Need(t, "chromium")
	d := harness.New(t, "-web", "localhost:0")
	dir := filepath.Join(d.Dir, "workspace")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	d.Write("workspace/config.yaml", config)
	if err := os.Chmod(filepath.Join(dir, "config.yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	d.Up("files", "filesystem", "profile: node\nfiles: [{from: ./workspace, to: /workspace, access: write}]\ntools:\n  write_file: {risk: high}\n  edit_file: {risk: high}\n")
	o := &office{browser: newBrowser(t), d: d}
	address := o.address()
	o.origin, _, _ = strings.Cut(address, "/#")
	o.do(`await page.goto(arg); await page.evaluate(() => (window.loaded = "once"))`, address)
	o.see("#link", "live")
	return o
}

const config = "listen: localhost:8080\nadmins:\n  - alice\ntls: required\n"

func (o *office) address() string {
	o.t.Helper()
	for _, word := range strings.Fields(o.d.Must("approvals", "page")) {
		if strings.HasPrefix(word, "http://localhost:") {
			return word
		}
	}
	o.t.Fatal("no address is printed")
	return ""
}

// call makes one that waits, and returns what comes back of it.
func (o *office) call(tool string, args any) <-chan string {
	o.t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		o.t.Fatal(err)
	}
	out := make(chan string, 1)
	go func() {
		stdout, stderr, _ := o.d.Run("call", "files", tool, string(raw))
		out <- stdout + stderr
	}()
	return out
}

func (o *office) write(text string) <-chan string {
	return o.call("write_file", map[string]string{"path": "/workspace/note.txt", "content": text})
}

func (o *office) edit() <-chan string {
	return o.call("edit_file", map[string]any{"path": "/workspace/config.yaml", "edits": []map[string]string{
		{"oldText": "admins:\n  - alice\ntls: required", "newText": "admins:\n  - alice\n  - ma\u200bllory\ntls: off"},
	}})
}

func (o *office) written() string {
	raw, _ := os.ReadFile(filepath.Join(o.d.Dir, "workspace", "note.txt"))
	return string(raw)
}

func (o *office) waiting() int {
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(o.d.Must("approvals", "--json")), &list); err != nil {
		o.t.Fatal(err)
	}
	return len(list)
}

func (o *office) answer(of <-chan string, want string) {
	o.t.Helper()
	select {
	case got := <-of:
		if !strings.Contains(got, want) {
			o.t.Errorf("the client gets %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		o.t.Errorf("no answer came; want %q", want)
	}
}

// enroll sets up an authenticator that counts, and returns what makes its codes; the
// one of this moment was taken.
func (o *office) enroll() (secret string) {
	o.t.Helper()
	var made struct{ ID, URL string }
	if err := json.Unmarshal([]byte(o.d.Must("approvals", "enroll", "--json")), &made); err != nil {
		o.t.Fatal(err)
	}
	u, err := url.Parse(made.URL)
	if err != nil {
		o.t.Fatal(err)
	}
	secret = u.Query().Get("secret")
	o.d.Must("approvals", "confirm", made.ID, "--new-code", code(o.t, secret, -30*time.Second))
	return secret
}

func code(t *testing.T, secret string, off time.Duration) string {
	t.Helper()
	s, err := totp.GenerateCode(secret, time.Now().Add(off))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// clean says that the browser had nothing to complain of: no script that failed, and
// nothing that the page's own policy forbids.
func (o *office) clean() {
	o.t.Helper()
	if got := o.do(`return errors`).([]any); len(got) > 0 {
		o.t.Errorf("the browser complains: %v", got)
	}
}

// A call appears by itself and is shown whole; a no and its reason reach the client;
// deny and kill ends the server. All of it by the keyboard alone, without a reload.
func TestPageByKeyboard(t *testing.T) {
	o := newOffice(t)
	o.see("#nothing", "No call waits")
	o.shot("empty")
	edit := o.edit()
	o.see("#detail h2", "edit_file")
	o.see("#detail .line.old", "tls: required")
	o.see("#detail .line.new", "tls: off")
	o.see("#detail .mark", "U+200B") // what would not show
	o.see("#detail .left", "expires in 14:")
	o.shot("edit")
	write := o.write("hello")
	o.see("#waiting .count, #waiting-count", "2")
	o.do(`await page.keyboard.press("j")`)
	o.see("#detail h2", "write_file")
	o.do(`await page.keyboard.press("k")`)
	o.see("#detail h2", "edit_file")
	o.do(`await page.keyboard.press("d"); await page.keyboard.type("not on a Friday d x k"); await page.keyboard.press("Enter")`)
	o.answer(edit, "not on a Friday d x k")
	o.see("#said", "Denied")
	o.see("#acts", "denied") // what is open stays so: nothing changes under a hand that types
	o.do(`await page.keyboard.press("j")`)
	o.see("#detail h2", "write_file")
	if raw, _ := os.ReadFile(filepath.Join(o.d.Dir, "workspace", "config.yaml")); string(raw) != config {
		t.Error("what was denied was done")
	}
	// Once is a question, twice is a kill.
	o.do(`await page.keyboard.press("x")`)
	o.see("button.kill", "Really kill files?")
	o.shot("kill")
	if o.waiting() != 1 {
		t.Error("one key kills")
	}
	o.do(`await page.keyboard.press("Enter")`)
	o.see("#kills", "files")
	o.answer(write, "")
	if out, errs, code := o.d.Run("call", "files", "write_file", `{"path":"/workspace/note.txt","content":"x"}`); code == 0 || !strings.Contains(out+errs, "killed") {
		t.Errorf("after the kill: %d %s%s", code, out, errs)
	}
	if len(o.d.Pids()) != 0 {
		t.Error("processes of the server are left")
	}
	if o.written() != "" {
		t.Error("what was denied was done")
	}
	o.shot("killed")
	if got := o.do(`return await page.evaluate(() => window.loaded)`); got != "once" {
		t.Error("the page was loaded again")
	}
	o.clean()
}

// A yes on the page needs the code of an authenticator, is to what was shown, and lets
// the call go on, once.
func TestApproveOnThePage(t *testing.T) {
	o := newOffice(t)
	answer := o.write("approved text")
	o.see("#detail h2", "write_file")
	o.see("#acts", "mcprun approvals enroll")
	o.do(`await page.locator("#why").fill("read it")`)
	secret := o.enroll()
	o.see("#acts button.yes", "Approve") // by itself, and what was typed stays
	if got := o.do(`return [await page.locator("#why").inputValue(), await page.evaluate(() => document.activeElement.id)]`); fmt.Sprint(got) != "[read it why]" {
		t.Errorf("what was typed and where: %v", got)
	}
	code := code(t, secret, 0)
	// Of something else than what is shown, the code itself does not make a yes.
	refused := o.do(`return await page.evaluate(async (code) => {
		const id = document.querySelector("#waiting li").dataset.id;
		const headers = { "Content-Type": "application/json", Authorization: "Bearer " + sessionStorage.getItem("mcprun.token") };
		const res = await fetch("/api/approve", { method: "POST", headers, body: JSON.stringify({ id, why: "", shown: "sha256:00", code }) });
		return res.status + " " + (await res.text());
	}, arg)`, code).(string)
	if !strings.HasPrefix(refused, "409") || !strings.Contains(refused, "shown differently") {
		t.Errorf("a yes to something else: %s", refused)
	}
	o.do(`await page.keyboard.press("Escape"); await page.keyboard.press("a"); await page.keyboard.type(arg); await page.keyboard.press("Enter")`, wrong(code))
	o.see("#said.bad", "the code is wrong")
	if o.written() != "" || o.waiting() != 1 {
		t.Fatal("it went ahead without a yes")
	}
	o.do(`errors.length = 0`) // the two answers that were refusals
	o.do(`await page.waitForFunction(() => document.activeElement.id === "code"); await page.keyboard.type(arg.slice(0, 3) + " " + arg.slice(3)); await page.keyboard.press("Enter")`, code)
	o.answer(answer, "Successfully wrote")
	o.see("#said", "Approved")
	if o.written() != "approved text" {
		t.Errorf("written: %q", o.written())
	}
	record := o.d.Must("audit", "tail", "-n", "1000", "--json")
	for _, want := range []string{`"why":"read it"`, `"proof":"code"`, "it is shown differently by now"} {
		if !strings.Contains(record, want) {
			t.Errorf("the record does not have %s", want)
		}
	}
	// The next one is compared with it; an edit is a diff.
	o.write("approved text, and more")
	o.do(`await page.keyboard.press("Escape")`)
	o.see("#waiting", "write_file")
	o.do(`await page.locator("#waiting button").first().click()`)
	o.see("#detail", "Compared with the last approved call of this tool")
	o.shot("compared")
	o.edit()
	o.see("#waiting", "edit_file")
	o.do(`await page.locator("#waiting button", { hasText: "edit_file" }).click()`)
	o.see("#detail .mark", "U+200B")
	o.shot("approvals")
	o.clean()
}

// wrong is another code.
func wrong(code string) string {
	if code[0] == '9' {
		return "0" + code[1:]
	}
	return string(code[0]+1) + code[1:]
}

// On a phone's width nothing is cut off, and what decides is within reach.
func TestPageOnAPhone(t *testing.T) {
	o := newOffice(t)
	o.enroll() // so that all is there
	o.do(`await page.setViewportSize({ width: 390, height: 844 })`)
	answer := o.write(strings.Repeat("averylongwordwithoutanend", 40) + "\nend")
	o.see("#detail h2", "write_file")
	o.see("#acts button", "Approve")
	o.shot("phone-list")
	o.do(`await page.locator("#waiting button").first().click(); await page.waitForTimeout(300)`)
	o.shot("phone")
	if got := o.do(`return await page.evaluate(() => document.documentElement.scrollWidth)`).(float64); got > 390 {
		t.Errorf("the page is %v px wide", got)
	}
	if got := o.do(`return await page.evaluate(() => [...document.querySelectorAll("#acts button, #acts input")].filter((b) => { const r = b.getBoundingClientRect(); return r.left < 0 || r.right > 390 || r.bottom > innerHeight || r.height < 30; }).length)`).(float64); got != 0 {
		t.Errorf("%v of what decides are out of reach", got)
	}
	o.do(`await page.locator("#why").fill("from the phone"); await page.locator("button.no:not(.kill)").click()`)
	o.answer(answer, "from the phone")
	o.clean()
}

// A page of another origin in the same browser can neither show our page in a frame
// nor act through it, even if it had the token; the page itself can.
func TestForeignPage(t *testing.T) {
	o := newOffice(t)
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<p>foreign %s</p>", r.URL.Path)
	}))
	defer foreign.Close()
	answer := o.write("from afar")
	o.see("#detail h2", "write_file")
	stolen := o.do(`return await page.evaluate(() => [sessionStorage.getItem("mcprun.token"), document.querySelector("#waiting li").dataset.id])`).([]any)
	arg := map[string]any{"own": foreign.URL, "page": o.origin, "token": stolen[0], "id": stolen[1]}

	framed := o.do(`
		const p = (globalThis.other = await page.context().newPage());
		await p.goto(arg.own);
		const inFrame = async (src) => {
			await p.evaluate((src) => { const f = document.createElement("iframe"); f.src = src; document.body.replaceChildren(f); }, src);
			await p.waitForTimeout(700);
			return await p.frames()[1].evaluate(() => document.body.innerText).catch((e) => String(e));
		};
		return [await inFrame(arg.own + "/control"), await inFrame(arg.page + "/")]`, arg).([]any)
	if !strings.Contains(framed[0].(string), "foreign /control") {
		t.Errorf("the control is not framed: %q", framed[0])
	}
	if strings.Contains(framed[1].(string), "mcprun approvals") {
		t.Errorf("the page stands in a frame of another: %q", framed[1])
	}

	send := `(async ({ page, token, id }) => {
		const out = [];
		for (const [mode, type, auth] of [["cors", "application/json", true], ["no-cors", "text/plain", false], ["cors", "text/plain", false]]) {
			const headers = { "Content-Type": type };
			if (auth) headers.Authorization = "Bearer " + token;
			out.push(await fetch(page + "/api/deny", { method: "POST", mode, headers, body: JSON.stringify({ id, why: "foreign" }), credentials: "include" }).then((r) => r.type + " " + r.status, (e) => "failed"));
		}
		return out;
	})`
	got := o.do(`return await globalThis.other.evaluate(`+"`("+strings.ReplaceAll(send, "`", "")+")(${JSON.stringify(arg)})`"+`)`, arg).([]any)
	if fmt.Sprint(got) != "[failed failed failed]" || o.waiting() != 1 {
		t.Errorf("another origin's requests: %v, and %d calls wait", got, o.waiting())
	}
	if record := o.d.Must("audit", "tail", "-n", "100", "--json"); !strings.Contains(record, "approval page: the request comes from another origin") {
		t.Error("the record does not have that another origin asked")
	}
	if opener := o.do(`
		const [w] = await Promise.all([page.context().waitForEvent("page"), globalThis.other.evaluate((to) => void (globalThis.w = open(to)), arg.page + "/")]);
		await w.waitForLoadState();
		return await globalThis.other.evaluate(() => globalThis.w.closed)`, arg); opener != true {
		t.Error("another origin holds on to a window with the page")
	}
	o.clean()
	// The control: the same requests, of the page itself; the first one is enough.
	got = o.do(`return await page.evaluate(`+"`("+send+")(${JSON.stringify(arg)})`"+`)`, arg).([]any)
	if got[0] != "basic 200" {
		t.Errorf("the page's own requests: %v", got)
	}
	o.answer(answer, "foreign")
}

// The printed address is good once, and a session that has ended says how to go on.
func TestAddressIsGoodOnce(t *testing.T) {
	o := newOffice(t)
	address := o.address()
	enter := `
		const c = await browser.newContext();
		const p = await c.newPage();
		await p.goto(arg);
		await p.locator("#gate:not([hidden]), #main:not([hidden])").first().waitFor();
		const out = [await p.locator("#gate").isVisible(), p.url(), (await c.cookies()).length];
		await c.close();
		return out;`
	first, second := o.do(enter, address).([]any), o.do(enter, address).([]any)
	if first[0] != false || second[0] != true {
		t.Errorf("first %v, then %v", first, second)
	}
	if strings.Contains(fmt.Sprint(first[1]), "ticket") || first[2] != 0.0 {
		t.Errorf("the ticket stays in the address, or a cookie was set: %v", first)
	}
}

// Every server in the list has a button that stops it, and there is one for all. Each
// asks twice, and keeps the focus while the list changes around it.
func TestStopOnThePage(t *testing.T) {
	o := newOffice(t)
	const yaml = "profile: node\ntools:\n  echo: {risk: low}\n"
	o.d.Up("every", "everything", yaml)
	const every, all = `[id="stop-server@every"]`, `[id="stop-all"]`
	o.see("#servers", "every")
	o.do(`await page.focus(arg); await page.keyboard.press("Enter")`, every)
	o.see(every, "Really kill every?")
	o.shot("stop")
	if ps := o.d.Must("ps", "--json"); strings.Contains(ps, `"killed"`) {
		t.Errorf("one key kills: %s", ps)
	}
	o.d.Must("stop", "files") // the list is drawn anew
	o.see("#servers", "stopped")
	o.do(`await page.keyboard.press("Enter")`)
	o.see("#said", "mcprun revive every")
	o.see("#kills", "every by root (uid:0): asked on the approval page")
	if _, errs, code := o.d.Run("start", "every.yaml"); code != 3 || !strings.Contains(errs, "was killed") {
		t.Errorf("start: exit code %d, %s", code, errs)
	}
	o.d.Must("revive", "every", "--why", "test")
	o.d.Must("start", "every.yaml")
	o.see(every, "Kill")
	o.do(`await page.click(arg); await page.click(arg)`, all)
	o.see("#said", "mcprun revive --all")
	o.see("#kills", "everything by")
	if len(o.d.Pids()) != 0 {
		t.Error("processes are left")
	}
	o.shot("stopped")
	o.clean()
}
