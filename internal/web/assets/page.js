// The approval page. All text that comes from anywhere is set as text, never as
// markup; what a call looks like was computed by the daemon, and is only laid out here.

import * as passkey from "/passkey.js";

const $ = (id) => document.getElementById(id);

// el makes an element: its class, then children, which are elements or text.
function el(tag, cls, ...children) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

const tokenKey = "mcprun.token"; // in this tab only, gone with it
let token = sessionStorage.getItem(tokenKey);
let state = { waiting: [], over: [] };
let picked = null; // id
let shown = null; // the call as the daemon showed it
let busy = false;
let typed = ""; // the reason so far, of the call that is drawn

// ask sends one request; the token is a header, so that no other page can send it.
async function ask(path, body) {
  const headers = { Authorization: "Bearer " + token };
  const init = { headers, cache: "no-store", credentials: "omit", redirect: "error" };
  if (body) {
    init.method = "POST";
    init.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  const res = await fetch(path, init);
  if (res.status === 401) shut("The session of this page is over.");
  if (!res.ok) {
    const { error } = await res.json().catch(() => ({}));
    throw new Error(error ? [error.what, error.why].filter(Boolean).join(": ") + (error.hint ? " (" + error.hint + ")" : "") : "the daemon answers " + res.status);
  }
  return res;
}

const askJSON = async (path, body) => (await ask(path, body)).json();

function say(text, bad) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", !!bad);
}

// shut shows how to get in.
function shut(why) {
  token = null;
  sessionStorage.removeItem(tokenKey);
  $("gate-why").textContent = why;
  $("gate").hidden = false;
  $("main").hidden = true;
  link("not connected", true);
}

function link(text, lost) {
  $("link").textContent = text;
  $("link").classList.toggle("lost", !!lost);
}

// enter swaps the ticket in the address for a token.
async function enter() {
  const params = new URLSearchParams(location.hash.slice(1));
  const ticket = params.get("ticket");
  if (!ticket) return;
  adding = params.has("passkey");
  history.replaceState(null, "", "/"); // no ticket in the history
  try {
    token = (await askJSON("/api/enter", { ticket })).token;
    sessionStorage.setItem(tokenKey, token);
  } catch (e) {
    shut(e.message);
  }
}

// follow keeps the lists as they are in the daemon.
async function follow() {
  for (let pause = 500; token; pause = Math.min(pause * 2, 10000)) {
    try {
      const reader = (await ask("/api/events")).body.pipeThrough(new TextDecoderStream()).getReader();
      $("gate").hidden = true;
      $("main").hidden = false;
      link("live", false);
      for (let text = ""; ; ) {
        const { value, done } = await reader.read();
        if (done) break;
        pause = 500;
        text += value;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          if (text.startsWith("data: ")) update(JSON.parse(text.slice(6, end)));
        }
      }
    } catch (e) {
      if (!token) return;
    }
    if (!token) return;
    link("connection lost, trying again", true);
    await new Promise((r) => setTimeout(r, pause));
  }
  if (!token && $("gate").hidden) shut("No session is open in this tab.");
}

function update(next) {
  const before = new Set(state.waiting.map((c) => c.id));
  const first = !state.who;
  state = next;
  $("who").textContent = "you are " + state.who;
  document.title = (state.waiting.length ? "(" + state.waiting.length + ") " : "") + "mcprun approvals";
  const fresh = state.waiting.filter((c) => !before.has(c.id));
  if (!first && fresh.length) say(fresh.map((c) => c.server + "/" + c.tool + " waits").join(", "));
  list($("waiting"), state.waiting);
  list($("over"), state.over);
  $("waiting-count").textContent = state.waiting.length;
  $("over-count").textContent = state.over.length;
  $("over-box").hidden = !state.over.length;
  $("nothing").hidden = state.waiting.length > 0;
  servers();
  authenticators();
  const now = one(picked);
  if (!picked || !now || (now.state !== "waiting" && state.waiting.length && !touched())) {
    if (state.waiting.length) pick(state.waiting[0].id);
    else if (!now) clear();
    else refresh(now);
  } else refresh(now);
}

