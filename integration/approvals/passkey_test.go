package approvals

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// authenticator gives the browser one of its own, which has a human who touches it and
// whom it verifies, as CDP has them.
func (o *office) authenticator() {
	o.t.Helper()
	o.do(`
		globalThis.cdp = await page.context().newCDPSession(page);
		await cdp.send("WebAuthn.enable");
		const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
		globalThis.authenticator = (await cdp.send("WebAuthn.addVirtualAuthenticator", { options })).authenticatorId;`)
}

// verified says whether it verifies its human from now on.
func (o *office) verified(yes bool) {
	o.t.Helper()
	o.do(`await cdp.send("WebAuthn.setUserVerified", { authenticatorId: authenticator, isUserVerified: arg })`, yes)
}

// factors are the authenticators as the command lists them.
func (o *office) factors() (list []struct{ ID, Kind, State, Person string }) {
	o.t.Helper()
	if err := json.Unmarshal([]byte(o.d.Must("approvals", "authenticators", "--json")), &list); err != nil {
		o.t.Fatal(err)
	}
	return list
}

// A human makes a passkey on the page; it counts nothing until root has confirmed it by
// the id that the page shows. From then on one touch approves a call, which goes on.
func TestPasskeyInABrowser(t *testing.T) {
	o := newOffice(t)
	o.authenticator()
	address := strings.Fields(o.d.Must("approvals", "enroll", "--passkey"))[0]
	o.do(`await page.goto("about:blank"); await page.goto(arg); await page.waitForFunction(() => document.activeElement.id === "add-passkey")`, address)
	o.do(`await page.keyboard.press("Enter")`)
	o.see("#said", "Your new passkey is p-")
	o.see("#own", "mcprun approvals confirm p-")
	id := o.factors()[0].ID
	if said := o.do(`return await page.locator("#said").innerText()`).(string); !strings.Contains(said, id) {
		t.Errorf("the page says %q, the list has %s", said, id)
	}
	answer := o.write("by passkey")
	o.see("#acts", "have your authenticator confirmed")
	o.shot("passkey-waits")
	if got := o.do(`return await page.locator("button.yes").count()`).(float64); got != 0 {
		t.Error("one that is not confirmed can approve")
	}
	o.d.Must("approvals", "confirm", id)
	o.see("#acts button.yes", "Approve with passkey")
	o.see("#own", "counts")
	o.shot("passkey")

	// Whom the authenticator does not verify is nobody; the browser sees to it.
	o.verified(false)
	o.do(`await page.locator("#why").fill("read it"); await page.locator("button.yes").click()`)
	o.see("#said.bad", "The passkey was not used")
	if o.written() != "" || o.waiting() != 1 {
		t.Fatal("it went ahead without anybody")
	}
	o.verified(true)
	o.do(`errors.length = 0; await page.keyboard.press("Escape"); await page.locator("#detail").focus(); await page.keyboard.press("a")`)
	o.answer(answer, "Successfully wrote")
	o.see("#said", "Approved")
	if o.written() != "by passkey" {
		t.Errorf("written: %q", o.written())
	}
	record := o.d.Must("audit", "tail", "-n", "1000", "--json")
	for _, want := range []string{`"proof":"passkey"`, `"authenticator":"` + id + `"`, `"why":"read it"`, "it waits to be confirmed", "counts from now on"} {
		if !strings.Contains(record, want) {
			t.Errorf("the record does not have %s", want)
		}
	}
	o.clean()
	o.do(`await page.setViewportSize({ width: 390, height: 844 })`)
	o.enroll()
	o.write("on a phone")
	o.see("#waiting", "on a phone")
	o.see("#own", "codes")
	o.do(`await page.locator("#waiting button").first().click(); await page.waitForTimeout(300)`)
	o.see("#acts", "Approve with passkey")
	o.shot("passkey-phone")
	o.do(`await page.locator("#authenticators").scrollIntoViewIfNeeded()`)
	o.shot("passkey-phone-list")
	if got := o.do(`return await page.evaluate(() => document.documentElement.scrollWidth)`).(float64); got > 390 {
		t.Errorf("the page is %v px wide", got)
	}
	if got := o.do(`return await page.evaluate(() => [...document.querySelectorAll("#acts button, #acts input")].filter((b) => { const r = b.getBoundingClientRect(); return r.left < 0 || r.right > 390 || r.bottom > innerHeight || r.height < 30; }).length)`).(float64); got != 0 {
		t.Errorf("%v of what decides are out of reach", got)
	}
	o.clean()
}

