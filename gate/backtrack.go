package gate

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// Servers in JavaScript and Python run patterns with backtracking matchers. Such
// a matcher needs exponential time exactly if the pattern has a loop that one
// text can go round in two ways (Weideman et al., "Analyzing Matching Time
// Behavior of Backtracking Regular Expression Matchers Using Ambiguity of NFA",
// 2016). Polynomial time, as of \s*\s*, is let through: real patterns have it
// and the lengths of arguments are bounded.

type ambiguity uint8

const (
	cannotTell ambiguity = iota // not a pattern that can be read, or too large
	runsAway                    // exponential
	settles                     // polynomial at worst
)

const (
	// maxUnroll is the largest counted repetition that is kept. Larger ones are
	// taken for loops, which they are in effect, or cut to this many copies.
	maxUnroll = 4
	// maxStates bounds the automaton; its square is searched for pairs of ways.
	maxStates = 500
	// maxWays bounds the search for ways between two characters.
	maxWays = 50_000
	// maxTries bounds the search for pairs to some tens of milliseconds.
	maxTries = 500_000
)

// backtracking says how a backtracking matcher fares with an ECMA 262 pattern.
func backtracking(pattern string) ambiguity {
	grouped, look, ok := explicitGroups(goSyntax(pattern))
	if !ok {
		return cannotTell
	}
	tree, err := syntax.Parse(grouped, syntax.Perl)
	if err != nil {
		return cannotTell
	}
	var a automaton
	a.build(tree, a.add(state{}))
	verdict := a.ambiguity()
	if verdict == settles && look {
		return cannotTell
	}
	return verdict
}

// explicitGroups puts every alternative into a capturing group of its own. The
// parser would otherwise join what matches the same: (?:a+)* to a*, (\w|\d)* to
// \w*, and a loop with two ways would show one. Look-around becomes a plain group:
// a loop in it is a loop still.
func explicitGroups(pattern string) (grouped string, look, ok bool) {
	var b strings.Builder
	b.WriteByte('(')
	class := false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\\' && i+1 < len(pattern):
			b.WriteString(pattern[i : i+2])
			i++
		case class:
			class = c != ']'
			b.WriteByte(c)
		case c == '[':
			class = true
			b.WriteByte(c)
		case c == '(':
			n, around, known := groupHead(pattern[i:])
			if !known {
				return "", false, false
			}
			look = look || around
			i += n - 1
			b.WriteString("((")
		case c == '|':
			b.WriteString(")|(")
		case c == ')':
			b.WriteString("))")
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte(')')
	return b.String(), look, true
}

// groupHead returns the length of what opens a group, e.g. 3 for "(?:".
func groupHead(s string) (n int, look, known bool) {
	for _, head := range []string{"(?=", "(?!", "(?<=", "(?<!"} {
		if strings.HasPrefix(s, head) {
			return len(head), true, true
		}
	}
	switch {
	case strings.HasPrefix(s, "(?:"):
		return 3, false, true
	case strings.HasPrefix(s, "(?<"), strings.HasPrefix(s, "(?P<"):
		end := strings.IndexByte(s, '>')
		return end + 1, false, end > 0
	case strings.HasPrefix(s, "(?"):
		return 0, false, false // flags
	}
	return 1, false, true
}

// automaton is a pattern as states. A state reads one character, or chooses.
type automaton struct {
	states []state
	next   [][]int         // by state: the reading states that may follow
	twice  map[[2]int]bool // from, to: there are two ways that read nothing
	meets  map[[2]int]bool // two states that one character satisfies
	ways   int
	large  bool // too large to tell
}

type state struct {
	reads []rune // sorted pairs of bounds; nil if it reads nothing
	outs  []int
	loop  bool // outs[0] is one more round, outs[1] the way on
}

func (a *automaton) add(s state) int {
	if len(a.states) >= maxStates {
		a.large = true
		return 0
	}
	a.states = append(a.states, s)
	return len(a.states) - 1
}