// touched says that somebody is busy with the call that is open.
const touched = () => $("detail").contains(document.activeElement);

const one = (id) => state.waiting.find((c) => c.id === id) || state.over.find((c) => c.id === id);

// sure is what the button was pressed for once: what ends servers is asked twice.
let sure = "";

function stopButton(target, name) {
  const b = el("button", "stop" + (sure === target ? " sure" : ""), sure === target ? "Really kill " + name + "?" : "Kill");
  b.type = "button";
  b.id = "stop-" + target;
  b.setAttribute("aria-label", (sure === target ? "Really kill " : "Kill ") + name);
  b.addEventListener("click", () => (sure === target ? stop(target, name) : ask2(target)));
  return b;
}

function ask2(target) {
  sure = target;
  servers();
  setTimeout(() => {
    if (sure !== target) return;
    sure = "";
    servers();
  }, 5000);
}

async function stop(target, name) {
  sure = "";
  try {
    const report = await askJSON("/api/stop", { target, why: "" });
    say("Killed " + name + " in " + report.steps.at(-1).afterMs.toFixed(0) + " ms. It stays dead until: mcprun revive " + report.argument + (report.problems ? ". Not all was done: " + report.problems.join("; ") : ""), Boolean(report.problems));
  } catch (e) {
    say(e.message, true);
  }
  servers();
}

function servers() {
  const focused = document.activeElement && document.activeElement.id;
  listServers();
  if (focused && focused.startsWith("stop-") && $(focused)) $(focused).focus();
}

function listServers() {
  $("servers").replaceChildren(
    ...state.servers.map((s) => {
      const facts = s.state === "running" ? s.clients + (s.clients === 1 ? " client, " : " clients, ") + s.inFlight + " in flight" : s.why || "";
      return el("li", "", el("b", "", s.name), el("span", "state " + s.state, s.state), el("small", "quiet", facts), s.state === "killed" ? null : stopButton("server@" + s.name, s.name));
    }),
  );
  $("everything").replaceChildren(...(state.servers.length ? [el("span", "quiet", "all, and what starts later"), stopButton("all", "everything")] : []));
  $("kills").replaceChildren(...(state.kills || []).map((k) => el("li", "", el("span", "state killed", "killed"), k)));
  if (!state.servers.length) $("servers").append(el("li", "quiet", "none is started"));
}

let adding = false; // the address was one to set up a passkey

// authenticators are one's own, and those that wait to be confirmed.
function authenticators() {
  const key = JSON.stringify([state.authenticators, state.passkeys]);
  if ($("own").dataset.key !== key) {
    $("own").dataset.key = key;
    $("own").replaceChildren(...state.authenticators.map(authenticator));
    if (!state.authenticators.length) $("own").append(el("li", "quiet", "You have none. A yes needs one."));
  }
  $("add-passkey").hidden = !passkey.there;
  if (adding) {
    adding = false;
    $("add-passkey").focus();
  }
}

const stateOf = { waiting: "waits", counts: "counts", copied: "copied" };

function authenticator(a) {
  const mine = a.person === state.principal;
  const head = el("span", "row", el("b", "", (a.synced ? "synced " : "") + (a.kind === "code" ? "codes" : a.kind)), el("code", "", a.id), el("span", "state " + a.state, stateOf[a.state]));
  const li = el("li", "", head);
  if (!mine) li.append(el("small", "", "of " + a.name));
  if (a.state === "copied") li.append(el("small", "bad", "Its counter went back: somebody may have a copy of it."));
  if (a.state === "waiting") li.append(...confirming(a));
  if (mine && (a.state === "waiting" || state.passkeys)) li.append(small("Remove", "Remove " + a.id, () => change(a, "remove")));
  return li;
}

