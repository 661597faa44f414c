package starter

import (
	"regexp"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/command"
	"github.com/mcprun/mcprun/gate/argument/sql"
	"github.com/mcprun/mcprun/gate/argument/words"
)

// subject is one tool while it is looked at.
type subject struct {
	around
	tool   mcprun.ToolName
	name   []string // its words
	about  string   // its description
	writes bool     // it changes something, as far as is known
	runs   map[string]string
	git    bool // it drives the program, or a host of repositories
	local  bool // it drives the program
}

// The words by which arguments name what they hold; the last word of a name counts.
const (
	pathNames    = "path file filename filepath pathname dir directory folder cwd workdir worktree root"
	eitherNames  = "source src destination dest dst target output out from to input" // paths where a tool moves files
	movesFiles   = "file files move copy rename folder directory symlink link"
	urlNames     = "url uri link href endpoint webhook website"
	globNames    = "pattern glob exclude include ignore filter grep regex regexp match"
	proseNames   = "message body title description text content comment note reason subject summary prompt query question value old new data"
	refNames     = "branch ref revision rev commit tag sha oid"
	maybeRef     = "target source object base head upstream onto point merged from to name"
	sqlNames     = "table column field view index schema database"
	mailNames    = "email mail recipient cc bcc to"
	mailTools    = "mail email send invite share"
	browserTools = "browser navigate"
)

var (
	saysPath     = regexp.MustCompile(`(?i)^(the|an?|optional|absolute|relative|full|target|local|output|input|current|new|specific|array|list|of|view|show|[ ,:])*(file|directory|folder|working directory|path)s?( ?paths?| ?names?| to\b| of\b| where\b| from\b|$|[ .,(])`)
	saysURL      = regexp.MustCompile(`(?i)^(the|an?|optional|remote|target|original|full|base|git|repository|image|web|page|pdf|http|https|[ ,:/])*(urls?|uris?)\b`)
	saysGlob     = regexp.MustCompile(`(?i)\b(glob|pattern|regex|regular expression)`)
	saysRef      = regexp.MustCompile(`(?i)\b(commits?|branch|tags?|revisions?|refs?|reference|hash)\b`)
	saysRelative = regexp.MustCompile(`(?i)\b(relative|resolved against|repository root|workspace root)\b`)
	isHash       = regexp.MustCompile(`(?i)^sha of|blob sha`)
)

// classify says what a leaf must be, with why; a zero Argument is free text, about
// which its kind says nothing.
func (s subject) classify(l leaf) Argument {
	a := Argument{At: l.at}
	switch kind, runs := s.runs[l.top]; {
	case l.open:
		return a
	case runs && (l.at == l.top || l.at == "/"+l.top+"/*"):
		return s.interpreted(l, kind)
	case s.dialect != 0 && l.is("query sql statement select") && hasAny(s.name, "execute exec run query sql view select") != "":
		return s.interpreted(l, "SQL")
	case s.dialect != 0 && l.is(sqlNames) || s.dialect != 0 && l.is("name") && hasAny(s.name, sqlNames) != "":
		a.Check, a.Why = mustPattern(`[\pL_%][\pL\pN_%.$]*`), "is pasted into SQL: a plain name"
	case l.packed:
		return a
	case s.isURL(l):
		spec, why, decide := s.web(s.tool, hasAny(s.name, browserTools) != "")
		a.Check, a.Why, a.Decide = spec, why, decide
	case s.isMail(l):
		a.Check, a.Why = words.Email{Unlisted: argument.Hold}, "names who gets it"
		a.Decide = "whom may it write to? list the domains: email: {domains: [example.com]}; until then a person is asked"
	case s.isRemote(l):
		a.Check, a.Why = mustPattern(`[A-Za-z0-9][A-Za-z0-9._/-]*`), "names a remote that is configured; an address or an option could run a program"
	case s.isRef(l):
		a.Check, a.Why = words.Ref{Revisions: !l.is("branch tag name") || saysRef.MatchString(l.about) && strings.Contains(l.about, "commit"), Ranges: hasAny(s.name, "diff log") != ""}, "names a git reference, and no option"
	case s.isPath(l):
		spec, why, decide := s.below(s.writes && !l.is("source src from input"), s.takesRelative(l))
		spec.Globs = saysGlob.MatchString(l.about)
		a.Check, a.Why, a.Decide = spec, why, decide
	case l.is(globNames):
		a.Check, a.Why = words.Text{MaxBytes: maxGlob}, "selects names: on one line, and no longer than a person writes"
	case s.local && !l.is(proseNames) && l.format == "":
		a.Check, a.Why = mustPattern(`([^-].*)?`), "git would take a dash at the beginning for an option"
	}
	return a
}

