package audit

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
)

// Type says what a record is about; the set is closed.
type Type string

const (
	TypeGenesis      Type = "genesis"       // first record of a log; names its random id
	TypeCall         Type = "call"          // a call was judged and goes ahead
	TypePending      Type = "pending"       // a call waits for a human
	TypeApproval     Type = "approval"      // a human said yes or no
	TypeResult       Type = "result"        // a call ended
	TypeRefuse       Type = "refuse"        // a call was refused
	TypeDrop         Type = "drop"          // a message was thrown away
	TypeEgress       Type = "egress"        // a connection out was judged
	TypeSyscall      Type = "syscall"       // a system call was refused
	TypeAccessDenied Type = "access-denied" // someone asked the daemon for what is not theirs
	TypeStart        Type = "start"         // an instance started
	TypeStop         Type = "stop"          // an instance ended
	TypeKill         Type = "kill"          // a kill switch was thrown
	TypeRevive       Type = "revive"        // a kill switch was taken back
	TypeReviveYes    Type = "revive-yes"    // somebody would take one back, and others have to say so too
	TypeLock         Type = "lock"          // tools were pinned
	TypeToolChange   Type = "tool-change"   // a definition differs from its pin
	TypeRest         Type = "rest"          // an idle server was put to rest, or woken
	TypeStrain       Type = "strain"        // a server ran into a limit of its container
	TypePolicy       Type = "policy"        // the rules of a running server were changed
	TypeBudget       Type = "budget"        // something was set aside for a server, or is settled
	TypeSession      Type = "session"       // a client came or went
	TypeDrill        Type = "drill"         // the kill switch was tried on a decoy: what was measured
	TypeDaemonStart  Type = "daemon-start"
	TypeDaemonStop   Type = "daemon-stop"
	TypeTornTail     Type = "torn-tail"     // a piece cut short by a crash was removed
	TypeClockBack    Type = "clock-back"    // the clock went backwards
	TypeFactor       Type = "authenticator" // one was set up, confirmed, used, removed, or found copied
	TypeNote         Type = "note"          // anything a human wants in the record
)

// known reports whether t is in the set. The zero Type is not.
func (t Type) known() bool {
	switch t {
	case TypeGenesis, TypeCall, TypePending, TypeApproval, TypeResult, TypeRefuse, TypeDrop, TypeEgress, TypeSyscall,
		TypeAccessDenied, TypeStart, TypeStop, TypeKill, TypeRevive, TypeReviveYes, TypeLock, TypeToolChange, TypeStrain, TypeRest, TypePolicy, TypeBudget, TypeSession, TypeDrill,
		TypeDaemonStart, TypeDaemonStop, TypeTornTail, TypeClockBack, TypeFactor, TypeNote:
		return true
	}
	return false
}

// decides reports whether records of this type carry a decision. Their verdict
// and risk are spelled out even when zero: a refusal must not be the absence of
// a word.
func (t Type) decides() bool {
	switch t {
	case TypeCall, TypePending, TypeApproval, TypeRefuse, TypeDrop, TypeEgress, TypeSyscall, TypeAccessDenied:
		return true
	}
	return false
}

// Bounds of one record. In bytes as written, escapes included, they add up to
// less than MaxLine, so that every record that can be made can be read.
const (
	// MaxLine bounds a line with its newline: the reader holds one in memory,
	// and a corrupt file must not make it hold more.
	MaxLine = 64 << 10
	// MaxInlineArgs bounds the arguments kept in a record; of larger ones only
	// digest and size are kept. Nearly all real calls are smaller.
	MaxInlineArgs = 8 << 10
	// MaxName bounds names and ids: twice the longest tool name.
	MaxName = 256
	// MaxText bounds reasons and other prose: more than a screen of it.
	MaxText = 4 << 10
	// MaxDetail bounds the entries of Detail, MaxDetailKey and MaxDetailValue
	// each of them: a path of usual length fits in a value.
	MaxDetail      = 32
	MaxDetailKey   = 64
	MaxDetailValue = 512
)

// Record is one line of the log. Fields that are zero are not written, but for
// Verdict and Risk of a record that carries a decision. A text over its bound is
// cut and says so; it may come from outside and must not stop the record.
type Record struct {
	Seq  uint64    // set by the log: 1, 2, 3, …
	Time time.Time // set by the log: UTC, never less than the one before
	Type Type

	Call      mcprun.CallID
	Server    mcprun.ServerName
	Instance  string
	Tool      mcprun.ToolName
	Method    string
	Principal mcprun.Principal
	Session   string

	Verdict mcprun.Verdict
	Risk    mcprun.Risk
	Rule    string
	Reason  string

	ToolDigest mcprun.Digest
	// ArgsDigest is set by the log to the digest of the bytes of Args when they
	// are too large to keep and the caller gave none.
	ArgsDigest mcprun.Digest
	Args       jsontext.Value // one JSON value, as sent
	Size       int64          // bytes of what the record is about
	Duration   time.Duration
	Outcome    string

	Who    string // the human or program that did it
	Why    string // in their words
	Detail map[string]string
}