// confirming is how one that waits comes to count: by a passkey that does, or by root.
function confirming(a) {
  if (!state.passkeys) {
    const code = a.kind === "code" ? " --new-code CODE" : "";
    return [el("small", "", "It counts once root confirms it: ", el("code", "", "mcprun approvals confirm " + a.id + code))];
  }
  const out = [];
  if (a.kind === "code") {
    const code = el("input");
    code.id = "new-" + a.id;
    code.inputMode = "numeric";
    code.maxLength = 9;
    code.placeholder = "what it shows";
    code.setAttribute("aria-label", "Code that " + a.id + " shows");
    out.push(code);
  }
  out.push(small("Confirm with your passkey", "Confirm " + a.id + " with your passkey", () => change(a, "confirm")));
  return out;
}

function small(label, title, act) {
  const b = el("button", "small", label);
  b.type = "button";
  b.setAttribute("aria-label", title);
  b.addEventListener("click", act);
  return b;
}

// change confirms or removes one. One's own that does not count needs no passkey to go.
const change = (a, what) =>
  once(async () => {
    const body = { id: a.id };
    if (what === "confirm" && a.kind === "code") body.newCode = $("new-" + a.id).value.replaceAll(" ", "");
    if (what === "confirm" || a.state !== "waiting") body.passkey = await passkey.sign(await askJSON("/api/passkey/ask", { for: what, id: a.id }));
    await ask("/api/authenticator/" + what, body);
    return what === "confirm" ? a.id + " of " + a.name + " counts from now on." : a.id + " is removed.";
  });

const addPasskey = () =>
  once(async () => {
    const made = await askJSON("/api/passkey/made", await passkey.make(await askJSON("/api/passkey/new", {})));
    return "Your new passkey is " + made.id + ". It counts once it is confirmed, as root: mcprun approvals confirm " + made.id;
  });

// list brings a list up to date and leaves alone what stays, so that the focus does.
function list(ul, calls) {
  const have = new Map([...ul.children].map((li) => [li.dataset.id, li]));
  calls.forEach((c, at) => {
    let li = have.get(c.id);
    have.delete(c.id);
    if (!li) {
      li = el("li", "", el("button", "item"));
      li.dataset.id = c.id;
      li.firstChild.type = "button";
      li.firstChild.addEventListener("click", () => pick(c.id, true));
    }
    item(li.firstChild, c);
    if (ul.children[at] !== li) ul.insertBefore(li, ul.children[at] || null);
  });
  have.forEach((li) => li.remove());
}

function item(button, c) {
  const key = JSON.stringify([c.state, c.yes, c.why, c.by]);
  button.setAttribute("aria-current", String(c.id === picked));
  if (button.dataset.key === key) return;
  button.dataset.key = key;
  button.className = "item " + c.state;
  const right = c.state === "waiting" ? el("span", "", "risk " + c.score) : el("span", "state " + c.state, c.state);
  const yes = c.needs > 1 ? " · " + (c.yes || []).length + " of " + c.needs + " said yes" : "";
  const tail = c.state === "waiting" ? "for " + c.who + yes : [c.by && "by " + c.by, c.why].filter(Boolean).join(": ");
  button.replaceChildren(el("span", "row", el("b", "", c.server + "/" + c.tool), right), el("span", "gist", c.gist), el("small", "", tail));
}

async function pick(id, move) {
  picked = id;
  document.querySelectorAll(".item").forEach((b) => b.setAttribute("aria-current", String(b.parentElement.dataset.id === id)));
  await load(id);
  if (move && matchMedia("(max-width: 46rem)").matches) $("detail").scrollIntoView();
}

