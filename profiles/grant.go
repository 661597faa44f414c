package profiles

import (
	"fmt"
	"slices"
	"sync"

	"github.com/mcprun/mcprun"
)

// Grant is the least that an own profile has to say for a call to be allowed.
type Grant struct {
	OK     bool
	Where  []Condition // none: the whole call
	Why    string      // not OK: why no profile can allow it
	Answer Answer      // not OK: what the built-in profiles answer; empty: EPERM
}

// GrantFor finds the narrowest rule that allows a call with these arguments on goarch and
// that a profile may have: one of the built-in ones where such is there, cut down to what was
// asked for. It looks at numbers alone, as a filter does.
func GrantFor(goarch, call string, raw [6]uint64) (Grant, error) {
	t, err := grantTable()
	if err != nil {
		return Grant{}, err
	}
	limit, bounded := t.bounds[call]
	answer := t.answers[call]
	switch {
	case t.never[call] != "":
		return Grant{Why: t.never[call]}, nil
	case limit.closed != "":
		return Grant{Why: limit.closed, Answer: answer}, nil
	case answer != "":
		return Grant{Why: "programs do without, as on an older system", Answer: answer}, nil
	}
	args, err := t.judgedArgs(call, raw)
	if err != nil {
		return Grant{}, err
	}
	for _, r := range t.guarded[call] {
		if r.on(goarch) && !r.against(args) {
			return Grant{OK: true, Where: r.narrowedTo(args)}, nil
		}
	}
	if !bounded && len(t.guarded[call]) == 0 {
		return Grant{OK: true}, nil
	}
	where, err := exactly(call, args)
	if err != nil {
		return Grant{}, err
	}
	if why := limit.refuses(where); why != "" {
		if where = limit.narrowed(args); where == nil {
			return Grant{Why: why}, nil
		}
	}
	return Grant{OK: true, Where: where}, nil
}

type grants struct {
	never   map[string]string
	bounds  map[string]bound
	answers map[string]Answer
	guarded map[string][]Rule // that allow a call for certain arguments only
}

var grantTable = sync.OnceValues(func() (*grants, error) {
	t := &grants{answers: map[string]Answer{}, guarded: map[string][]Rule{}}
	var err error
	if t.never, err = Never(); err != nil {
		return nil, err
	}
	if t.bounds, err = bounds(); err != nil {
		return nil, err
	}
	for _, name := range Names() {
		p, err := Load(name)
		if err != nil {
			return nil, err
		}
		for _, r := range p.rules {
			switch {
			case r.Verdict == mcprun.Deny:
				t.answers[r.Call] = r.Answer
			case len(r.Where) > 0:
				t.guarded[r.Call] = append(t.guarded[r.Call], r)
			}
		}
	}
	return t, nil
})

// judgedArgs are the arguments of a call that some profile or bound may look at. What nobody
// judges must not make each call another one.
func (t *grants) judgedArgs(call string, raw [6]uint64) (map[uint]Value, error) {
	known, err := ArgumentsOf(call)
	if err != nil {
		return nil, err
	}
	out := map[uint]Value{}
	for _, arg := range t.judged(call) {
		v := Value{fmt.Sprint(uint32(raw[arg])), uint32(raw[arg])}
		for _, a := range known {
			if a.Arg == arg {
				v.Name = a.written(v.Value, raw)
			}
		}
		out[arg] = v
	}
	return out, nil
}

// judged lists them; some more than once.
func (t *grants) judged(call string) []uint {
	var out []uint
	for _, r := range t.guarded[call] {
		for _, c := range r.Where {
			out = append(out, c.Arg)
		}
	}
	for _, n := range t.bounds[call].never {
		out = append(out, n.Arg)
	}
	for _, alternative := range t.bounds[call].within {
		for _, c := range alternative {
			out = append(out, c.Arg)
		}
	}
	return out
}

// narrowedTo is when the rule holds, with only those of the listed values that were seen.
// Conditions on single bits stay as they are: their other bits mean nothing.
func (r Rule) narrowedTo(args map[uint]Value) []Condition {
	out := r.clone().Where
	for i, c := range out {
		v, ok := args[c.Arg]
		if ok && len(c.Any) > 1 {
			out[i].Any = slices.DeleteFunc(c.Any, func(w Value) bool { return w.Value != v.Value&c.Mask })
		}
	}
	return out
}

// Merged puts conditions of a call together where they differ in the values of a single
// argument, so that a profile has one line for them. Lines that can be had only apart stay
// so: sockets for TCP and those for UDP, for instance.
func Merged(call string, all [][]Condition) ([][]Condition, error) {
	t, err := grantTable()
	if err != nil {
		return nil, err
	}
	return t.bounds[call].merged(all), nil
}