// What the browser signed is good for that once: not again, not for another call, not
// by what another page had signed, though passkeys of localhost are every port's.
func TestPasskeyIsForThisPage(t *testing.T) {
	o := newOffice(t)
	o.authenticator()
	o.do(`await page.locator("#add-passkey").click()`)
	o.see("#said", "Your new passkey is p-")
	o.d.Must("approvals", "confirm", o.factors()[0].ID)
	o.see("#own", "counts")
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<p>foreign</p>")
	}))
	defer foreign.Close()
	elsewhere := strings.Replace(foreign.URL, "127.0.0.1", "localhost", 1)

	answer := o.write("for this page")
	o.see("#acts button.yes", "Approve with passkey")
	// An agent that runs as the operator has the token, and lets another page of this
	// host ask for the touch.
	ask := `const { sign } = await import("/passkey.js");
		const headers = { "Content-Type": "application/json", Authorization: "Bearer " + sessionStorage.getItem("mcprun.token") };
		const id = document.querySelector("#waiting li").dataset.id;
		const post = (path, body) => fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
		const shown = (await (await fetch("/api/call?id=" + id, { headers })).json()).shown;
		const asked = async () => (await post("/api/passkey/ask", { for: "call", id, shown })).json();
		const approve = async (passkey) => { const r = await post("/api/approve", { id, why: "", shown, passkey }); return r.status + " " + (await r.text()); };`
	question := o.do(`return await page.evaluate(async () => { ` + ask + ` return await asked(); })`)
	signed := o.do(`
		const p = (globalThis.other = await page.context().newPage());
		const own = await page.context().newCDPSession(p);
		await own.send("WebAuthn.enable");
		const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
		const { authenticatorId } = await own.send("WebAuthn.addVirtualAuthenticator", { options });
		const { credentials } = await cdp.send("WebAuthn.getCredentials", { authenticatorId: authenticator });
		for (const credential of credentials) await own.send("WebAuthn.addCredential", { authenticatorId, credential }); // the same key, touched elsewhere
		await p.goto(arg.at);
		return await p.evaluate(async (q) => {
			const bytes = (t) => Uint8Array.from(atob(t.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
			const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
			const got = await navigator.credentials.get({ publicKey: { ...q.options, challenge: bytes(q.options.challenge), allowCredentials: q.options.allowCredentials.map((c) => ({ ...c, id: bytes(c.id) })) } });
			const r = got.response;
			return { asked: q.asked, id: text(got.rawId), clientData: text(r.clientDataJSON), authData: text(r.authenticatorData), signature: text(r.signature) };
		}, arg.q)`, map[string]any{"at": elsewhere, "q": question})
	got := o.do(`return await page.evaluate(async (yes) => { `+ask+` return await approve(yes); }, arg)`, signed).(string)
	if !strings.HasPrefix(got, "409") || !strings.Contains(got, "not on this page") {
		t.Errorf("signed on %s: %s", elsewhere, got)
	}
	both := o.do(`return await page.evaluate(async () => { ` + ask + `
		const yes = await sign(await asked());
		const again = { ...(await sign(await asked())), asked: (await asked()).asked };
		return [await approve(again), await approve(yes), await approve(yes)]; })`).([]any)
	if !strings.Contains(both[0].(string), "another question") || !strings.HasPrefix(both[1].(string), "200") || strings.HasPrefix(both[2].(string), "200") {
		t.Errorf("passed off, the control, again: %v", both)
	}
	o.answer(answer, "Successfully wrote")
	if o.written() != "for this page" {
		t.Errorf("written: %q", o.written())
	}
	o.do(`errors.length = 0`) // the answers that were refusals

	// A copy that was used meanwhile: the counter of this one goes back.
	second := o.write("by a copy")
	o.see("#waiting", "by a copy")
	o.do(`await page.locator("#waiting button").first().click()`)
	o.see("#detail .text", "by a copy")
	o.do(`
		const { credentials } = await cdp.send("WebAuthn.getCredentials", { authenticatorId: authenticator });
		await cdp.send("WebAuthn.clearCredentials", { authenticatorId: authenticator });
		await cdp.send("WebAuthn.addCredential", { authenticatorId: authenticator, credential: { ...credentials[0], signCount: 0 } });
		await page.locator("button.yes").click()`)
	o.see("#said.bad", "somebody may have a copy of it")
	o.see("#own", "copied")
	if list := o.factors(); len(list) != 1 || list[0].State != "copied" || o.waiting() != 1 {
		t.Errorf("the list: %v", list)
	}
	o.shot("passkey-copied")
	if record := o.d.Must("audit", "tail", "-n", "1000", "--json"); !strings.Contains(record, "the counter of a passkey went back: it counts no more") {
		t.Error("the record does not have the copy")
	}
	select {
	case got := <-second:
		t.Errorf("the call went on: %s", got)
	case <-time.After(time.Second):
	}
}