async function load(id) {
  try {
    const call = await askJSON("/api/call?id=" + encodeURIComponent(id));
    if (picked !== id) return; // another was picked meanwhile
    const at = one(id);
    shown = call;
    shown.last = at && at.last;
    draw(call);
    refresh(at);
  } catch (e) {
    if (picked === id) say(e.message, true);
  }
}

function clear() {
  picked = shown = null;
  $("detail").replaceChildren();
}

// pieces lays out text in which marks stand for what would not show.
function pieces(list) {
  return (list || []).map((p) => (p.m ? el("span", p.t.startsWith("⇥") ? "mark tab" : "mark", p.t) : p.t));
}

const signs = { "-": ["old", "−"], "+": ["new", "+"], ">": ["more", "↪"] };

function lines(list) {
  return (list || []).map((l) => {
    if (l.fold) {
      const d = el("details", "fold", el("summary", "", "⋯ " + l.label));
      d.addEventListener("toggle", () => d.open && d.childElementCount === 1 && d.append(...lines(l.fold)));
      return d;
    }
    const [cls, sign] = signs[l.k] || ["", ""];
    const e = el("div", "line " + cls, ...pieces(l.p));
    e.dataset.sign = sign;
    return e;
  });
}

const text = (list) => el("div", "text", ...lines(list));

function part(title, ...children) {
  return el("section", "part", el("h3", "", title), ...children);
}

const clock = (t) => new Date(t).toLocaleTimeString();

// draw lays out one call.
function draw(c) {
  const at = one(c.id) || {};
  const left = el("span", "left");
  left.id = "left";
  const facts = el("p", "facts");
  facts.id = "facts";
  const top = el("div", "top", el("h2", "", c.server, el("span", "", " / "), ...pieces(c.tool)), el("span", "risk", "HIGH · " + c.score + " of 100"), left, facts);
  facts.append(el("span", "", "for ", el("b", "", at.who || c.principal)), el("span", "", "asked " + clock(c.asked)), el("span", "", "session ", ...pieces(c.session)));

  const reasons = el("ul", "reasons");
  for (const r of c.reasons) {
    reasons.append(el("li", "", el("span", "points", (r.points > 0 ? "+" : "") + r.points), el("code", "", r.name), el("span", "text-of", ...pieces(r.why), r.class ? el("small", "quiet", " at least " + r.class) : null)));
  }
  const out = [top, part("Why it waits", el("p", "why", ...pieces(c.why)), reasons)];
  if (c.stated.length) {
    out.push(part("What the model says of it; nobody checked this", el("dl", "", ...c.stated.flatMap((s) => [el("dt", "", s.of), el("dd", "", text(s.text))]))));
  }
  const rows = el("div", "rows", ...c.rows.map((r) => el("div", r.edit ? "edit" : "", el("p", "name", ...pieces(r.name), r.note ? el("span", "note", r.note) : null), text(r.lines))));
  out.push(part("Arguments", c.tooLong ? el("p", "warn", "They are too long to be read here, so this call cannot be approved on this page.") : null, c.rows.length ? rows : el("p", "quiet", "none")));
  if (c.since) {
    const s = c.since;
    const title = "Compared with the last approved call of this tool";
    const facts = el("p", "quiet", s.id + ", approved " + clock(s.when) + " by " + s.by);
    out.push(part(title, facts, s.other ? el("p", "warn", "The tool's definition was another one then.") : null, s.same ? el("p", "", "The arguments are the same.") : text(s.lines)));
  }
  if (c.preview) out.push(part("What a dry run says it would do", text(c.preview)));
  const dl = el("dl", "");
  for (const [k, v] of [["call", c.id], ["rule", c.rule], ["image", c.image], ["tool definition", c.toolDigest], ["arguments", c.argsDigest], ["what is shown", c.shown]]) {
    dl.append(el("dt", "", k), el("dd", "", el("code", "", v)));
  }
  out.push(el("details", "part", el("summary", "quiet", "Digests and details"), dl));
  const acts = el("div", "acts");
  acts.id = "acts";
  typed = $("detail").dataset.id === c.id ? reason() : ""; // another look at the same call leaves it
  $("detail").dataset.id = c.id;
  $("detail").replaceChildren(...out, acts);
}

