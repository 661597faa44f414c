package words

import (
	"encoding/base64"
	"strings"
)

const (
	// near is how far apart the two halves of a secret are looked for: a few lines.
	near = 512
	// awsKey and hexKey are the lengths of secrets that have no prefix, which is why
	// they are only looked for beside something that has.
	awsKey = 40
	hexKey = 32
	// maxPassword bounds a password in an address.
	maxPassword = 256
	// minKeyText is how much of a key must follow its header: prose that mentions the
	// header goes on in words.
	minKeyText = 12
	// minKeyWord is the same for a line of its own.
	minKeyWord = 4
	// maxHeader bounds the header of a JWT.
	maxHeader = 1024
)

// around returns what stands within reach of s[at].
func around(s string, at int) string {
	return s[max(at-near, 0):min(at+near, len(s))]
}

// hasRun reports whether s has a maximal run over a of exactly n bytes that are
// mixed as random ones are.
func hasRun(s string, a *alphabet, n int, needed func(counts) bool) bool {
	for i := 0; i < len(s); i++ {
		length := a.run(s[i:], len(s))
		if length == n && needed(count(s[i:i+n])) {
			return true
		}
		i += length
	}
	return false
}

func mixedCase(c counts) bool {
	return c.upper > 0 && c.lower > 0 && c.digits > 0 && c.distinct > awsKey/4
}
func mixedHex(c counts) bool { return c.digits > 2 && c.lower > 2 && c.distinct > minDistinct }

// besideAWSKey finds a secret key near the id of an access key. Alone it looks
// like any 40 characters of base64, and in hex like a commit.
func besideAWSKey(s string, at int) bool {
	_, ok := body{of: upperAlnum, min: 16, max: 16, digits: 1}.match(s[at+len("AKIA"):], false)
	return ok && hasRun(around(s, at), standard, awsKey, mixedCase)
}

func assignedAWSKey(s string, at int) bool {
	line, _, _ := strings.Cut(s[at:min(at+near, len(s))], "\n")
	return hasRun(line, standard, awsKey, mixedCase)
}

// besideTwilioAccount finds an account id with another 32 hex digits near it.
func besideTwilioAccount(s string, at int) bool {
	id := s[at+len("AC"):]
	return hexLower.run(id, hexKey+1) == hexKey && mixedHex(count(id[:hexKey])) &&
		(hasRun(s[max(at-near, 0):at], hexLower, hexKey, mixedHex) || hasRun(id[hexKey:min(hexKey+near, len(id))], hexLower, hexKey, mixedHex))
}

// sendGridKey is SG., 22 and 43 characters with a dot between them.
func sendGridKey(s string, at int) bool {
	const first, second = 22, 43
	rest := s[at+len("SG."):]
	n := urlSafe.run(rest, first+1)
	return n == first && len(rest) > n && rest[n] == '.' && urlSafe.run(rest[n+1:], second) == second && count(rest[:n]).distinct >= minDistinct
}

// telegramToken is a number of eight to ten digits, a colon, and 35 characters.
func telegramToken(s string, at int) bool {
	before := 0
	for before < at && isDigit(s[at-1-before]) && before <= 10 {
		before++
	}
	n := urlSafe.run(s[at+1:], 36)
	return 8 <= before && before <= 10 && n == 35 && mixedCase(count(s[at+1:at+1+n]))
}

// sharedSignature is the sig of a query that has the other parts as well.
func sharedSignature(s string, at int) bool {
	rest := s[at+len("sig="):]
	if escapedBase64.run(rest, awsKey) < awsKey {
		return false
	}
	here := around(s, at)
	return strings.Contains(here, "sv=") && strings.Contains(here, "se=")
}

// webToken is three parts in base64 whose first is an object with an algorithm.
func webToken(s string, at int) bool {
	rest := s[at:]
	n := urlSafe.run(rest, maxHeader)
	if n < minKeyText || n+1 >= len(rest) || rest[n] != '.' {
		return false
	}
	header, err := base64.RawURLEncoding.DecodeString(rest[:n])
	if err != nil || !strings.Contains(string(header), `"alg"`) {
		return false
	}
	payload := urlSafe.run(rest[n+1:], minKeyText)
	return payload == minKeyText
}