// build adds the states of re, followed by the state next, and returns where
// they start.
func (a *automaton) build(re *syntax.Regexp, next int) int {
	if a.large {
		return 0
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range slices.Backward(re.Rune) {
			next = a.add(state{reads: spellings(r, re.Flags), outs: []int{next}})
		}
		return next
	case syntax.OpCharClass:
		return a.add(state{reads: slices.Clip(re.Rune), outs: []int{next}})
	case syntax.OpAnyChar:
		return a.add(state{reads: []rune{0, unicode.MaxRune}, outs: []int{next}})
	case syntax.OpAnyCharNotNL:
		return a.add(state{reads: []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}, outs: []int{next}})
	case syntax.OpNoMatch:
		return a.add(state{})
	case syntax.OpCapture:
		return a.build(re.Sub[0], next)
	case syntax.OpConcat:
		for _, sub := range slices.Backward(re.Sub) {
			next = a.build(sub, next)
		}
		return next
	case syntax.OpAlternate:
		return a.choose(re.Sub, next)
	case syntax.OpQuest:
		return a.add(state{outs: []int{a.build(re.Sub[0], next), next}})
	case syntax.OpStar:
		loop, _ := a.loop(re.Sub[0], next)
		return loop
	case syntax.OpPlus:
		_, round := a.loop(re.Sub[0], next)
		return round
	case syntax.OpRepeat:
		return a.repeat(re, next)
	}
	return next // anchors and the empty match read nothing
}

func (a *automaton) choose(subs []*syntax.Regexp, next int) int {
	var outs []int
	for _, sub := range subs {
		outs = append(outs, a.build(sub, next))
	}
	return a.add(state{outs: outs})
}

// loop returns the state that decides on a further round, and the first of a round.
func (a *automaton) loop(body *syntax.Regexp, next int) (loop, round int) {
	loop = a.add(state{loop: true})
	round = a.build(body, loop)
	a.states[loop].outs = []int{round, next}
	return loop, round
}

// repeat builds body{min,max} as copies where these are few or of fixed length,
// else as a loop.
func (a *automaton) repeat(re *syntax.Regexp, next int) int {
	body := re.Sub[0]
	fixed := re.Min == re.Max && fixedLength(body)
	if !fixed && (re.Max < 0 || re.Max > maxUnroll) {
		loop, round := a.loop(body, next)
		if re.Min == 0 {
			return loop
		}
		return round
	}
	least, most := min(re.Min, maxUnroll), min(re.Max, maxUnroll)
	end := next
	for range most - least {
		next = a.add(state{outs: []int{a.build(body, next), end}})
	}
	for range least {
		next = a.build(body, next)
	}
	return next
}

// spellings returns the characters that a literal stands for.
func spellings(r rune, flags syntax.Flags) []rune {
	out := []rune{r}
	if flags&syntax.FoldCase != 0 {
		for q := unicode.SimpleFold(r); q != r; q = unicode.SimpleFold(q) {
			out = append(out, q)
		}
	}
	slices.Sort(out)
	var pairs []rune
	for _, r := range out {
		pairs = append(pairs, r, r)
	}
	return pairs
}

// fixedLength reports whether all that re matches has one length, known from its
// form: characters, and sequences of them.
func fixedLength(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpEmptyMatch,
		syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	case syntax.OpCapture, syntax.OpConcat:
		return !slices.ContainsFunc(re.Sub, func(s *syntax.Regexp) bool { return !fixedLength(s) })
	case syntax.OpRepeat:
		return re.Min == re.Max && fixedLength(re.Sub[0])
	}
	return false
}

// connect computes which reading states follow which, and in how many ways.
func (a *automaton) connect() {
	a.next = make([][]int, len(a.states))
	a.twice = map[[2]int]bool{}
	for i, s := range a.states {
		if s.reads == nil {
			continue
		}
		count := map[int]int{}
		for _, out := range s.outs {
			a.follow(out, make([]bool, len(a.states)), count)
		}
		for to, n := range count {
			a.next[i] = append(a.next[i], to)
			if n > 1 {
				a.twice[[2]int{i, to}] = true
			}
		}
		slices.Sort(a.next[i])
	}
}