function button(cls, label, key, act) {
  const b = el("button", "act " + cls, label, el("kbd", "", key));
  b.type = "button";
  b.addEventListener("click", act);
  return b;
}

// refresh brings up to date what changes of a call that is open.
function refresh(at) {
  if (!at || !shown || shown.id !== at.id) return;
  if (at.state === "waiting" && (at.last || undefined) !== (shown.last || undefined)) return void load(at.id);
  const key = [at.state, (at.yes || []).length, state.codes, state.passkeys, state.authenticators.length].join();
  const acts = $("acts");
  if (acts.dataset.key === key) return;
  acts.dataset.key = key;
  tick();
  if (at.state !== "waiting") {
    acts.replaceChildren(el("span", "state " + at.state, at.state), el("span", "", [at.by && "by " + at.by, at.why].filter(Boolean).join(": ")));
    return;
  }
  const focused = document.activeElement && document.activeElement.id;
  const why = el("input");
  why.id = "why";
  why.value = $("why") ? reason() : typed;
  why.maxLength = 900;
  why.placeholder = "Enter denies with it";
  why.addEventListener("keydown", (e) => e.key === "Enter" && deny());
  const yes = at.needs > 1 ? el("span", "", (at.yes || []).length + " of " + at.needs + " said yes" + (at.yes ? ": " + at.yes.join(", ") : "")) : null;
  acts.replaceChildren(
    ...[
      yes,
      el("label", "", "Reason", why),
      ...approving(),
      button("no", "Deny", "d", deny),
      button("no kill", "Deny and kill " + at.server, "x", kill),
    ].filter(Boolean),
  );
  if (focused && acts.querySelector("#" + CSS.escape(focused))) $(focused).focus();
}

// approving is what a yes needs, and no agent has: a passkey, or a code.
function approving() {
  if (shown.tooLong) return [];
  if (!state.codes && !state.passkeys) {
    const waits = state.authenticators.find((a) => a.person === state.principal && a.state === "waiting");
    if (waits) return [el("p", "enrol quiet", "To approve calls here, have your authenticator confirmed, as root: ", el("code", "", "mcprun approvals confirm " + waits.id))];
    return [el("p", "enrol quiet", "To approve calls here, add a passkey, or set up an authenticator that shows codes: ", el("code", "", "mcprun approvals enroll"))];
  }
  const out = state.passkeys && passkey.there ? [button("yes", "Approve with passkey", state.codes ? "p" : "a", touch)] : [];
  return state.codes ? [...coding(), ...out] : out;
}

function coding() {
  const code = el("input");
  code.id = "code";
  code.value = $("code") ? $("code").value : "";
  code.inputMode = "numeric";
  code.autocomplete = "one-time-code";
  code.maxLength = 9; // with spaces
  code.placeholder = "123 456";
  code.addEventListener("keydown", (e) => e.key === "Enter" && !e.repeat && approve());
  return [el("label", "code", "Code", code), button("yes", "Approve", "a", approve)];
}

const reason = () => ($("why") ? $("why").value.trim() : "");

// once does one thing at a time, and says what became of it.
async function once(f) {
  if (busy) return;
  busy = true;
  const buttons = () => document.querySelectorAll("button.act, button.small");
  buttons().forEach((b) => (b.disabled = true));
  try {
    say(await f());
  } catch (e) {
    say(e.message, true);
  } finally {
    busy = false;
    buttons().forEach((b) => (b.disabled = false));
  }
}

// act is once for the call that is shown.
async function act(f) {
  if (!shown) return;
  await once(async () => {
    const done = await f(shown);
    $("detail").focus({ preventScroll: true }); // not in a field: keys are commands again
    return done;
  });
}

