package gate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// violation is why a value was refused, in words that let a model mend it.
type violation struct {
	rule   string
	reason string // what is wrong, and where
	hint   string // what would be accepted
}

// fault is one leaf of what the schema library reports.
type fault struct {
	at    string // JSON pointer into the value
	wrong string
	want  string
}

// maxFaults is how many faults a refusal names; a model that mends three learns
// of the others at the next try.
const maxFaults = 3

// explain words what is wrong with v. The library walks maps, so the faults are
// put in order: the same value gets the same words.
func explain(err *jsonschema.ValidationError, v any) *violation {
	faults := leaves(err, v)
	slices.SortFunc(faults, func(a, b fault) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.wrong, b.wrong), cmp.Compare(a.want, b.want))
	})
	faults = slices.Compact(faults)
	var wrong, want []string
	for _, f := range faults[:min(len(faults), maxFaults)] {
		at := "the whole value"
		if f.at != "" {
			at = shown(f.at)
		}
		wrong = append(wrong, at+" "+f.wrong)
		if f.want != "" {
			want = append(want, at+": "+f.want)
		}
	}
	if more := len(faults) - maxFaults; more > 0 {
		wrong = append(wrong, fmt.Sprintf("and %d more", more))
	}
	return &violation{rule: RuleSchemaInvalid, reason: strings.Join(wrong, "; "), hint: strings.Join(want, "; ")}
}

// leaves returns the faults that say something. Of alternatives that all failed
// it takes the one that came closest: with the fewest faults, and not merely of
// another type.
func leaves(err *jsonschema.ValidationError, v any) []fault {
	switch err.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		return closest(err, v)
	case *kind.Contains, *kind.MinContains, *kind.PropertyNames, *kind.ContentSchema:
		return []fault{word(err, v)}
	}
	if len(err.Causes) == 0 {
		return []fault{word(err, v)}
	}
	var out []fault
	for _, cause := range err.Causes {
		out = append(out, leaves(cause, v)...)
	}
	return out
}

func closest(err *jsonschema.ValidationError, v any) []fault {
	here := pointer(err.InstanceLocation)
	none := fault{at: here, wrong: "fits none of the forms that are accepted"}
	if k, ok := err.ErrorKind.(*kind.OneOf); ok && len(k.Subschemas) > 0 {
		return []fault{{at: here, wrong: "fits more than one of the forms, and must fit one only"}}
	}
	var wants []string
	var best []fault
	for _, cause := range err.Causes {
		faults := leaves(cause, v)
		if len(faults) == 1 && faults[0].at == here && faults[0].want != "" {
			wants = append(wants, faults[0].want)
			continue
		}
		if best == nil || len(faults) < len(best) {
			best = faults
		}
	}
	if best != nil {
		return best
	}
	none.want = shorten(strings.Join(wants, ", or "))
	return []fault{none}
}

// word says one fault. Values of the caller are repeated up to maxShown bytes.
func word(err *jsonschema.ValidationError, v any) fault {
	f := fault{at: pointer(err.InstanceLocation)}
	got := brief(lookup(v, err.InstanceLocation))
	switch k := err.ErrorKind.(type) {
	case *kind.Type:
		f.wrong, f.want = "is "+got, strings.Join(k.Want, " or ")
	case *kind.Enum:
		f.wrong, f.want = "is "+got+", which is not one of the values", "one of "+values(k.Want)
	case *kind.Const:
		f.wrong, f.want = "is "+got, values([]any{k.Want})
	case *kind.Required:
		f.wrong, f.want = "lacks "+shorten(strings.Join(k.Missing, ", ")), "with "+shorten(strings.Join(k.Missing, ", "))
	case *kind.AdditionalProperties:
		slices.Sort(k.Properties)
		f.wrong = "has names that are not allowed: " + shown(strings.Join(k.Properties, ", "))
	case *kind.FalseSchema:
		f.wrong = "is not allowed"
	case *kind.Pattern:
		f.wrong, f.want = "is "+got+", which does not match", "text that matches "+shorten(k.Want)
	case *kind.Format:
		f.wrong, f.want = "is "+got, "text in the format "+shorten(k.Want)
	case *kind.MinLength:
		f.wrong, f.want = fmt.Sprintf("has %d characters", k.Got), fmt.Sprintf("at least %d characters", k.Want)
	case *kind.MaxLength:
		f.wrong, f.want = fmt.Sprintf("has %d characters", k.Got), fmt.Sprintf("at most %d characters", k.Want)
	case *kind.MinItems:
		f.wrong, f.want = fmt.Sprintf("has %d elements", k.Got), fmt.Sprintf("at least %d elements", k.Want)
	case *kind.MaxItems:
		f.wrong, f.want = fmt.Sprintf("has %d elements", k.Got), fmt.Sprintf("at most %d elements", k.Want)
	case *kind.UniqueItems:
		f.wrong, f.want = fmt.Sprintf("has equal elements at %d and %d", k.Duplicates[0], k.Duplicates[1]), "elements that differ"
	case *kind.Minimum:
		f.wrong, f.want = "is "+got, "at least "+number(k.Want)
	case *kind.Maximum:
		f.wrong, f.want = "is "+got, "at most "+number(k.Want)
	case *kind.ExclusiveMinimum:
		f.wrong, f.want = "is "+got, "more than "+number(k.Want)
	case *kind.ExclusiveMaximum:
		f.wrong, f.want = "is "+got, "less than "+number(k.Want)
	case *kind.MultipleOf:
		f.wrong, f.want = "is "+got, "a multiple of "+number(k.Want)
	case *kind.PropertyNames:
		f.wrong = "has the name " + shown(k.Property) + ", which is not allowed"
	case *kind.Not:
		f.wrong = "is " + got + ", which is excluded"
	default:
		f.wrong = "breaks the rule " + shorten(err.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
	}
	return f
}

func lookup(v any, at []string) any {
	for _, token := range at {
		v, _ = child(v, token)
	}
	return v
}

// brief says what v is, with its value where that is short.
func brief(v any) string {
	switch v := v.(type) {
	case string:
		return "the string " + shown(v)
	case json.Number:
		return "the number " + strings.Trim(shown(string(v)), `"`)
	case bool:
		return fmt.Sprintf("the boolean %v", v)
	}
	return typeName(v)
}

// values lists what a schema accepts.
func values(list []any) string {
	var out []string
	for _, v := range list {
		text, err := json.Marshal(v)
		if err != nil {
			continue
		}
		out = append(out, string(text))
	}
	return shorten(strings.Join(out, ", "))
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return shorten(r.Num().String())
	}
	return shorten(strings.TrimRight(r.FloatString(10), "0"))
}

// explainCompile shortens what the library says of a schema that it cannot compile.
func explainCompile(err error) error {
	var bad *jsonschema.SchemaValidationError
	var inner *jsonschema.ValidationError
	if errors.As(err, &bad) && errors.As(bad.Err, &inner) {
		return fmt.Errorf("not a valid schema: %s", explain(inner, nil).reason)
	}
	return fmt.Errorf("compiling the schema: %s", shorten(err.Error()))
}
