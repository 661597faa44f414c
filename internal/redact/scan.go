package redact

// maxRewind is how many bytes the automaton hands back to the filter. In most
// text some pattern begins with the last byte or two, and waiting for none would
// leave the slow part in charge. It is small, so that no byte is read often.
const maxRewind = 3

// span is a run of bytes to replace, in offsets of the stream.
type span struct{ start, end int64 }

// scanner looks for the secrets in one stream, in chunks of any size.
type scanner struct {
	set   *Set
	state uint32 // the node of the automaton that the bytes until now lead to
	spans []span // not yet forgotten; sorted, with a gap between each two
}

// scan looks at the next bytes of the stream, which are at offset at.
func (s *scanner) scan(b []byte, at int64) {
	for i := 0; i < len(b); {
		if s.state == 0 {
			i = s.set.filt.skip(b, i)
		}
		i = s.run(b, i, at)
	}
}

// run lets the automaton read b from from on, until the filter can take over. It
// returns where: always after from, so that the sum of all rewinds stays linear.
func (s *scanner) run(b []byte, from int, at int64) int {
	auto := s.set.auto
	for i := from; i < len(b); {
		s.state = auto.step(s.state, b[i])
		i++
		n := &auto.nodes[s.state]
		if n.out != 0 {
			end := at + int64(i)
			s.cover(end-int64(n.out), end)
		}
		begin := i - int(n.depth)
		if n.depth <= maxRewind && begin > from && begin+window <= len(b) {
			s.state = 0
			return begin
		}
	}
	return len(b)
}

// cover marks [start, end). The ends only grow; a longer pattern may swallow
// what was found inside it.
func (s *scanner) cover(start, end int64) {
	for len(s.spans) > 0 && s.spans[len(s.spans)-1].end >= start {
		start = min(start, s.spans[len(s.spans)-1].start)
		s.spans = s.spans[:len(s.spans)-1]
	}
	s.spans = append(s.spans, span{start, end})
}

// settled returns the offset before which nothing can change, when the stream
// was scanned up to end. What may be the beginning of a secret waits, unless it
// is already known that it will be replaced.
func (s *scanner) settled(end int64) int64 {
	begin := end - int64(s.set.auto.nodes[s.state].depth)
	for _, sp := range s.spans {
		if sp.start > begin {
			break
		}
		begin = max(begin, sp.end)
	}
	return begin
}

// blank replaces the marked bytes of b, which are at offset at and leave now. It
// returns how many spans begin in b. A span that reaches the end of b is
// remembered, since the next match may continue it.
func (s *scanner) blank(b []byte, at int64) (begun int) {
	end := at + int64(len(b))
	for _, sp := range s.spans {
		if sp.start >= end {
			break
		}
		if sp.start >= at {
			begun++
		}
		fill(b[max(sp.start, at)-at : max(min(sp.end, end), at)-at])
	}
	for len(s.spans) > 0 && s.spans[0].end < end {
		s.spans = s.spans[1:]
	}
	return begun
}

func fill(b []byte) {
	for i := range b {
		b[i] = filler
	}
}
