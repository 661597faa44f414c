package profiles

import (
	"embed"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mcprun/mcprun/internal/slips"
)

// tables are what is known of system calls whatever a profile says: their numbers
// (hack/callnames), the names of arguments, and what can never be granted.
//
//go:embed tables/*
var tables embed.FS

// callNumbers are the numbers of one call by GOARCH; an architecture that lacks the
// call is absent.
type callNumbers map[string]int

// callTable is tables/calls.txt. What it does not know is no call to anybody here; a
// newer kernel's calls come with golang.org/x/sys. It is read once, as all tables are:
// nobody changes what it returns.
var callTable = sync.OnceValue(readCallTable)

func readCallTable() map[string]callNumbers {
	raw, _ := tables.ReadFile("tables/calls.txt") // embedded: TestCallTable holds that it is there
	out := map[string]callNumbers{}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) != 1+len(arches()) || f[0] == "#" {
			continue
		}
		numbers := callNumbers{}
		for i, goarch := range arches() {
			if n, err := strconv.Atoi(f[1+i]); err == nil {
				numbers[goarch] = n
			}
		}
		out[f[0]] = numbers
	}
	return out
}

// elsewhere says whether a name is that of a call which only other machines have.
func elsewhere(name string) bool {
	n, ok := callTable()[name]
	return ok && len(n) == 0
}

// only is the one architecture that has a call; empty if all do, or none.
func (n callNumbers) only() string {
	if len(n) == 1 {
		for goarch := range n {
			return goarch
		}
	}
	return ""
}

// CallNames lists every system call that the machines have which profiles are for, sorted.
func CallNames() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(callTable())), elsewhere)
}

// Number is the number of a call on goarch.
func Number(call, goarch string) (int, bool) {
	n, ok := callTable()[call][goarch]
	return n, ok
}

// Nearest is the call that was most likely meant by a name that is none, or nothing.
func Nearest(name string) string { return nearest(name, CallNames()) }

// maxDistance is how many slips a suggestion may be away: three make another word.
const maxDistance = 2

// nearest is the known word with the fewest slips; of two, the one that begins alike.
func nearest(name string, known []string) string {
	name = strings.ToLower(name)
	best, least := "", 2*(maxDistance+1)
	for _, k := range known {
		if len(name) > maxCallName || len(k)-len(name) > maxDistance || len(name)-len(k) > maxDistance {
			continue
		}
		d := 2 * slips.Between(name, k)
		if name == "" || k[0] != name[0] {
			d++
		}
		if d < least && d < 2*len(k) {
			best, least = k, d
		}
	}
	return best
}

// Known says whether a name is that of a system call here.
func Known(call string) bool { _, ok := callTable()[call]; return ok }

// NameOf is the call with this number on goarch, or "call N" for one newer than is known.
func NameOf(number int, goarch string) string {
	if name, ok := byNumber()[goarch][number]; ok {
		return name
	}
	return "call " + strconv.Itoa(number)
}

var byNumber = sync.OnceValue(func() map[string]map[int]string {
	out := map[string]map[int]string{}
	for _, goarch := range arches() {
		out[goarch] = map[int]string{}
	}
	for name, numbers := range callTable() {
		for goarch, n := range numbers {
			out[goarch][n] = name
		}
	}
	return out
})
