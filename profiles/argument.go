package profiles

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/mcprun/mcprun/internal/slips"
)

// Argument is what people call one argument of some calls, and its values.
type Argument struct {
	Calls  []string
	Arg    uint
	Name   string
	Mask   uint32  // the bits that mean something; flags may stand in the others
	Values []Value // sorted by name
}

// argumentFile is tables/arguments.json.
type argumentFile struct {
	Version   int `json:"version"`
	Arguments []struct {
		Calls  []string          `json:"calls"`
		Arg    uint              `json:"arg"`
		Name   string            `json:"name"`
		Mask   string            `json:"mask"`
		Values map[string]string `json:"values"`
	} `json:"arguments"`
}

var argumentTable = sync.OnceValues(readArgumentTable)

func readArgumentTable() ([]Argument, error) {
	raw, err := tables.ReadFile("tables/arguments.json")
	if err != nil {
		return nil, fmt.Errorf("reading the names of arguments: %w", err)
	}
	var f argumentFile
	if err := json.Unmarshal(raw, &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("reading the names of arguments: %w", err)
	}
	var out []Argument
	for _, a := range f.Arguments {
		arg := Argument{Calls: a.Calls, Arg: a.Arg, Name: a.Name, Mask: wholeArg}
		if a.Mask != "" {
			if arg.Mask, err = number(a.Mask); err != nil {
				return nil, fmt.Errorf("mask of %s: %w", a.Name, err)
			}
		}
		if arg.Values, err = values(a.Values); err != nil {
			return nil, fmt.Errorf("values of %s: %w", a.Name, err)
		}
		out = append(out, arg)
	}
	return out, nil
}

func values(named map[string]string) ([]Value, error) {
	var out []Value
	for name, text := range named {
		v, err := number(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, Value{Name: name, Value: v})
	}
	slices.SortFunc(out, func(a, b Value) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// ArgumentsOf lists the arguments of call that have a name here.
func ArgumentsOf(call string) ([]Argument, error) {
	all, err := argumentTable()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(a Argument) bool { return !slices.Contains(a.Calls, call) }), nil
}

// FindArgument finds an argument of call by its number or its name, and what is known
// of it.
func FindArgument(call, text string) (Argument, error) {
	known, err := ArgumentsOf(call)
	if err != nil {
		return Argument{}, err
	}
	if n, err := strconv.ParseUint(text, 10, 8); err == nil && n <= maxArg {
		for _, a := range known {
			if a.Arg == uint(n) {
				return a, nil
			}
		}
		return Argument{Arg: uint(n), Mask: wholeArg}, nil
	}
	var names []string
	for _, a := range known {
		if a.Name == text {
			return a, nil
		}
		names = append(names, a.Name)
	}
	fix := fmt.Sprintf("its number, 0 to %d", maxArg)
	if len(names) > 0 {
		fix = strings.Join(names, ", ") + " or " + fix
	}
	return Argument{}, fmt.Errorf("%s has no argument %q here; write %s", call, text, fix)
}

// Find reads a value of the argument: a name that is known, or a number, decimal or
// with 0x. Names of flags can be joined with a bar.
func (a Argument) Find(text string) (Value, error) {
	v := Value{Name: text}
	var names []string
	for _, k := range a.Values {
		names = append(names, k.Name)
	}
	for part := range strings.SplitSeq(text, "|") {
		i := slices.Index(names, part)
		if i >= 0 {
			v.Value |= a.Values[i].Value
			continue
		}
		n, err := number(part)
		if err != nil {
			if meant := nearest(part, names); meant != "" {
				return Value{}, fmt.Errorf("%q is not known; did you mean %s?", part, meant)
			}
			if meant := nearestFold(part, names); meant != "" {
				return Value{}, fmt.Errorf("%q is not known; did you mean %s?", part, meant)
			}
			return Value{}, fmt.Errorf("%q is no name that is known here; write the number, decimal or with 0x", part)
		}
		v.Value |= n
	}
	if len(names) > 0 {
		v.Name = a.nameOf(v)
	}
	return v, nil
}

// nameOf is the name of a value that was written as a number, if it has one.
func (a Argument) nameOf(v Value) string {
	if _, err := number(v.Name); err != nil {
		return v.Name
	}
	for _, k := range a.Values {
		if k.Value == v.Value {
			return k.Name
		}
	}
	return v.Name
}

// nearestFold suggests among names in upper case.
func nearestFold(name string, known []string) string {
	best, least := "", maxDistance+1
	for _, k := range known {
		if len(name) > maxCallName {
			break
		}
		if d := slips.Between(strings.ToUpper(name), k); d < least {
			best, least = k, d
		}
	}
	return best
}

// label is an argument as people say it.
func (a Argument) label() string {
	if a.Name == "" {
		return fmt.Sprintf("argument %d", a.Arg)
	}
	return a.Name
}
