package starter

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/paths"
	"github.com/mcprun/mcprun/gate/argument/sql"
	"github.com/mcprun/mcprun/gate/argument/urls"
	"github.com/mcprun/mcprun/gate/argument/words"
	"github.com/mcprun/mcprun/gate/when"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

// propose looks at one tool.
func (a around) propose(pinned lock.Tool) Tool {
	t := Tool{Name: pinned.Name}
	def := decode(pinned.Definition)
	s := subject{around: a, tool: pinned.Name, name: gate.Words(string(pinned.Name)), runs: gate.Interpreted(pinned.Definition)}
	s.about, _ = def["description"].(string)
	s.local = a.speaksOf("git", s.name)
	s.git = s.local || a.speaksOf("github gitlab gitea bitbucket", s.name)
	t.Risk, t.Why = gate.Propose(pinned.Definition)
	s.writes = t.Risk < mcprun.Low && !(len(s.name) > 0 && hasAny(s.name, looks) != "") || hasAny(s.name, changes) != ""
	if s.dialect == 0 {
		s.dialect, _ = dialectIn(wordsOf(s.about))
	}
	places, whole := leaves(def)
	free := t.check(s, places)
	if !whole {
		t.Risk, t.Why = mcprun.High, "it takes more than can be judged argument by argument"
	}
	t.weigh(s, def, free)
	if free {
		t.Arguments = append(t.Arguments, Argument{At: "*", Check: words.Secrets{}, Why: "what it is told goes to somebody else's program: no tokens and keys"})
	}
	if t.Risk > mcprun.High {
		t.Rules = dangers(def)
	}
	if s.writes {
		t.DryRun = dryRun(def)
	}
	if s.dialect != 0 {
		t.Rules = append(t.Rules, plainKeys(places)...)
	}
	t.Marks = s.marks(t, pinned, free)
	if t.Risk == mcprun.High && t.Decide == "" && strings.HasPrefix(t.Why, "nothing says") {
		t.Decide = "what does it do? low if it only looks, medium if what it changes can be changed back"
	}
	return t
}

// The words of names of tools that look, and of those that change something whatever
// else they do.
const (
	looks   = "get list read search find show describe status log diff view count query lookup check inspect info stat tree blame reflog head tail cat ls grep glob exists"
	changes = "write create add edit update set insert save store move rename copy put patch modify append replace delete remove mkdir commit init clone checkout merge reset stash"
)

// check ties checks to the leaves, and says whether there is text that nothing keeps
// to a form.
func (t *Tool) check(s subject, places []leaf) (free bool) {
	for _, l := range places {
		a := s.classify(l)
		switch a.Check.(type) {
		case paths.Spec, words.Ref, words.Email:
		default: // an address, a command and a pattern carry text of any kind
			free = true
		}
		if a.Check != nil || a.Decide != "" {
			t.Arguments = append(t.Arguments, a)
		}
	}
	return free
}

// weigh corrects the class where more is known than the name says.
func (t *Tool) weigh(s subject, def map[string]any, free bool) {
	changed := hasAny(s.name, changes) != "" || saysItChanges(def)
	switch out := s.wayOut(t.Name, false); {
	case s.readsByCheck(*t):
		t.Risk, t.Why = mcprun.Low, "the check of its SQL lets only reads pass"
	case t.goesWhereItMay(s):
		t.Risk, t.Why = mcprun.Medium, "it opens addresses, and its check keeps them to named hosts"
	case t.Risk <= mcprun.High:
	case changed && free && s.speaksOf(remembers, nil):
		t.Risk, t.Why = mcprun.High, "what it is told is read again in later sessions"
	case changed && free && out != "" && len(s.roots) == 0:
		t.Risk, t.Why = mcprun.High, "it writes to "+out+", and nothing of this machine is mounted that it could mean instead"
	}
}

// remembers are the words by which servers are named that keep text for a model.
const remembers = "memory memories remember knowledge"

func saysItChanges(def map[string]any) bool {
	notes, _ := def["annotations"].(map[string]any)
	reads, said := notes["readOnlyHint"].(bool)
	return said && !reads
}

// goesWhereItMay reports a tool that is high for opening addresses, of which a check
// lets only listed hosts pass.
func (t *Tool) goesWhereItMay(s subject) bool {
	if hasAny(s.name, "navigate goto visit browse") == "" || t.Risk != mcprun.High || len(s.runs) > 0 {
		return false
	}
	kept := false
	for _, a := range t.Arguments {
		if spec, ok := a.Check.(urls.Spec); ok {
			kept = kept || spec.Unlisted == argument.Refuse
		}
	}
	return kept
}

// readsByCheck reports whether a tool does nothing but run SQL that a check reads.
func (s subject) readsByCheck(t Tool) bool {
	judged := false
	for _, a := range t.Arguments {
		_, is := a.Check.(sql.Spec)
		judged = judged || is
	}
	const plain = " execute exec run sql query queries statement db database select read data "
	for _, w := range s.name {
		if !strings.Contains(plain, " "+w+" ") && databases[w] == 0 {
			judged = false
		}
	}
	return judged && len(s.runs) <= 1
}