// follow counts the ways from a state to each reading state that read nothing.
// round marks the loops in which this way began a round: matchers do not let a
// round be empty ("RepeatMatcher", ECMA 262, step 2.b).
func (a *automaton) follow(from int, round []bool, count map[int]int) {
	if a.ways++; a.ways > maxWays {
		a.large = true
	}
	s := a.states[from]
	switch {
	case a.large || s.loop && round[from]:
	case s.reads != nil:
		count[from]++
	case s.loop:
		round[from] = true
		a.follow(s.outs[0], round, count)
		round[from] = false
		a.follow(s.outs[1], round, count)
	default:
		for _, out := range s.outs {
			a.follow(out, round, count)
		}
	}
}

// ambiguity looks for a loop with two ways: a doubled step inside a loop, or two
// states that one text reaches from one state and leads back from.
func (a *automaton) ambiguity() ambiguity {
	if !a.large {
		a.connect()
	}
	if a.large {
		return cannotTell
	}
	a.meets = map[[2]int]bool{}
	s := &pairs{a: a, index: map[pair]int{}, low: map[pair]int{}, on: map[pair]bool{}}
	for q := range a.next {
		if len(a.next[q]) > 0 {
			s.visit(pair{q, q})
		}
	}
	switch {
	case s.found:
		return runsAway
	case s.large:
		return cannotTell
	}
	return settles
}

// pair is two states that the same text reaches; p <= q.
type pair struct{ p, q int }

// pairs finds, with Tarjan's algorithm, a strongly connected set of pairs that
// holds both a pair of equal and a pair of different states.
type pairs struct {
	a     *automaton
	index map[pair]int
	low   map[pair]int
	on    map[pair]bool
	stack []pair
	tries int
	found bool
	large bool
}

func (s *pairs) visit(v pair) {
	if _, ok := s.index[v]; ok || s.found || s.large {
		return
	}
	s.index[v] = len(s.index)
	s.low[v] = s.index[v]
	s.stack = append(s.stack, v)
	s.on[v] = true
	for _, p := range s.a.next[v.p] {
		for _, q := range s.a.next[v.q] {
			if s.tries++; s.tries > maxTries {
				s.large = true
				return
			}
			if !s.a.meet(p, q) {
				continue
			}
			w := pair{min(p, q), max(p, q)}
			s.visit(w)
			if s.on[w] {
				s.low[v] = min(s.low[v], s.low[w])
			}
		}
	}
	if s.low[v] == s.index[v] {
		s.component(v)
	}
}

// component pops the set that v closes and looks for two ways in it.
func (s *pairs) component(v pair) {
	i := slices.Index(s.stack, v)
	set := s.stack[i:]
	s.stack = s.stack[:i]
	different := false
	in := map[int]bool{}
	for _, w := range set {
		delete(s.on, w)
		if w.p == w.q {
			in[w.p] = true
		} else {
			different = true
		}
	}
	if len(in) == 0 {
		return
	}
	s.found = s.found || different
	for step := range s.a.twice {
		s.found = s.found || in[step[0]] && in[step[1]]
	}
}

// meet reports whether one character satisfies both states.
func (a *automaton) meet(i, j int) bool {
	if i == j {
		return true
	}
	key := [2]int{min(i, j), max(i, j)}
	known, ok := a.meets[key]
	if !ok {
		known = overlap(a.states[i].reads, a.states[j].reads)
		a.meets[key] = known
	}
	return known
}

// overlap reports whether two sorted lists of ranges share a character.
func overlap(x, y []rune) bool {
	for m, n := 0, 0; m+1 < len(x) && n+1 < len(y); {
		switch {
		case x[m+1] < y[n]:
			m += 2
		case y[n+1] < x[m]:
			n += 2
		default:
			return true
		}
	}
	return false
}
