package approval

// Proof is how somebody who decides proved to be a human: an agent may run as the
// same user. The zero value is no proof.
type Proof uint8

const (
	Unproven  Proof = iota
	ByCode          // a code of an authenticator
	ByPasskey       // a signature over what was shown
)

func (p Proof) String() string {
	return [...]string{"unproven", "code", "passkey", "unproven"}[min(p, ByPasskey+1)]
}
