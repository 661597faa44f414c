package passkey

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/mcprun/mcprun"
)

// Subject is what a passkey says yes to. Two are equal if everything in them is; with
// the zero value nothing is said yes to.
type Subject struct {
	kind   string
	fields [maxFields]string
}

// maxFields is how many things the largest subject is made of.
const maxFields = 5

// Call is a yes to one call that waits, exactly as it was shown: shown is the digest of
// all that the page lays out, by is the one who called.
func Call(id string, by mcprun.Principal, args, tool, shown mcprun.Digest) Subject {
	return Subject{"call", [maxFields]string{id, string(by), string(args), string(tool), string(shown)}}
}

// Confirm is a yes to an authenticator of somebody, which counts from then on; what is
// the digest of what is kept of it.
func Confirm(id string, of mcprun.Principal, what mcprun.Digest) Subject {
	return Subject{"confirm", [maxFields]string{id, string(of), string(what)}}
}

// Remove is a yes to that an authenticator counts no more.
func Remove(id string, of mcprun.Principal) Subject {
	return Subject{"remove", [maxFields]string{id, string(of)}}
}

func (s Subject) none() bool { return s.kind == "" }

// purpose keeps what is signed here apart from whatever else a hash is made of.
const purpose = "mcprun passkey challenge, version 1"

// challenge is what is signed: the hash of all that a question is about, each part
// after its length, so that no two questions have the same.
func (a asked) challenge() protocol.URLEncodedBase64 {
	h := sha256.New()
	for _, part := range append([]string{purpose, string(a.nonce), string(a.who), a.subject.kind}, a.subject.fields[:]...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}
