package manifest

import (
	"regexp"
	"strings"

	"github.com/mcprun/mcprun"
)

var (
	hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?(:[1-9][0-9]{0,4})?$`)
	repoName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
)

const imageForm = "write registry.example/repository@sha256:…"

// checkImageKind: with two images, or none, it is not clear what is run.
func checkImageKind(s *Server, r *report) {
	switch {
	case s.Image.Ref == "" && s.Image.Path == "":
		r.fail("image", imageForm+" or ./image.tar", "is empty")
	case s.Image.Ref != "" && s.Image.Path != "":
		r.fail("image", "use one of the two", "names a registry and a path")
	case s.Image.Path != "" && s.Image.Digest != "":
		r.fail("image", "leave the digest to server.lock", "a path has no digest here")
	}
}

// checkImageRef: a tag can be moved to another image after the review, and a
// short name means whatever the machine's configuration makes of it.
func checkImageRef(s *Server, r *report) {
	ref := s.Image.Ref
	if ref == "" {
		return
	}
	if what := badText(ref); what != "" || len(ref) > MaxRef {
		r.fail("image", imageForm, "the reference is too long or holds a character that is not allowed")
		return
	}
	name, digest, ok := strings.Cut(ref, "@")
	if !ok {
		r.fail("image", imageForm+"; `crane digest "+printable(ref)+"` prints the digest",
			"%s has no digest, and a tag can be moved to another image", show(ref))
		return
	}
	if _, err := mcprun.ParseDigest(digest); err != nil || s.Image.Digest != mcprun.Digest(digest) {
		r.fail("image", "write @sha256: and 64 lower-case hex digits", "%s is not a digest", show(digest))
		return
	}
	checkRepository(name, r)
}

func checkRepository(name string, r *report) {
	host, repo, _ := strings.Cut(name, "/")
	switch {
	case repo == "" || !strings.ContainsAny(host, ".:") && host != "localhost":
		r.fail("image", "put the registry's host name in front", "%s does not say which registry", show(name))
	case strings.Contains(repo, ":"):
		tag := repo[strings.Index(repo, ":"):]
		r.fail("image", "take "+printable(tag)+" out; the digest alone decides", "has a tag and a digest")
	case !hostName.MatchString(host):
		r.fail("image", imageForm, "%s is not a registry", show(host))
	case !repoName.MatchString(repo):
		r.fail("image", imageForm+", in lower case", "%s is not a repository", show(repo))
	}
}

// printable is text for a command line that a user may copy: nothing that a
// shell would act on.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x80 && (c == '.' || c == '/' || c == ':' || c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return c
		}
		return '?'
	}, s)
}

// checkImagePath: a path without its leading ./ looks like a short image name.
func checkImagePath(s *Server, r *report) {
	if s.Image.Path == "" {
		return
	}
	if what, fix := badHostPath(s.Image.Path); what != "" {
		r.fail("image", fix, "%s", what)
	}
}
