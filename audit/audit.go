// Package audit keeps the record: what was asked, decided, done and stopped, in
// append-only files of one JSON object a line, each naming the SHA-256 of the
// line before it, with signed checkpoints of the chain's head.
//
// A record that Append acknowledged survives the death of the daemon; one that
// AppendDurable or AppendCritical acknowledged survives a power cut. Verify
// finds every edit, drop, swap, cut or splice of what a checkpoint covers.
//
// Not protected:
//   - the records after the last checkpoint (about a second of them): who can
//     write the folder can cut or change the newest of them unseen;
//   - the whole log set back to an earlier state, checkpoints included: only a
//     checkpoint kept elsewhere (VerifyOptions.Since) shows that;
//   - anything, against one who holds the signing key: keep its folder away
//     from whoever may write the log's folder;
//   - secrecy: arguments stand in the record as they were sent, and only the
//     mode of the files keeps others from reading them.
package audit

import "errors"

// What callers branch on.
var (
	// ErrFailed means that the log is stopped for good: what is on the disk is
	// no longer known. Restart the daemon, which recovers or refuses.
	ErrFailed = errors.New("the audit log has failed")
	// ErrNoSpace means that the record was not written because the disk is
	// full; the log goes on once there is space.
	ErrNoSpace = errors.New("no space for the audit log")
	// ErrClosed means that Close was called.
	ErrClosed = errors.New("the audit log is closed")
	// ErrInUse means that another process has the log open.
	ErrInUse = errors.New("the audit log is open in another process")
	// ErrInvalid means that a record breaks the rules of its fields; only a bug
	// in the caller makes one.
	ErrInvalid = errors.New("invalid audit record")
)
