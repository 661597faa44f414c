package gate

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/lock"
)

// justification is the argument in which a model says what a call is for, where
// server.yaml demands it. It is part of the schema that clients see and of no pin;
// it is taken out before anything else is judged, and the server never sees it.
// What it says is the model's word: it is for the human who decides and for the
// record, and nothing is decided by it but whether it is there.
const justification = "_justification"

const (
	// leastSaid is shorter than any sentence, in whatever script; a target can be a
	// name alone.
	leastSaid, leastTarget = 8, 2
	// mostSaid is what a person reads at a glance on the page where they decide.
	mostSaid = 240
	// mostSaidBytes keeps each part whole in the record (audit.MaxDetailValue), as
	// JSON writes it. Only scripts of three bytes and more a character meet it first.
	mostSaidBytes = 500
	// leastDistinct is how many letters a sentence has: fewer are a key held down.
	leastDistinct = 3
)

// saidPart is one part of a justification, and what the model is told of it.
type saidPart struct {
	name, about string
	least       int
	of          func(*mcprun.Justification) *string
}

var saidParts = []saidPart{
	{"intent", "What this call is for: the task that makes it necessary, in one sentence.", leastSaid, func(j *mcprun.Justification) *string { return &j.Intent }},
	{"target", "What it touches: the file, record, host or people.", leastTarget, func(j *mcprun.Justification) *string { return &j.Target }},
	{"expected_effect", "What will be different afterwards, and whether that can be undone.", leastSaid, func(j *mcprun.Justification) *string { return &j.Effect }},
}

var justificationHint = fmt.Sprintf(`add the argument "%s": {"intent": "…", "target": "…", "expected_effect": "…"}: what the call is for, what it touches, what will be different; `+
	"plain text of one line each, at most %d characters, about this very call", justification, mostSaid)

// justificationSchema is what clients see. It means the same in every dialect.
func justificationSchema() jsontext.Value {
	out := []byte(`{"type":"object","description":"Why you make this call, for the person who may have to approve it. It is shown to them and recorded; the tool does not see it.","properties":{`)
	for i, p := range saidParts {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `%q:{"type":"string","description":%q,"minLength":%d,"maxLength":%d}`, p.name, p.about, p.least, mostSaid)
	}
	return append(out, `},"required":["intent","target","expected_effect"],"additionalProperties":false}`...)
}

// withJustification returns a definition whose input schema demands a justification
// besides. A call is valid by it exactly if the call without the justification is
// valid by the definition; where that cannot be had, the error says why.
func withJustification(def jsontext.Value, decoded map[string]any) (jsontext.Value, error) {
	root, _ := decoded["inputSchema"].(map[string]any)
	if why := unjustifiable(root); why != "" {
		return nil, fmt.Errorf("a justification cannot be added to its schema, which %s", why)
	}
	def, err := strictjson.Parse(def, strictjson.Data)
	if err != nil {
		return nil, err
	}
	input := strictjson.Member(def, "inputSchema")
	properties := strictjson.Member(input, "properties")
	if properties == nil {
		properties = jsontext.Value("{}")
	}
	input = withMember(input, "properties", withMember(properties, justification, justificationSchema()))
	input = withMember(input, "required", withElement(strictjson.Member(input, "required"), `"`+justification+`"`))
	return withMember(def, "inputSchema", input), nil
}

// unjustifiable says what in a schema would see one more argument, or make it mean
// something; "" if nothing would.
func unjustifiable(root map[string]any) string {
	g := readGraph("", root, func(string, jsontext.Pointer, string, ...any) {}) // what is wrong was found before
	top := g.nodes[0]
	for _, n := range g.nodes {
		if slices.ContainsFunc(n.edges, func(e edge) bool { return e.to == top }) {
			return "refers to itself as a whole"
		}
	}
	if draft, _ := dialectOf(root); draft == jsonschema.Draft7 && root["$ref"] != nil {
		return "is a $ref, beside which draft-07 reads nothing"
	}
	seen := map[*node]bool{}
	var visit func(n *node) string
	visit = func(n *node) string {
		if seen[n] {
			return ""
		}
		seen[n] = true
		if key := n.sees(justification, n == top); key != "" {
			return fmt.Sprintf("has %s at %q", key, string(n.at.AppendToken(key)))
		}
		for _, e := range n.edges {
			if e.relation != here && e.relation != choice && e.relation != negated {
				continue
			}
			if why := visit(e.to); why != "" {
				return why
			}
		}
		return ""
	}
	return visit(top)
}

// sees returns the keyword of a schema that would judge an object otherwise if it had
// a member of that name; "" if there is none. The root may close itself, since the
// name is added beside its own.
func (n *node) sees(name string, root bool) string {
	for _, key := range []string{"minProperties", "maxProperties", "propertyNames", "const", "enum"} {
		if _, ok := n.obj[key]; ok {
			return key
		}
	}
	for _, key := range []string{"additionalProperties", "unevaluatedProperties"} {
		if v, ok := n.obj[key]; ok && v != true && !root {
			return key
		}
	}
	for _, key := range []string{"properties", "required", "dependencies", "dependentRequired", "dependentSchemas"} {
		if mentions(n.obj[key], strictjson.Fold(name)) {
			return key
		}
	}
	for _, e := range n.edges {
		if e.relation == pattern {
			if re, ok := translate(e.token); !ok || re.MatchString(name) {
				return "patternProperties"
			}
		}
	}
	return ""
}

