package words

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/netpolicy"
)

const (
	// maxAddress and maxLocal are SMTP's bounds (RFC 5321 4.5.3.1, with erratum 1690).
	maxAddress = 254
	maxLocal   = 64
)

// Email accepts one mail address. The zero value accepts none.
type Email struct {
	Domains  []netpolicy.Pattern
	Unlisted argument.Verdict // for other domains: Refuse or Hold
}

// Validate returns nil or what is wrong with the rule.
func (e Email) Validate() error {
	switch {
	case len(e.Domains) == 0 && e.Unlisted == argument.Refuse:
		return errors.New("domains: none is named, so no address would be accepted")
	case slices.Contains(e.Domains, netpolicy.Pattern{}):
		return errors.New("domains: a pattern is empty")
	case e.Unlisted > argument.Hold:
		return errors.New("unlisted: must be refuse or hold; what passes is listed")
	}
	return nil
}

// Judge says whether value is one plain address: no display name, no list, no
// comment, no quotes, no route. Mail programs disagree about all of these, and the
// disagreement is how a second recipient or a header gets in.
func (e Email) Judge(value string) argument.Finding {
	local, domain, ok := strings.Cut(value, "@")
	switch {
	case len(value) > maxAddress || len(local) > maxLocal:
		return refuse("email.long", fmt.Sprintf("the address is longer than %d bytes, or %d before the @", maxAddress, maxLocal), "")
	case strings.ContainsAny(value, "\r\n"):
		return refuse("email.line", "the address has a line break, which begins another header", "write one address")
	case strings.ContainsAny(value, ",; \t<>()\""):
		return refuse("email.one", "the value is more than one plain address", "write name@domain alone")
	case !ok || strings.Contains(domain, "@"):
		return refuse("email.at", "the address has not exactly one @", "write name@domain")
	case !isLocal(local):
		return refuse("email.local", "the part before the @ is not of letters, digits and . _ + - ' =", "write name@domain")
	}
	return e.judgeDomain(domain)
}

func (e Email) judgeDomain(domain string) argument.Finding {
	host, err := netpolicy.ParseHost(domain)
	_, literal := host.Addr()
	if err != nil || literal || strings.HasSuffix(domain, ".") || !strings.Contains(domain, ".") ||
		strings.ContainsFunc(domain, func(r rune) bool { return r >= 0x80 }) {
		return refuse("email.domain", "the domain of the address is not a plain name with a dot", "write name@domain")
	}
	if slices.ContainsFunc(e.Domains, func(p netpolicy.Pattern) bool { return p.Match(host) }) {
		return argument.Passed
	}
	var hint []string
	for _, p := range e.Domains[:min(len(e.Domains), maxHint)] {
		hint = append(hint, p.String())
	}
	return argument.Finding{Verdict: min(e.Unlisted, argument.Hold), Rule: "email.unlisted",
		Reason: "the domain of the address is not one of those that are listed", Hint: strings.Join(hint, ", ")}
}

// isLocal is the dot-atom of RFC 5322 without the signs that mail servers read: %
// and ! are routes, | and / deliver to a program or a file, a dash at the start is
// an option of sendmail.
func isLocal(s string) bool {
	if s == "" || s[0] == '-' || s[0] == '.' || strings.HasSuffix(s, ".") || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte("._+-'=", s[i]) < 0 {
			return false
		}
	}
	return true
}