func (b bound) merged(all [][]Condition) [][]Condition {
	var out [][]Condition
next:
	for _, where := range all {
		for i, have := range out {
			if joined, ok := join(have, where); ok && b.refuses(joined) == "" {
				out[i] = joined
				continue next
			}
		}
		out = append(out, Rule{Where: where}.clone().Where)
	}
	if len(out) < len(all) {
		return b.merged(out)
	}
	return out
}

func join(a, b []Condition) ([]Condition, bool) {
	if len(a) != len(b) {
		return nil, false
	}
	differs := -1
	for i := range a {
		if a[i].Arg != b[i].Arg || a[i].Mask != b[i].Mask {
			return nil, false
		}
		if !slices.Equal(a[i].Any, b[i].Any) {
			if differs >= 0 {
				return nil, false
			}
			differs = i
		}
	}
	out := Rule{Where: a}.clone().Where
	if differs >= 0 {
		for _, v := range b[differs].Any {
			if !slices.ContainsFunc(out[differs].Any, func(w Value) bool { return w.Value == v.Value }) {
				out[differs].Any = append(out[differs].Any, v)
			}
		}
		slices.SortFunc(out[differs].Any, func(x, y Value) int { return int(int64(x.Value) - int64(y.Value)) })
	}
	return out, true
}

// everyProgram are the calls that each program makes all the time, whatever it does, with
// those by which mcprun-init ends one: they are part of every learned profile, and not looked
// at while one is learned, for else the program would be slowed down tenfold.
var everyProgram = []string{
	"read", "write", "readv", "writev", "futex", "epoll_wait", "epoll_pwait", "epoll_ctl", "poll", "ppoll", "clock_gettime", "clock_nanosleep", "nanosleep", "gettid", "getpid",
	"sched_yield", "madvise", "mmap", "munmap", "mprotect", "brk", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group", "close", "kill", "tgkill",
}

// EveryProgram returns them, sorted.
func EveryProgram() []string { return slices.Sorted(slices.Values(everyProgram)) }

// Learning is the profile under which a server is watched: it allows what every program
// does, and leaves all else to whoever is told of it; what policy.yaml forbids too.
func Learning(never []Forbidden) (*Profile, error) {
	calls := slices.DeleteFunc(present(EveryProgram()), func(c string) bool {
		return slices.ContainsFunc(never, func(f Forbidden) bool { return f.Call == c })
	})
	p, faults := Own{Name: "learning", About: "what every program does", Allow: []Entry{{Calls: calls, Reason: "every program does this", Path: "allow"}}}.Build()
	if len(faults) > 0 {
		return nil, fmt.Errorf("the profile for learning: %v", faults)
	}
	return p, nil
}

// present leaves out what no architecture has.
func present(calls []string) []string {
	return slices.DeleteFunc(calls, func(c string) bool { _, ok := callTable()[c]; return !ok })
}

// neighbours are calls that libraries use for one another, from version to version and
// machine to machine: a profile with one of them should have the others.
var neighbours = [][]string{
	{"open", "openat"}, {"stat", "fstat", "lstat", "newfstatat", "statx"}, {"access", "faccessat", "faccessat2"}, {"readlink", "readlinkat"},
	{"rename", "renameat", "renameat2"}, {"unlink", "unlinkat", "rmdir"}, {"mkdir", "mkdirat"}, {"dup", "dup2", "dup3"}, {"pipe", "pipe2"},
	{"accept", "accept4"}, {"recvfrom", "recvmsg"}, {"sendto", "sendmsg"}, {"pread64", "preadv"}, {"pwrite64", "pwritev"}, {"getdents", "getdents64"},
	{"select", "pselect6"}, {"inotify_init", "inotify_init1"}, {"eventfd", "eventfd2"}, {"signalfd", "signalfd4"}, {"epoll_create", "epoll_create1"},
	{"getrlimit", "setrlimit", "prlimit64"}, {"wait4", "waitid"}, {"tkill", "tgkill"}, {"fork", "vfork", "clone"}, {"link", "linkat"}, {"symlink", "symlinkat"},
	{"utime", "utimes", "utimensat"}, {"uname"}, {"gettimeofday", "time"}, {"set_robust_list", "rseq"},
}

// Neighbours are the calls that stand for one that was seen on another system, as far as a
// built-in profile allows them whole.
func Neighbours(call string) []string {
	i := slices.IndexFunc(neighbours, func(group []string) bool { return slices.Contains(group, call) })
	if i < 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(neighbours[i]), func(c string) bool { return c == call || !wholeSomewhere()[c] })
}

// wholeSomewhere are the calls that some built-in profile allows without a condition.
var wholeSomewhere = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for _, name := range Names() {
		p, err := Load(name)
		if err != nil {
			continue // TestBuiltin holds that each can be read
		}
		for _, r := range p.rules {
			if r.Verdict == mcprun.Allow && len(r.Where) == 0 {
				out[r.Call] = true
			}
		}
	}
	return out
})