// mentions reports whether a keyword has this name among its keys, its words, or the
// words of its members.
func mentions(v any, folded string) bool {
	switch v := v.(type) {
	case string:
		return strictjson.Fold(v) == folded
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return mentions(item, folded) })
	case map[string]any:
		for key, inner := range v {
			if list, ok := inner.([]any); strictjson.Fold(key) == folded || ok && mentions(list, folded) {
				return true
			}
		}
	}
	return false
}

// withMember returns an object that strictjson wrote with this member: in the place
// of the one that it has of that name, or at the end. A nil value takes it out.
func withMember(object jsontext.Value, name string, value jsontext.Value) jsontext.Value {
	out := make(jsontext.Value, 1, len(object)+len(name)+len(value)+len(`"":,`))
	out[0] = '{'
	add := func(n []byte, v jsontext.Value) {
		if v == nil {
			return
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), n...), `":`...)
		out = append(out, v...)
	}
	found := false
	for n, v := range strictjson.Members(object) {
		if string(n) == name {
			found, v = true, value
		}
		add(n, v)
	}
	if !found {
		add([]byte(name), value)
	}
	return append(out, '}')
}

// withElement returns an array with one more element; nil counts as an empty one.
func withElement(array jsontext.Value, element string) jsontext.Value {
	inner := strings.TrimSuffix(strings.TrimPrefix(string(array), "["), "]")
	if inner != "" {
		inner += ","
	}
	return jsontext.Value("[" + inner + element + "]")
}

// Demands reports whether calls of a tool have to say what they are for.
func (p *Policy) Demands(name mcprun.ToolName) bool { return p.tools[name].grant.Justify }

// TakeJustification takes what a model says of a call out of the arguments, which the
// server is to get without it. Where none is demanded, or it is not fit to be shown,
// the arguments stay as they are, and Decide refuses the call.
func (p *Policy) TakeJustification(name mcprun.ToolName, args jsontext.Value) (rest jsontext.Value, said mcprun.Justification) {
	raw := strictjson.Member(args, justification)
	if raw == nil || !p.Demands(name) {
		return args, said
	}
	said, v := readJustification(raw)
	if v != nil {
		return args, mcprun.Justification{}
	}
	return withMember(args, justification, nil), said
}

// unjustified says why a call of a tool that demands a justification has none that is
// fit to be shown; nil if it has.
func (c Call) unjustified() *violation {
	raw := strictjson.Member(c.Arguments, justification)
	switch {
	case raw != nil:
		_, v := readJustification(raw)
		if v == nil { // somebody forgot to take it out
			v = refuseJustification("was not taken out of the arguments")
		}
		return v
	case c.Stated == (mcprun.Justification{}):
		return &violation{RuleUnjustified, justification + " is missing: this tool may be called only with a reason", justificationHint}
	}
	return checkJustification(c.Stated)
}

func refuseJustification(format string, args ...any) *violation {
	return &violation{RuleJustification, justification + " " + fmt.Sprintf(format, args...), justificationHint}
}

// readJustification reads what strictjson wrote and checks it.
func readJustification(raw jsontext.Value) (said mcprun.Justification, v *violation) {
	value, err := strictjson.Decode(raw)
	obj, ok := value.(map[string]any)
	if err != nil || !ok {
		return said, refuseJustification("is %s, not an object", typeName(value))
	}
	for _, p := range saidParts {
		text, ok := obj[p.name].(string)
		if !ok {
			return said, refuseJustification("has no text %s", p.name)
		}
		*p.of(&said) = text
	}
	if len(obj) > len(saidParts) {
		return said, refuseJustification("has names besides intent, target and expected_effect")
	}
	return said, checkJustification(said)
}

// checkJustification refuses what a person could not read as it is, and what says
// nothing at all. It cannot tell whether a word of it is true.
func checkJustification(said mcprun.Justification) *violation {
	var heard []string
	for _, p := range saidParts {
		text := *p.of(&said)
		if why := unfit(text, p.least); why != "" {
			return refuseJustification("%s %s", p.name, why)
		}
		if f := secrets.Judge(text); f.Verdict != argument.Pass {
			return refuseJustification("%s: %s", p.name, f.Reason)
		}
		plain := lettersOf(text)
		if slices.Contains(heard, plain) {
			return refuseJustification("says the same twice: %s is another of its parts again", p.name)
		}
		heard = append(heard, plain)
	}
	return nil
}

// unfit says why a text is no sentence that can be shown; "" if it may be one.
func unfit(text string, least int) string {
	n := utf8.RuneCountInString(strings.TrimSpace(text))
	quoted, err := jsontext.AppendQuote(nil, text)
	switch {
	case err != nil:
		return "is not UTF-8"
	case n < least:
		return fmt.Sprintf("has %d characters; at least %d say something", n, least)
	case utf8.RuneCountInString(text) > mostSaid:
		return fmt.Sprintf("has more than %d characters", mostSaid)
	case len(quoted)-len(`""`) > mostSaidBytes:
		return fmt.Sprintf("has %d bytes; at most %d", len(quoted)-len(`""`), mostSaidBytes)
	}
	for _, r := range text {
		if kind := lock.Hidden(r); kind == "control" || kind == "bidi control" || r == 0x2028 || r == 0x2029 {
			return fmt.Sprintf("holds the %s character U+%04X", kind, r)
		}
	}
	if why := hiddenText(text); why != "" {
		return "holds the " + why
	}
	if why := padding(text); why != "" {
		return "has " + why
	}
	if letters := lettersOf(text); distinct(letters) < min(least-1, leastDistinct) {
		return "is no words"
	}
	return ""
}

// lettersOf is a text without all that is no letter or digit, in one case.
func lettersOf(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

func distinct(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}
