package redact

import "encoding/binary"

const (
	// window is how many bytes the filter judges at once. No pattern is shorter.
	window = MinSecret

	// gramLen bytes at the end of the window decide how far to move it.
	// Two are too common in text; with four the window moves less far.
	gramLen = 3

	// gramBits is the size of the table: 64 KiB, which stays in a processor's
	// second cache. 64 secrets fill less than a tenth of it.
	gramBits = 16
)

// filter jumps over bytes at which no pattern begins (Wu and Manber, 1994). The
// automaton looks at every byte; text without secrets is passed faster by this.
type filter struct {
	shift [1 << gramBits]uint8 // by the hash of a gram; 0: a pattern may begin here
}

func newFilter(patterns []string) *filter {
	const last = window - gramLen // where the last gram of a window begins
	f := &filter{}
	for i := range f.shift {
		f.shift[i] = last + 1
	}
	for _, p := range patterns {
		head := []byte("\x00" + p[:window]) // gramHash does not look at the first byte
		for i := range last + 1 {
			h := gramHash(head[i:])
			f.shift[h] = min(f.shift[h], uint8(last-i))
		}
	}
	return f
}

// gramHash hashes b[1:4]. It loads b[0] too, since one load of four bytes is
// cheaper than three of one.
func gramHash(b []byte) uint32 {
	const golden = 0x9E3779B1 // 2^32 divided by the golden ratio: Knuth's multiplicative hash
	return (binary.LittleEndian.Uint32(b) >> 8) * golden >> (32 - gramBits)
}

// skip returns the first place at or after i where a pattern may begin. Where
// fewer bytes than a window are left it cannot tell.
func (f *filter) skip(b []byte, i int) int {
	for i+window <= len(b) {
		n := f.shift[gramHash(b[i+window-gramLen-1:])]
		if n == 0 {
			return i
		}
		i += int(n)
	}
	return i
}