// approve says yes to what is shown, by its digest. Without a code it asks for one.
function approve() {
  const code = $("code").value.replaceAll(" ", "");
  if (!/^[0-9]{6}$/.test(code)) {
    say("Type the six digits that your authenticator shows.", true);
    $("code").focus();
    return;
  }
  act(async (c) => {
    $("code").value = "";
    return approved(c, async () => ({ code })).catch((e) => {
      if ($("code")) $("code").focus();
      throw e;
    });
  });
}

// touch says yes with a passkey, which signs what is shown.
const touch = () => act((c) => approved(c, async () => ({ passkey: await passkey.sign(await askJSON("/api/passkey/ask", { for: "call", id: c.id, shown: c.shown })) })));

async function approved(c, proof) {
  try {
    const why = reason();
    await ask("/api/approve", { id: c.id, why, shown: c.shown, ...(await proof()) });
  } catch (e) {
    if (picked === c.id) await load(c.id); // it may be shown differently by now
    throw e;
  }
  return (c.needs > 1 ? "Your yes is recorded: " : "Approved: ") + c.server + "/" + c.id;
}

const deny = () =>
  act(async (c) => {
    await ask("/api/deny", { id: c.id, why: reason() });
    return "Denied: " + c.server + "/" + c.id;
  });

// kill asks twice: it ends all that the server does.
function kill() {
  const b = document.querySelector("button.kill");
  if (!b.classList.contains("sure")) {
    b.classList.add("sure");
    b.firstChild.textContent = "Really kill " + shown.server + "?";
    b.focus();
    setTimeout(() => {
      if (!b.isConnected) return;
      b.classList.remove("sure");
      b.firstChild.textContent = "Deny and kill " + shown.server;
    }, 5000);
    return;
  }
  act(async (c) => {
    await ask("/api/kill", { id: c.id, why: reason() });
    return "Denied, and killed " + c.server + ". It stays dead until: mcprun revive " + c.server;
  });
}

// tick keeps the time that is left.
function tick() {
  const at = picked && one(picked);
  const e = $("left");
  if (!e || !at) return;
  const s = Math.max(0, Math.round((new Date(at.until) - Date.now()) / 1000));
  e.textContent = at.state === "waiting" ? "expires in " + Math.floor(s / 60) + ":" + String(s % 60).padStart(2, "0") : at.state;
  e.classList.toggle("soon", at.state === "waiting" && s < 120);
}

const keysOf = {
  j: () => step(1),
  k: () => step(-1),
  a: () => ($("code") ? $("code").focus() : document.querySelector("button.yes") && touch()),
  p: () => state.passkeys && document.querySelector("button.yes") && touch(),
  d: () => $("why") && $("why").focus(),
  x: () => document.querySelector("button.kill") && kill(),
  o: () => document.querySelectorAll("#detail details").forEach((d) => (d.open = true)),
};

function step(by) {
  const all = [...state.waiting, ...($("over-box").open ? state.over : [])].map((c) => c.id);
  if (!all.length) return;
  const id = all[Math.min(all.length - 1, Math.max(0, all.indexOf(picked) + by))];
  pick(id);
  document.querySelector('li[data-id="' + CSS.escape(id) + '"] button').focus();
}

document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target instanceof HTMLInputElement) {
    if (e.key === "Escape" && e.target instanceof HTMLInputElement) $("detail").focus({ preventScroll: true });
    return;
  }
  const f = keysOf[e.key];
  if (f && !e.repeat) {
    e.preventDefault();
    f();
  }
});

// A second address opened in this tab only changes what is behind the #.
addEventListener("hashchange", () => location.hash.includes("ticket=") && location.reload());
$("add-passkey").addEventListener("click", addPasskey);
setInterval(tick, 1000);
await enter();
if (token) follow();
else if ($("gate").hidden) shut("No session is open in this tab.");
