package manifest

import (
	"fmt"
	"strings"

	"github.com/mcprun/mcprun"
)

// ImageRange is a set of images: all of a registry, all below a repository, one
// digest wherever it is, or one digest of one repository.
type ImageRange struct {
	Name   string // registry, or registry/repository; "" for any
	Digest mcprun.Digest
}

const rangeForm = "ghcr.io, ghcr.io/acme, ghcr.io/acme/files@sha256:… or sha256:…"

// ParseImageRange reads what policy.yaml says of images.
func ParseImageRange(s string) (ImageRange, error) {
	if strings.HasPrefix(s, "sha256:") {
		d, err := mcprun.ParseDigest(s)
		return ImageRange{Digest: d}, err
	}
	name, digest, pinned := strings.Cut(s, "@")
	r := ImageRange{Name: name}
	if pinned {
		var err error
		if r.Digest, err = mcprun.ParseDigest(digest); err != nil {
			return ImageRange{}, err
		}
	}
	host, repo, below := strings.Cut(name, "/")
	switch {
	case len(s) > MaxRef:
		return ImageRange{}, fmt.Errorf("has %d bytes; at most %d", len(s), MaxRef)
	case startsLikePath(s):
		return ImageRange{}, fmt.Errorf("%s is a path; archives: true or false speaks of those", show(s))
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		return ImageRange{}, fmt.Errorf("%s does not say which registry", show(s))
	case !hostName.MatchString(host):
		return ImageRange{}, fmt.Errorf("%s is not a registry", show(host))
	case below && strings.Contains(repo, ":"):
		return ImageRange{}, fmt.Errorf("%s has a tag, which says nothing about what is run", show(s))
	case below && !repoName.MatchString(repo):
		return ImageRange{}, fmt.Errorf("%s is not a repository", show(repo))
	case !below && pinned:
		return ImageRange{}, fmt.Errorf("%s has a digest and no repository; write the digest alone", show(s))
	}
	return r, nil
}

// Has reports whether an image of a registry is in the range.
func (r ImageRange) Has(i Image) bool {
	name, _, ok := strings.Cut(i.Ref, "@")
	if !ok || r == (ImageRange{}) {
		return false
	}
	return (r.Name == "" || inside(name, r.Name)) && (r.Digest == "" || r.Digest == i.Digest)
}

func (r ImageRange) String() string {
	switch {
	case r.Digest == "":
		return r.Name
	case r.Name == "":
		return string(r.Digest)
	}
	return r.Name + "@" + string(r.Digest)
}
