// Passkeys, as the browser has them: bytes there, base64url on the way to the daemon.

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
const known = (list) => (list || []).map((c) => ({ ...c, id: bytes(c.id) }));

// there says whether this browser has passkeys at all.
export const there = !!(window.PublicKeyCredential && navigator.credentials);

// said puts into words what a browser says in a name.
function said(e) {
  const words = {
    NotAllowedError: "The passkey was not used: it took too long, or it was called off.",
    InvalidStateError: "This authenticator has a passkey of yours already.",
    SecurityError: "This browser takes no passkey here.",
  };
  return new Error(words[e.name] || e.message);
}

// make has an authenticator make a new passkey.
export async function make(asked) {
  const o = asked.options;
  const publicKey = { ...o, challenge: bytes(o.challenge), user: { ...o.user, id: bytes(o.user.id) }, excludeCredentials: known(o.excludeCredentials) };
  const got = await navigator.credentials.create({ publicKey }).catch((e) => Promise.reject(said(e)));
  const r = got.response;
  return { asked: asked.asked, id: text(got.rawId), clientData: text(r.clientDataJSON), attestation: text(r.attestationObject), transports: r.getTransports ? r.getTransports() : [] };
}

// sign has an authenticator say yes to what was asked.
export async function sign(asked) {
  const o = asked.options;
  const publicKey = { ...o, challenge: bytes(o.challenge), allowCredentials: known(o.allowCredentials) };
  const got = await navigator.credentials.get({ publicKey }).catch((e) => Promise.reject(said(e)));
  const r = got.response;
  const yes = { asked: asked.asked, id: text(got.rawId), clientData: text(r.clientDataJSON), authData: text(r.authenticatorData), signature: text(r.signature) };
  if (r.userHandle) yes.userHandle = text(r.userHandle);
  return yes;
}
