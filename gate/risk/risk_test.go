package risk

import (
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
)

func part(points int, least mcprun.Risk) mcprun.Contribution {
	return mcprun.Contribution{Name: "x", Points: points, Least: least}
}

func TestSum(t *testing.T) {
	low, medium, high, block := mcprun.Low, mcprun.Medium, mcprun.High, mcprun.Block
	for _, r := range []struct {
		name  string
		parts []mcprun.Contribution
		score int
		class mcprun.Risk
	}{
		{"nothing is known", nil, 100, block},
		{"the zero contribution blocks", []mcprun.Contribution{{}}, 90, block},
		{"a low tool", []mcprun.Contribution{part(ClassLow, low)}, 10, low},
		{"a medium tool", []mcprun.Contribution{part(ClassMedium, medium)}, 35, medium},
		{"a high tool", []mcprun.Contribution{part(ClassHigh, high)}, 65, high},
		{"a blocked tool", []mcprun.Contribution{part(ClassBlock, block)}, 100, block},
		{"hints raise", []mcprun.Contribution{part(ClassLow, low), part(20, low)}, 30, medium},
		{"hints hold", []mcprun.Contribution{part(ClassMedium, medium), part(15, low), part(10, low)}, 60, high},
		{"hints never block", []mcprun.Contribution{part(ClassHigh, high), part(500, low)}, 89, high},
		{"a rule holds", []mcprun.Contribution{part(ClassLow, low), part(0, high)}, 60, high},
		{"a rule blocks", []mcprun.Contribution{part(ClassLow, low), part(0, block)}, 90, block},
	} {
		if score, class := Sum(r.parts); score != r.score || class != r.class {
			t.Errorf("%s: %d %s, want %d %s", r.name, score, class, r.score, r.class)
		}
	}
}

// Whatever the contributions, one more never makes a call less risky.
func TestMoreIsNeverLess(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		parts := []mcprun.Contribution{part(OfClass(mcprun.Risk(r.IntN(4))), mcprun.Low)}
		for range r.IntN(5) {
			parts = append(parts, part(r.IntN(40), mcprun.Risk(r.IntN(4))))
		}
		less, lessClass := Sum(parts[:len(parts)-1])
		more, moreClass := Sum(parts)
		if len(parts) > 1 && (more < less || moreClass > lessClass) {
			t.Fatalf("%v: %d %s, and without the last %d %s", parts, more, moreClass, less, lessClass)
		}
	}
}

func TestChanges(t *testing.T) {
	parts := []mcprun.Contribution{{Name: Class, Points: ClassMedium, Least: mcprun.Medium}, {Name: Secret, Points: 30, Least: mcprun.Low}, {Name: NewTool, Points: 5, Least: mcprun.Low}}
	got := Changes(parts)
	if len(got) != 1 || got[0].Without.Name != Secret || got[0].Class != mcprun.Medium || got[0].Score != 40 {
		t.Errorf("%+v", got)
	}
	tainted := []mcprun.Contribution{{Name: Class, Points: ClassMedium, Least: mcprun.Medium}, {Name: Untrusted, Points: 15, Least: mcprun.Low}, {Name: Private, Points: 10, Least: mcprun.Low}, {Name: Trifecta, Least: mcprun.High}}
	if got := Changes(tainted); len(got) != 2 || got[0].Without.Name != Untrusted || got[1].Without.Name != Private || got[1].Score != 50 {
		t.Errorf("what rests on another goes with it: %+v", got)
	}
	if got := Changes(parts[:1]); got != nil {
		t.Errorf("of the class alone: %+v", got)
	}
}

func TestEncodedText(t *testing.T) {
	var raw [400]byte
	r := rand.New(rand.NewPCG(3, 4))
	for i := range raw {
		raw[i] = byte(r.IntN(256))
	}
	packed := raw[:]
	for _, row := range []struct {
		name, text string
		encoded    bool
	}{
		{"base64", base64.StdEncoding.EncodeToString(packed), true},
		{"base64 for addresses, in a sentence", "see " + base64.RawURLEncoding.EncodeToString(packed) + " please", true},
		{"hex", hex.EncodeToString(packed), true},
		{"escaped bytes", strings.Repeat(`\x41\x7f`, 40), true},
		{"escaped for an address", url.QueryEscape(strings.Repeat("ж", 60)), true},
		{"numbers of characters", strings.Repeat("&#65;", 60), true},
		{"prose", strings.Repeat("The meeting is on Friday, at noon. ", 40), false},
		{"code", strings.Repeat("for i := range list { out = append(out, f(i)) }\n", 40), false},
		{"one long line of a path", "/" + strings.Repeat("workspace/src/component/", 20), false},
		{"a SHA-512", hex.EncodeToString(packed[:64]), false},
		{"many SHA-256, a line each", strings.Repeat(hex.EncodeToString(packed[:32])+"\n", 30), false},
		{"integrity of a lock file", `"integrity": "sha512-` + base64.StdEncoding.EncodeToString(packed[:64]) + `"`, false},
		{"zeros", strings.Repeat("0", 500), false},
		{"a ruler", strings.Repeat("=", 500), false},
		{"a percentage or two", strings.Repeat("it grew by 20% and 5% more. ", 20), false},
		{"an address with a query", "https://example.com/search?q=" + url.QueryEscape("the quick brown fox & others"), false},
	} {
		if got := EncodedText(row.text); (got != "") != row.encoded {
			t.Errorf("%s: %q, want encoded %v", row.name, got, row.encoded)
		}
	}
}