// maxGlob is more than any pattern that a person wrote.
const maxGlob = 512

func mustPattern(expression string) words.Pattern {
	p, err := words.ParsePattern(expression)
	if err != nil {
		panic(err) // those above are constants
	}
	return p
}

// interpreted is about text that something runs.
func (s subject) interpreted(l leaf, kind string) Argument {
	a := Argument{At: l.at}
	switch {
	case kind == "SQL" && s.dialect != 0:
		a.Check, a.Why = sql.ReadOnly(s.dialect), "holds SQL: reads pass, changes of data wait for a person, all else is refused"
	case kind == "SQL":
		a.Why, a.Decide = "holds SQL", "which database? sql: {dialect: postgres} or sqlite lets reads pass; without it every call waits for a person"
	case kind == "a shell command":
		a.Check, a.Why = command.Spec{Others: argument.Hold, Pipes: true, Globs: true, Sequences: true}, "holds a shell command: what destroys, escapes or steals is refused, all else waits for a person"
		a.Decide = "which programs may run without asking? programs: {ls: {}, git: {subcommands: [status, log]}}"
	default:
		a.Why, a.Decide = "holds "+kind, "nothing here judges "+kind+"; every call waits for a person unless you say unchecked, with a reason"
	}
	return a
}

func (s subject) isURL(l leaf) bool {
	return l.format == "uri" || l.format == "url" || l.format == "iri" || l.is(urlNames) && !l.is("link") ||
		saysURL.MatchString(l.about) || strings.HasPrefix(l.value, "https://") || strings.HasPrefix(l.value, "http://")
}

func (s subject) isMail(l leaf) bool {
	if l.format == "email" {
		return hasAny(s.name, mailTools) != "" || s.wayOut(s.tool, false) != ""
	}
	return l.is(mailNames) && hasAny(s.name, mailTools) != "" && (!l.is("to") || l.about == "" || strings.Contains(strings.ToLower(l.about), "mail"))
}

func (s subject) isRemote(l leaf) bool {
	return s.local && (l.is("remote") || l.is("name") && strings.Contains(strings.ToLower(l.about), "remote name"))
}

func (s subject) isRef(l leaf) bool {
	if !s.git || isHash.MatchString(l.about) {
		return false
	}
	named := l.is(refNames) || l.is("name point") && hasAny(l.name, refNames+" start") != ""
	return named || s.local && l.is(maybeRef) && saysRef.MatchString(l.about) && !l.is(proseNames)
}

func (s subject) isPath(l leaf) bool {
	switch {
	case l.is(proseNames):
		return false
	case l.is(pathNames), l.format == "path", l.format == "file-path":
		return true
	case l.is(globNames):
		return false
	case l.is(eitherNames) && hasAny(s.name, movesFiles) != "":
		return true
	}
	return saysPath.MatchString(l.about)
}

// takesRelative reports whether a relative path means one below a root: the tool
// says so, has one as its default, or hands it to git, for which it is in the repository.
func (s subject) takesRelative(l leaf) bool {
	return s.local || saysRelative.MatchString(l.about) || l.value != "" && !strings.HasPrefix(l.value, "/")
}
