package credentials

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// MaxDepth bounds sources inside sources: a token exchange whose client secret
// is in Vault, whose token is in a file. Deeper is a slip, or a circle.
const MaxDepth = 3

// Source says where a secret comes from. Exactly one field is set; the zero
// Source is refused. It is not to be changed once it is used.
type Source struct {
	Env      string   // the name of a variable of the daemon's environment
	File     string   // the absolute path of a file that others cannot read
	Age      *Age     // a file encrypted with age
	Exec     []string // a program, by absolute path, that prints the secret
	Vault    *Vault   // HashiCorp Vault or OpenBao
	OAuth    *OAuth   // the client credentials grant
	Exchange *Exchange
}

// Fetcher is a source of one secret. Further sources implement it with NewSecret.
//
// Fetch gets the secret anew each time; keeping it is the Cache's part. It may be
// called concurrently, returns soon after ctx ends, and never puts a value, or
// what a peer said, into an error.
type Fetcher interface {
	Fetch(ctx context.Context) (Secret, error)
}

// lookup is os.LookupEnv, or what stands for it in tests.
type lookup = func(string) (string, bool)

// kind is one way to get a secret: the closed set behind the fields of Source.
type kind interface {
	name() string          // the field, as it is written in server.yaml
	where() string         // says which one, without any secret
	check(depth int) error // what is wrong and what to write
	get(context.Context, lookup) (Secret, error)
}

// kinds returns the fields that are set.
func (s Source) kinds() []kind {
	var out []kind
	if s.Env != "" {
		out = append(out, variable(s.Env))
	}
	if s.File != "" {
		out = append(out, file(s.File))
	}
	if s.Age != nil {
		out = append(out, s.Age)
	}
	if s.Exec != nil {
		out = append(out, program(s.Exec))
	}
	if s.Vault != nil {
		out = append(out, s.Vault)
	}
	if s.OAuth != nil {
		out = append(out, s.OAuth)
	}
	if s.Exchange != nil {
		out = append(out, s.Exchange)
	}
	return out
}

// Validate says everything that is wrong with the source, and what to write
// instead. It reads nothing. The error may be a list (errors.Join).
func (s Source) Validate() error { return s.validate(1) }

func (s Source) validate(depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("sources are nested more than %d deep: take the innermost secret from env or file", MaxDepth)
	}
	set := s.kinds()
	switch len(set) {
	case 0:
		return errors.New("no source is given: write one of env, file, age, exec, vault, oauth, exchange")
	case 1:
		return set[0].check(depth)
	}
	var names []string
	for _, k := range set {
		names = append(names, k.name())
	}
	return fmt.Errorf("%s are given: write only one of them", strings.Join(names, " and "))
}

// String names the source without any secret, e.g. "env GITHUB_TOKEN". Arguments
// of programs and queries of addresses are left out: they may hold one.
func (s Source) String() string {
	set := s.kinds()
	switch len(set) {
	case 0:
		return "no source"
	case 1:
		return set[0].name() + " " + set[0].where()
	}
	return "several sources"
}

// GoString keeps %#v from printing arguments.
func (s Source) GoString() string { return s.String() }

// Fetcher makes what fetches from this source. env looks up variables of the
// daemon's environment (os.LookupEnv); without it there are none.
func (s Source) Fetcher(env func(string) (string, bool)) (Fetcher, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("reading the source of a secret: %w", err)
	}
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	return fetcher{source: s, env: env}, nil
}

type fetcher struct {
	source Source
	env    lookup
}

func (f fetcher) Fetch(ctx context.Context) (Secret, error) {
	s, err := f.source.kinds()[0].get(ctx, f.env)
	if err != nil {
		return Secret{}, fmt.Errorf("fetching the secret from %s: %w", f.source, err)
	}
	return s, nil
}

// checkInner judges a source that stands inside another.
func checkInner(field string, s *Source, depth int) error {
	if s == nil {
		return fmt.Errorf("%s is missing: write where it is, such as file:/etc/mcprun/%s", field, strings.ReplaceAll(field, ".", "-"))
	}
	err := s.validate(depth + 1)
	if err == nil {
		return nil
	}
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for i, e := range list {
		list[i] = fmt.Errorf("%s: %w", field, e)
	}
	return errors.Join(list...)
}

// inner fetches what a source needs itself.
func inner(ctx context.Context, field string, s *Source, env lookup) (Secret, error) {
	out, err := fetcher{source: *s, env: env}.Fetch(ctx)
	if err != nil {
		return Secret{}, fmt.Errorf("%s: %w", field, err)
	}
	return out, nil
}
