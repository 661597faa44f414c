package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// deb is one package as apt offers it.
type deb struct {
	file string
	sum  string // SHA-256, hex
}

// skippedDeb says of a package why no image has it although others depend on it.
func skippedDeb(name string) bool {
	switch name {
	case "debconf", "debconf-2.0", "dpkg", "init-system-helpers", "install-info", "tar", "usrmerge", "usr-is-merged": // set packages up; nothing is set up here
	case "perl", "perl-base", "liberror-perl": // for git's scripts, which no server calls
	case "git-man", "media-types", "mime-support", "readline-common", "sensible-utils": // to read
	case "openssl": // ca-certificates uses it to hash names; the bundle needs no hashes
	case "awk", "base-files", "lsb-base", "libsemanage-common", "libsemanage2": // of bash and coreutils, unused in a container
	case "libgtk-3-0", "x11-utils", "xdg-utils": // for Chromium's windows; ours has none
	default:
		return false
	}
	return true
}

// resolveDebs lists the packages of the layer, sorted.
func (b *builder) resolveDebs(ctx context.Context, spec layerSpec) ([]string, error) {
	args := strings.Fields("depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances")
	out, err := command{
		step: "asking apt what " + strings.Join(spec.Debs, ", ") + " needs", program: "apt-cache", args: append(append(args, spec.Debs...), spec.Over...),
		env: []string{"LC_ALL=C"}, install: "mkimage needs Debian or Ubuntu", hint: "apt-get update",
	}.run(ctx)
	if err != nil {
		return nil, err
	}
	graph, err := parseDepends(out)
	if err != nil {
		return nil, fmt.Errorf("reading apt's dependencies: %w", err)
	}
	all, err := graph.closure(spec.Debs)
	if err != nil {
		return nil, fmt.Errorf("resolving Debian packages: %w", err)
	}
	below, err := graph.closure(spec.Over)
	if err != nil {
		return nil, fmt.Errorf("resolving Debian packages: %w", err)
	}
	maps.DeleteFunc(all, func(name string, _ bool) bool { return below[name] })
	return slices.Sorted(maps.Keys(all)), nil
}

// dependencies maps a package to what it needs: of each need, the alternatives.
type dependencies map[string][][]string

// parseDepends reads "apt-cache depends": a line with a package's name, then an
// indented line a need; a bar before it means "or the next".
func parseDepends(out []byte) (dependencies, error) {
	graph := dependencies{}
	name, or := "", false
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		switch kind, need, isNeed := strings.Cut(line, "epends: "); {
		case line == "":
		case line[0] != ' ':
			name, or = line, false
			if _, ok := graph[name]; !ok {
				graph[name] = nil
			}
		case name == "":
			return nil, fmt.Errorf("%q comes before a package", line)
		case isNeed:
			needs := graph[name]
			if or && len(needs) > 0 {
				needs[len(needs)-1] = append(needs[len(needs)-1], need)
			} else {
				needs = append(needs, []string{need})
			}
			graph[name] = needs
			or = strings.HasPrefix(kind, " |")
		} // else a provider of the virtual package in the line before
	}
	return graph, nil
}

// closure is roots and all they need, without what is skipped.
func (g dependencies) closure(roots []string) (map[string]bool, error) {
	seen := map[string]bool{}
	queue := slices.Clone(roots)
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if seen[name] {
			continue
		}
		needs, ok := g[name]
		if !ok {
			return nil, fmt.Errorf("apt knows no package %s", name)
		}
		seen[name] = true
		for _, alternatives := range needs {
			next, err := pick(alternatives)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if next != "" {
				queue = append(queue, next)
			}
		}
	}
	return seen, nil
}

// pick chooses the first alternative that is a real package; none if the need is
// one of those that images do without.
func pick(alternatives []string) (string, error) {
	for _, name := range alternatives {
		bare, arch, _ := strings.Cut(strings.Trim(name, "<>"), ":")
		if skippedDeb(bare) {
			return "", nil
		}
		if arch == "any" { // the package of no matter which architecture: ours serves
			return bare, nil
		}
		if !strings.HasPrefix(name, "<") {
			return name, nil
		}
	}
	return "", fmt.Errorf("needs one of %s, all virtual: name a provider in the recipe", strings.Join(alternatives, ", "))
}

func (b *builder) debFolder() string { return filepath.Join(b.cache, "debs") }

// apt is a run of apt-get download.
func (b *builder) apt(dir string, args ...string) command {
	return command{
		step: "downloading Debian packages", program: "apt-get", dir: dir, env: []string{"LC_ALL=C"},
		// apt's own user may not be able to write to the cache folder.
		args:    append([]string{"-o", "APT::Sandbox::User=root", "download"}, args...),
		install: "mkimage needs Debian or Ubuntu", hint: "apt-get update",
	}
}

// downloadDebs fetches what is not in the cache yet and checks every file.
func (b *builder) downloadDebs(ctx context.Context, names []string) ([]deb, error) {
	found, err := b.offeredDebs(ctx, names)
	if err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(slices.Clone(found), func(d deb) bool { return checkSum(filepath.Join(b.debFolder(), d.file), d.sum) == nil })
	if len(missing) == 0 {
		return found, nil
	}
	b.say("downloading %d Debian packages", len(missing))
	apt := b.apt(b.debFolder(), names...) // leaves those alone that are there
	if _, err := apt.run(ctx); err != nil {
		return nil, err
	}
	for _, d := range missing {
		if err := checkSum(filepath.Join(b.debFolder(), d.file), d.sum); err != nil {
			return nil, fail(apt.step, err, apt.hint)
		}
	}
	return found, nil
}

// offeredDebs asks apt for the file of each package.
func (b *builder) offeredDebs(ctx context.Context, names []string) ([]deb, error) {
	if err := os.MkdirAll(b.debFolder(), 0o755); err != nil {
		return nil, fmt.Errorf("making the cache folder: %w", err)
	}
	empty, err := os.MkdirTemp(b.cache, ".uris-") // apt lists only what its folder does not have
	if err != nil {
		return nil, fmt.Errorf("making the cache folder: %w", err)
	}
	defer os.Remove(empty)
	out, err := b.apt(empty, append([]string{"--print-uris"}, names...)...).run(ctx)
	if err != nil {
		return nil, err
	}
	found, err := parseURIs(out)
	if err != nil {
		return nil, fmt.Errorf("reading apt's list of files: %w", err)
	}
	if len(found) != len(names) {
		return nil, fmt.Errorf("apt offers %d files for the %d packages %s", len(found), len(names), strings.Join(names, ", "))
	}
	return found, nil
}

// parseURIs reads "apt-get download --print-uris": a line a package with the
// quoted address, the file's name, its size and its checksum.
func parseURIs(out []byte) ([]deb, error) {
	var found []deb
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 4 {
			return nil, fmt.Errorf("%q has not four fields", line)
		}
		sum, ok := strings.CutPrefix(fields[3], "SHA256:")
		if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != sha256.Size {
			return nil, fmt.Errorf("%q has no SHA-256", line)
		}
		if !strings.HasSuffix(fields[1], ".deb") || filepath.Base(fields[1]) != fields[1] {
			return nil, fmt.Errorf("%q names no .deb file", line)
		}
		found = append(found, deb{file: fields[1], sum: sum})
	}
	slices.SortFunc(found, func(a, b deb) int { return strings.Compare(a.file, b.file) })
	return found, nil
}