// marks are what the gate would not see by itself.
func (s subject) marks(t Tool, pinned lock.Tool, free bool) []Mark {
	server := *s.server
	server.Tools = map[mcprun.ToolName]manifest.Tool{t.Name: t.grant()}
	policy, _ := gate.NewPolicy(server.Name, &lock.File{Server: server.Name, Tools: []lock.Tool{pinned}}, gate.Grants(&server))
	known := policy.Traits(t.Name)
	var marks []Mark
	if w := s.brings(known); w != "" {
		marks = append(marks, Mark{"untrusted", w})
	}
	if w := hasAny(s.name, privateWords); known.Private == "" && w != "" && hasAny(s.name, changes) == "" {
		marks = append(marks, Mark{"private", fmt.Sprintf("its name says %q", w)})
	}
	if out := s.wayOut(t.Name, true); known.Sends == "" && free && out != "" {
		marks = append(marks, Mark{"sends", "what it is asked can go to " + out + ", and a part of that name may be anybody's"})
	}
	return marks
}

const (
	// privateWords name what is nobody else's business.
	privateWords = "env secret secrets password passwords credential credentials mail mails email emails inbox calendar contact contacts memory graph node nodes clipboard screenshot cookie cookies"
	// bringsWords name tools that answer with what somebody wrote, and catalogueWords
	// those that answer with lists and figures.
	bringsWords    = "read get show log diff blame reflog fetch search find grep cat query execute run open view history contents content download head tail navigate snapshot"
	catalogueWords = "ls list info stat status tree exists size sizes count version directories directory tables schema describe sum"
	// keepsWords name what others, or the model itself, wrote earlier.
	keepsWords = "graph node nodes entities memory note notes sql record records rows"
)

// brings says why what a tool answers was written by strangers, "" if that is not so
// or not to be seen. The mark is worth having even where the gate sees it: it puts the
// answer between marks that say so.
func (s subject) brings(known gate.Traits) string {
	switch {
	case hasAny(s.name, changes) != "":
		return ""
	case known.Untrusted != "":
		return "it answers with what strangers wrote"
	case hasAny(s.name, bringsWords) == "" || hasAny(s.name, catalogueWords) != "":
		return ""
	case len(s.server.Egress) > 0:
		return "it answers with what comes from outside, whoever wrote it"
	case len(s.roots) > 0:
		return "it answers with what is in files, whoever wrote them"
	case hasAny(s.name, keepsWords) != "":
		return "it answers with what was kept earlier, whoever wrote it"
	}
	return ""
}

// The words of switches that make a mild tool dangerous, and of modes that do.
const (
	switches = "force overwrite delete purge hard permanent recursive mirror insecure verify hooks confirmed"
	modes    = "delete remove drop clear hard purge wipe reset force overwrite"
)

// dangers are rules for the switches of a tool that is not high by itself.
func dangers(def map[string]any) []Rule {
	input, _ := def["inputSchema"].(map[string]any)
	properties, _ := input["properties"].(map[string]any)
	var out []Rule
	add := func(name, condition, why string) {
		c, err := when.Compile(condition)
		if err == nil { // a name that CEL cannot quote is left to the class
			out = append(out, Rule{when.Rule{When: c, Risk: mcprun.High, Reason: why}, "a switch that makes it do more harm"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property, _ := properties[name].(map[string]any)
		arg, has := celArgument(name)
		parts := gate.Words(name)
		switch {
		case property["type"] == "boolean" && hasAny(parts, switches) != "":
			add(name, has+" && "+arg+" == true", name+" is set")
		case property["type"] == "string":
			if bad := chosen(property, modes); len(bad) > 0 {
				add(name, fmt.Sprintf("%s && %s in [%s]", has, arg, strings.Join(bad, ", ")), name+" says that something is thrown away")
			}
		}
	}
	return out
}

// dryRun is the switch by whose name a tool only says what it would do.
func dryRun(def map[string]any) string {
	input, _ := def["inputSchema"].(map[string]any)
	properties, _ := input["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property, _ := properties[name].(map[string]any)
		switch strings.Join(gate.Words(name), "") {
		case "dryrun", "preview", "simulate":
			if property["type"] == "boolean" {
				return name
			}
		}
	}
	return ""
}

// plainKeys are rules for objects whose names go into SQL as names of columns: no check
// of values sees them.
func plainKeys(places []leaf) []Rule {
	var out []Rule
	for _, l := range places {
		if !l.open || l.at != l.top {
			continue
		}
		arg, has := celArgument(l.top)
		c, err := when.Compile(fmt.Sprintf(`%s && !%s.all(k, k.matches("^[A-Za-z_][A-Za-z0-9_ ]*$"))`, has, arg))
		if err == nil {
			out = append(out, Rule{when.Rule{When: c, Risk: mcprun.Block, Reason: "a name in " + l.top + " is not a plain one", Hint: "use names of columns"}, "its names are pasted into SQL"})
		}
	}
	return out
}

// chosen are the choices of an enum that are in the list, as CEL has them.
func chosen(property map[string]any, list string) []string {
	var out []string
	values, _ := property["enum"].([]any)
	for _, v := range values {
		if text, ok := v.(string); ok && hasAny(gate.Words(text), list) != "" {
			out = append(out, celText(text))
		}
	}
	return out
}

var plainName = regexp.MustCompile(`^[a-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*$`)

// celArgument is an argument in CEL, and the question whether it is there.
func celArgument(name string) (arg, has string) {
	if plainName.MatchString(name) {
		return "args." + name, "has(args." + name + ")"
	}
	return "args[" + celText(name) + "]", celText(name) + " in args"
}

func celText(s string) string { return strconv.QuoteToASCII(s) }
