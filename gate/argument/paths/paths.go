// Package paths judges an argument that names a file: (value, [Spec]) → finding.
//
// A path passes only if it is spelled in a way that every program reads alike,
// and if its one canonical form is one of the roots or below one. Traversal,
// encodings, look-alikes, home folders, variables, schemes and options are
// refused by what they are, also where they would happen to end inside a root.
//
// What it does not protect: nothing is opened here, so a symbolic or hard link
// below a root may lead out of it, and a folder may be swapped for a link after
// the check. Holding that is the sandbox's business: what is not mounted cannot be
// reached. Names are POSIX: device names of Windows (NUL, aux.c) are plain names
// here, and so are the characters that an old code page maps to a backslash (¥).
// A pattern that a search tool takes may find any name below its folder.
package paths

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

const (
	// maxPath is the smallest PATH_MAX in use (macOS and the BSDs; Linux has 4096,
	// with the NUL). Real paths are far shorter, those that overflow something are
	// not.
	maxPath = 1024
	// maxName is NAME_MAX of all common file systems, in bytes.
	maxName = 255
	// maxRoots bounds the work of one check; longer lists are generated, and nobody
	// reads them.
	maxRoots = 64
	// maxHintRoots is how many roots a hint names; more is no help.
	maxHintRoots = 3
)

// Spec says which paths are accepted. The zero value accepts none.
type Spec struct {
	// Under lists the roots: absolute, clean, not "/" (a check that accepts all is
	// none). A root that is not so matches nothing.
	Under []string
	// Relative is the folder from which the tool takes relative paths, itself below
	// a root. A relative path may not climb out of it. Empty refuses them all.
	Relative string
	// Globs accepts *, ? and {a,b} as parts of a name, for arguments that select
	// files. Without it they are refused. Brackets are accepted always: [id].tsx is
	// a common name, and no bracket expression stands for "..".
	Globs bool
	// Sensitive is the verdict on names below a root that hold keys, or that make
	// another program run what they hold (.ssh, .env, .git/hooks, .bashrc). Hold is
	// what a configuration should set for tools that write; a tool that only reads
	// may have Pass.
	Sensitive argument.Verdict
}

// Validate returns nil or all that is wrong with the spec, joined.
func (s Spec) Validate() error {
	var errs []error
	if len(s.Under) == 0 {
		errs = append(errs, errors.New("under: no root is named, so no path would be accepted"))
	}
	if len(s.Under) > maxRoots {
		errs = append(errs, fmt.Errorf("under: %d roots; at most %d", len(s.Under), maxRoots))
	}
	for _, root := range s.Under {
		if err := checkRoot(root); err != nil {
			errs = append(errs, fmt.Errorf("under: %w", err))
		}
	}
	if s.Relative != "" {
		if err := checkRoot(s.Relative); err != nil {
			errs = append(errs, fmt.Errorf("relative: %w", err))
		} else if !belowAny(s.Relative, s.Under) {
			errs = append(errs, fmt.Errorf("relative: %+.64q is below none of the roots", s.Relative))
		}
	}
	if s.Sensitive > argument.Pass {
		errs = append(errs, fmt.Errorf("sensitive: unknown verdict %d", s.Sensitive))
	}
	return errors.Join(errs...)
}

// checkRoot holds a root to the same spelling as the paths that are compared
// with it: one that no path can be below would look like a grant.
func checkRoot(root string) error {
	switch {
	case root == "/":
		return errors.New("/ is every path; name the folders that are needed")
	case !strings.HasPrefix(root, "/"):
		return fmt.Errorf("%+.64q is not absolute", root)
	case path.Clean(root) != root:
		return fmt.Errorf("%+.64q is not clean; write %+.64q", root, path.Clean(root))
	}
	if f := spelled(root, false); f.Verdict != argument.Pass {
		return fmt.Errorf("%+.64q: %s", root, f.Reason)
	}
	return nil
}

// Judge says whether value is a path that the spec accepts.
func (s Spec) Judge(value string) argument.Finding {
	_, f := s.Canonical(value)
	return f
}

// Canonical returns the absolute path that value was judged as, without dots,
// doubled slashes and a trailing slash. It is empty if the value is refused, and
// set if it passes or is held. What a tool is given may be this in place of the value.
func (s Spec) Canonical(value string) (string, argument.Finding) {
	if f := spelled(value, s.Globs); f.Verdict != argument.Pass {
		return "", f
	}
	clean, f := s.resolve(value)
	if f.Verdict != argument.Pass {
		return "", f
	}
	root, ok := rootOf(clean, s.Under)
	if !ok {
		return "", s.outside(clean)
	}
	if f := s.judgeNames(clean[len(root):]); f.Verdict != argument.Pass {
		if f.Verdict == argument.Refuse {
			return "", f
		}
		return clean, f
	}
	return clean, argument.Passed
}

func refuse(rule, reason, hint string) argument.Finding {
	return argument.Finding{Rule: rule, Reason: reason, Hint: hint}
}
