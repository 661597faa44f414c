package manifest

import "regexp"

// secretForm is the form of a credential that is known by its looks.
type secretForm struct {
	what string
	form *regexp.Regexp
}

// secretForms are prefixes that their issuers chose so that a scanner finds them,
// with at least as many characters as keep words such as sk-learn out.
var secretForms = [...]secretForm{
	{"a GitHub token", regexp.MustCompile(`\bgh[pousr]_[A-Za-z0-9]{16}|\bgithub_pat_[A-Za-z0-9_]{16}`)},
	{"a GitLab token", regexp.MustCompile(`\bgl(pat|ptt|cbt|dt|rt|soat)-[A-Za-z0-9_-]{16}`)},
	{"an API key", regexp.MustCompile(`\bsk-[A-Za-z0-9_-]{16}|\b[sr]k_(live|test)_[A-Za-z0-9]{16}`)},
	{"an AWS key", regexp.MustCompile(`\b(AKIA|ASIA)[A-Z0-9]{16}\b`)},
	{"a Google key", regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{35}|\bya29\.[A-Za-z0-9_-]{16}`)},
	{"a Slack token", regexp.MustCompile(`\bxox[a-z]-[A-Za-z0-9-]{10}|\bxapp-[0-9]-[A-Za-z0-9-]{10}`)},
	{"an npm token", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}`)},
	{"a Hugging Face token", regexp.MustCompile(`\bhf_[A-Za-z0-9]{30}`)},
	{"a SendGrid key", regexp.MustCompile(`\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16}`)},
	{"a JSON web token", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.`)},
	{"a key in PEM form", regexp.MustCompile(`-----BEGIN`)},
	{"an address with a password in it", regexp.MustCompile(`[a-z]://[^/@\s:]*:[^/@\s]+@`)},
}

// secretIn names the kind of secret that s seems to hold.
func secretIn(s string) string {
	for _, f := range secretForms {
		if f.form.MatchString(s) {
			return f.what
		}
	}
	return ""
}