// pemKey is the header of a private key with some of the key behind it. The line
// breaks may be written out as \n, as in JSON.
func pemKey(s string, at int) bool {
	const maxLabel = 64
	label, _, ok := strings.Cut(s[at+len("-----BEGIN"):min(at+maxLabel, len(s))], "-----")
	if !ok || !strings.Contains(label, "PRIVATE") || !strings.Contains(label, "KEY") {
		return false
	}
	rest := s[at+len("-----BEGIN")+len(label)+len("-----"):]
	rest = lineBreaks.Replace(rest[:min(len(rest), near)])
	if strings.HasPrefix(rest, "\n") && beginsKey(strings.TrimLeft(rest, "\n ")) {
		return true
	}
	for line := range strings.Lines(rest) {
		line = strings.Trim(line, " \n\"'+,;")
		if n := standard.run(line, len(line)); n >= minKeyText && looksEncoded(line[:n]) {
			return true
		}
	}
	return false
}

// lineBreaks makes one of all that stands for a line break.
var lineBreaks = strings.NewReplacer(`\r`, "", `\n`, "\n", "\r", "", "\t", " ")

// beginsKey reports a line that is one word: a key that was cut short, or whose
// first line is a header (Proc-Type: 4,ENCRYPTED).
func beginsKey(s string) bool {
	line, _, _ := strings.Cut(s, "\n")
	line = strings.TrimRight(line, " \"',")
	return len(line) >= minKeyWord && standard[line[0]] && count(line).distinct >= minDistinct &&
		(!strings.Contains(line, " ") || strings.HasPrefix(line, "Proc-Type:"))
}

// looksEncoded: a line of base64 has capitals or digits among its small letters,
// which a word has not.
func looksEncoded(s string) bool {
	c := count(s)
	return c.distinct >= minDistinct && c.changes*minSplitChanges >= len(s)
}

// puttyKey is the private part of a key file of PuTTY.
func puttyKey(s string, at int) bool {
	rest := s[at+len("Private-Lines: "):]
	n := digitsAt(rest)
	rest = strings.TrimLeft(rest[n:], "\r\n")
	return n > 0 && standard.run(rest, minKeyText) == minKeyText
}

// addressPassword finds scheme://user:password@host.
func addressPassword(s string, at int) bool {
	if at == 0 || !isAlnum(s[at-1]) {
		return false
	}
	rest := s[at+len("://"):]
	rest = rest[:min(len(rest), maxPassword)]
	if end := strings.IndexAny(rest, " \t\r\n/?#\"'<>`"); end >= 0 {
		rest = rest[:end]
	}
	end := strings.LastIndexByte(rest, '@')
	if end < 0 || end+1 == len(rest) {
		return false
	}
	user, password, ok := strings.Cut(rest[:end], ":")
	return ok && !isPlaceholder(password) && password != user
}

// connectionPassword finds a password among the other parts of a connection
// string.
func connectionPassword(s string, at int) bool {
	if at > 0 && isAlnum(s[at-1]) {
		return false
	}
	_, value, _ := strings.Cut(s[at:min(at+maxPassword, len(s))], "=")
	if end := strings.IndexAny(value, ";\"'\r\n &"); end >= 0 {
		value = value[:end]
	}
	if isPlaceholder(value) {
		return false
	}
	here := strings.ToLower(around(s, at))
	for _, key := range []string{"server=", "data source=", "host=", "hostname=", "user id=", "uid="} {
		if strings.Contains(here, key) {
			return true
		}
	}
	return false
}

// placeholders are what documentation writes in place of a password.
var placeholders = map[string]bool{"password": true, "passwd": true, "pass": true, "pwd": true, "pw": true, "changeme": true, "redacted": true,
	"xxx": true, "mypassword": true, "yourpassword": true, "your_password": true, "your-password": true, "example": true, "token": true, "null": true, "none": true}

func isPlaceholder(s string) bool {
	lowered := strings.ToLower(s)
	return s == "" || placeholders[lowered] || strings.IndexByte("$<{[%(", s[0]) >= 0 || strings.Trim(s, s[:1]) == "" ||
		strings.Contains(lowered, "placeholder") || strings.Contains(s, "...") || strings.Contains(s, "***")
}
