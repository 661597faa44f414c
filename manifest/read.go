package manifest

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Readers of one typed scalar. Each returns what is wrong and the fix, both
// empty if nothing is.

type problem struct{ what, fix string }

func (p problem) none() bool { return p.what == "" }

func wrongKind(n node, want, example string) problem {
	what := "needs " + want + ", and here is " + n.kind.String()
	if n.kind == nullKind {
		what = "needs a value"
	}
	return problem{what, "write " + want + ", e.g. " + example}
}

func readText(n node, example string) (string, problem) {
	if n.kind != scalarKind {
		return "", wrongKind(n, "text", example)
	}
	if what := ambiguous(n); what != "" {
		return "", problem{fmt.Sprintf("%s is %s", n.text, what), fmt.Sprintf("quote it: %q", n.text)}
	}
	return n.text, problem{}
}

func readBool(n node) (bool, problem) {
	if n.kind == scalarKind && !n.quoted {
		switch n.text {
		case "true":
			return true, problem{}
		case "false":
			return false, problem{}
		}
	}
	if n.kind != scalarKind {
		return false, wrongKind(n, "true or false", "true")
	}
	return false, problem{show(n.text) + " is neither true nor false", "write true or false, in lower case and without quotes"}
}

var (
	wholeNumber   = regexp.MustCompile(`^(0|[1-9][0-9]{0,14})$`)
	decimalNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(\.[0-9]{1,3})?$`)
	sizeText      = regexp.MustCompile(`^([1-9][0-9]{0,14})(KiB|MiB|GiB)$`)
	durationText  = regexp.MustCompile(`^([1-9][0-9]{0,14})(ms|s|m|h)$`)
)

func readInt(n node, example string) (int64, problem) {
	if n.kind != scalarKind {
		return 0, wrongKind(n, "a number", example)
	}
	if p := plainNumber(n, wholeNumber, "a whole number", example); !p.none() {
		return 0, p
	}
	v, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil {
		return 0, problem{"the number is too large", "write a whole number, e.g. " + example}
	}
	return v, problem{}
}

// readMilli reads a decimal number as thousandths.
func readMilli(n node, example string) (int64, problem) {
	if n.kind != scalarKind {
		return 0, wrongKind(n, "a number", example)
	}
	if p := plainNumber(n, decimalNumber, "a number with at most three decimals", example); !p.none() {
		return 0, p
	}
	whole, fraction, _ := strings.Cut(n.text, ".")
	v, err := strconv.ParseInt(whole+(fraction + "000")[:3], 10, 64)
	if err != nil {
		return 0, problem{"the number is too large", "write a number, e.g. " + example}
	}
	return v, problem{}
}

// plainNumber refuses the spellings of a number that YAML 1.1, YAML 1.2 and
// people read differently: 010, 1e3, 0x10, 1_000, "10".
func plainNumber(n node, shape *regexp.Regexp, want, example string) problem {
	switch {
	case n.quoted && shape.MatchString(n.text):
		return problem{show(n.text) + " is text, not a number", "take the quotes away: " + n.text}
	case shape.MatchString(n.text):
		return problem{}
	case len(n.text) > 1 && n.text[0] == '0' && wholeNumber.MatchString(strings.TrimLeft(n.text, "0")):
		return problem{n.text + " is octal to some YAML readers", "write it without the leading zero"}
	}
	return problem{show(n.text) + " is not " + want, "write plain digits, e.g. " + example}
}

func readSize(n node) (int64, problem) {
	const example = "256MiB"
	if n.kind != scalarKind {
		return 0, wrongKind(n, "a size", example)
	}
	m := sizeText.FindStringSubmatch(n.text)
	if m == nil {
		return 0, problem{show(n.text) + " is not a size", sizeFix(n.text)}
	}
	unit := map[string]int64{"KiB": kib, "MiB": mib, "GiB": gib}[m[2]]
	v, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || v > math.MaxInt64/unit {
		return 0, problem{"the size is too large", "write a whole number and KiB, MiB or GiB, e.g. " + example}
	}
	return v * unit, problem{}
}

var (
	decimalUnit = regexp.MustCompile(`^([1-9][0-9]*) ?([KkMmGg])[Bb]?$`)
	bareNumber  = regexp.MustCompile(`^[0-9]+$`)
)

func sizeFix(text string) string {
	if m := decimalUnit.FindStringSubmatch(text); m != nil {
		return "write " + m[1] + strings.ToUpper(m[2]) + "iB"
	}
	if bareNumber.MatchString(text) {
		return "say the unit: " + text + "KiB, " + text + "MiB or " + text + "GiB"
	}
	return "write a whole number and KiB, MiB or GiB without a space, e.g. 256MiB"
}

func readDuration(n node) (time.Duration, problem) {
	const example = "30s"
	if n.kind != scalarKind {
		return 0, wrongKind(n, "a duration", example)
	}
	m := durationText.FindStringSubmatch(n.text)
	if m == nil {
		fix := "write a whole number above 0 and ms, s, m or h, e.g. " + example
		if bareNumber.MatchString(n.text) && n.text[0] != '0' {
			fix = "say the unit: " + n.text + "s"
		}
		return 0, problem{show(n.text) + " is not a duration", fix}
	}
	unit := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour}[m[2]]
	v, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || v > math.MaxInt64/int64(unit) {
		return 0, problem{"the duration is too long", "write a shorter one, e.g. " + example}
	}
	return time.Duration(v) * unit, problem{}
}
