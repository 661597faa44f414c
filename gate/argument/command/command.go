// Package command judges an argument that a shell runs, or a program with its
// arguments: (text, [Spec]) → finding. The text is parsed as bash reads it, and
// whatever a POSIX shell would read differently is refused, so that one reading
// holds for both. What does not parse is refused.
//
// There are two parts. A fixed list is refused under every spec, since no tool
// needs it on behalf of a model: deleting the system, opening a reverse shell,
// reading keys, and so on; those rules begin with "command.never.". The rest is
// the spec's: which programs, with which subcommands and without which options,
// and which features of the shell. Every program and builtin counts, also those
// behind sudo, env, timeout or sh -c, in substitutions and in branches.
//
// An option or subcommand by which a program runs another one, or code that is
// written in the call, is held even if the program is listed: find -exec, git -c,
// tar -I, python -c, npm run, make. The spec opens them one at a time: an option by
// [Program.Opens]; a subcommand, a target of make, a script of npm ("run build") or
// the program behind xargs by [Program.Subcommands].
//
// What it does not protect: it judges text. A listed program can do whatever the
// options that are left to it allow, and whatever its own configuration and the
// files it is given make it do: a test runs the project's code, an alias may run
// anything. Variables and globs are unknown values; where a value is assigned in
// the same text it is followed, elsewhere only the written part is judged. The
// fixed list knows names and spellings that were published; it is a net under the
// spec and not a replacement for it, and a copy of rm under another name is not
// rm here. Text that merely mentions a secret file is refused like one that reads
// it. zsh and fish are not modelled, nor is a tool that changes the text before a
// shell gets it.
package command

import (
	"fmt"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

const (
	// maxText is far above what people type; longer ones are scripts, which nobody
	// judges by reading.
	maxText = 8 << 10
	// maxWords bounds the work after parsing, over all nested texts together.
	// A word counts again for each program that gets it, and each round of a loop.
	maxWords = 1024
	// maxDepth bounds groups, substitutions, wrappers and sh -c inside each other. Two
	// or three are in use.
	maxDepth = 12
	// maxNested bounds what the parser recurses on, before it does.
	maxNested = 200
	// maxDirs bounds how many changes of folder are followed.
	maxDirs = 8
	// maxList bounds the lists of a spec; longer ones are generated, and nobody reads
	// them.
	maxList = 256
)

// Spec says which commands are accepted. The zero value accepts none.
type Spec struct {
	// Programs that may run, builtins of the shell (cd, echo, test) among them.
	Programs []Program
	// Others is the verdict on programs that are not listed: Refuse or Hold.
	Others argument.Verdict

	// Features of the shell. 2>&1 and /dev/null need no grant.
	Pipes        bool // a | b
	Redirections bool // files and here-documents
	Substitution bool // $(a); what is inside is judged as a command
	Sequences    bool // a; b, a && b, lines, groups, if, for
	Background   bool // a &
	Variables    bool // $a, ${a}, a=b
	Globs        bool // *, ? and [ab] outside quotes
}

// Program is one program that may run.
type Program struct {
	// Name as it is written in the command. One with a slash allows that path alone;
	// one without allows no path.
	Name string
	// Forbidden are options that are refused: -c also inside a cluster (-xzc) and with
	// its value attached, --exec also shortened (--ex) and with =value.
	Forbidden []string
	// Subcommands, if there are any, are what the first argument that is no option may
	// be. One with several words ("run build") stands for that beginning.
	Subcommands []string
	// Opens are options that pass although the program runs other programs or code by
	// them. "script" opens what is judged as a language or a line of its own: the
	// program of awk and sed, the options of git, commands of a database client. A
	// program that the option names must be listed all the same.
	Opens []string
}

// Judge says whether a shell may be given text.
func (s Spec) Judge(text string) argument.Finding {
	if f := checkText(text, maxText); f.Verdict != argument.Pass {
		return f
	}
	j := judge{spec: &s, found: argument.Passed}
	j.text(text, context{})
	return j.found
}

// JudgeArgs says whether argv, a program and its arguments, may run without a
// shell between. If the joined text is something a shell must never be given it is
// refused too: half of all tools join their arguments.
func (s Spec) JudgeArgs(argv []string) argument.Finding {
	if len(argv) == 0 || argv[0] == "" {
		return refuse("command.empty", "there is no program", "name the program first")
	}
	if len(argv) > maxWords/2 { // each counts twice where they are joined
		return tooLong()
	}
	total := 0
	words := make([]word, len(argv))
	for i, a := range argv {
		if total += len(a) + 1; total > maxText {
			return tooLong()
		}
		if a == "" {
			continue
		}
		if f := checkText(a, maxText); f.Verdict != argument.Pass && f.Rule != "command.empty" {
			return f
		}
		words[i] = word{text: a}
	}
	j := judge{spec: &s, found: argument.Passed}
	j.unit(unit{args: words})
	if joined := strings.Join(argv, " "); strings.ContainsAny(joined, ";|&<>$`\n~*") {
		j = judge{spec: &s, found: j.found, neverOnly: true}
		j.text(joined, context{})
	}
	return j.found
}

// judge carries what is known while one text is walked.
type judge struct {
	spec      *Spec
	found     argument.Finding
	neverOnly bool              // report nothing but the fixed list
	vars      map[string]string // assigned once, to a value that is written out
	assigned  map[string]bool   // assigned at all
	dirs      []string          // folders that cd went to
	fetched   []string          // what a download may have written
	written   []string          // what was redirected to
	words     int
}

// context is where a command stands.
type context struct {
	depth int
	stdin bool // its input is a pipe or a redirection
}

// report keeps the strictest finding, the fixed list before others, else the first.
func (j *judge) report(f argument.Finding) {
	never := isNever(f)
	if j.neverOnly && !never {
		return
	}
	if f.Verdict < j.found.Verdict || never && !isNever(j.found) {
		j.found = f
	}
}

func isNever(f argument.Finding) bool { return strings.HasPrefix(f.Rule, "command.never.") }

func (j *judge) refuse(rule, reason, hint string) { j.report(refuse(rule, reason, hint)) }

func (j *judge) hold(rule, reason, hint string) {
	j.report(argument.Finding{Verdict: argument.Hold, Rule: rule, Reason: reason, Hint: hint})
}

// deeper returns the context inside c, or false with a finding if that is too deep.
func (j *judge) deeper(c context) (context, bool) {
	c.depth++
	if c.depth > maxDepth {
		j.refuse("command.depth", fmt.Sprintf("commands are nested in each other more than %d deep", maxDepth), "write them one after the other")
		return c, false
	}
	return c, true
}

// count adds to the work that was done, and reports whether there may be more.
func (j *judge) count(n int) bool {
	if j.words += n; j.words > maxWords {
		j.found = argument.Worse(j.found, tooLong())
	}
	return j.words <= maxWords
}

func refuse(rule, reason, hint string) argument.Finding {
	return argument.Finding{Rule: rule, Reason: reason, Hint: hint}
}

func tooLong() argument.Finding {
	return refuse("command.long", fmt.Sprintf("the command has more than %d bytes or %d words", maxText, maxWords), "split it")
}
