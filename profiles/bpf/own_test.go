//go:build cgo

package bpf

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
)

// ownProfiles are operators' profiles that ask for as much as an own profile can get, and
// ones made at random: whatever is taken is held to the property below.
func ownProfiles(random *rand.Rand) []string {
	out := []string{
		"version: 1\nname: own\nextends: node\nallow:\n  - calls: [socket]\n    where: [{arg: family, any: [AF_NETLINK]}, {arg: type, any: [SOCK_DGRAM, SOCK_RAW]}, {arg: protocol, any: [NETLINK_ROUTE, NETLINK_SOCK_DIAG]}]\n    reason: reads interfaces\n" +
			"  - calls: [ioctl]\n    where: [{arg: request, any: [FICLONE, SIOCGIFMTU]}]\n    reason: copies files\n  - calls: [prctl]\n    where: [{arg: option, any: [PR_CAPBSET_DROP, PR_SET_MDWE]}]\n    reason: sheds rights\n",
		"version: 1\nname: own\nextends: strict\ndeny:\n  - calls: [clone, socket]\n    reason: needs neither\nallow:\n  - calls: [clone]\n    where: [{arg: flags, mask: \"0xfe020000\", any: {none: 0}}]\n    reason: threads\n",
	}
	names := profiles.CallNames()
	for range 60 {
		call := names[random.IntN(len(names))]
		known, _ := profiles.ArgumentsOf(call)
		where := ""
		if len(known) > 0 && len(known[0].Values) > 0 {
			a := known[random.IntN(len(known))]
			if len(a.Values) > 0 {
				where = fmt.Sprintf("    where: [{arg: %s, any: [%s, %d]}]\n", a.Name, a.Values[random.IntN(len(a.Values))].Name, random.Uint32N(64))
			}
		}
		out = append(out, fmt.Sprintf("version: 1\nname: own\nextends: strict\nallow:\n  - calls: [%s]\n%s    reason: tried at random\n", call, where))
	}
	return out
}

// Whatever an own profile says and is taken for, the program that the kernel would run
// answers no call that is never allowed with yes, and no value that is never allowed.
func TestOwnProfilesStayWithinTheCeilings(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	never, err := profiles.Never()
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, text := range ownProfiles(random) {
		p, err := manifest.ParseProfile("own.yaml", []byte(text))
		if err != nil {
			continue
		}
		taken++
		s, err := p.Seccomp("amd64")
		if err != nil {
			t.Fatal(err)
		}
		filter, _, err := build(s)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		program, err := export(filter)
		filter.Release()
		if err != nil {
			t.Fatal(err)
		}
		if got := evaluate(t, program, auditX86_64, 0, [6]uint64{}); got != retAllow {
			t.Fatalf("read is answered %#x: the control shows nothing", got)
		}
		try := func(call string, args [6]uint64) {
			t.Helper()
			n, ok := profiles.Number(call, "amd64")
			if !ok {
				return
			}
			if evaluate(t, program, auditX86_64, uint32(n), args) == retAllow {
				t.Errorf("%s %v is allowed by\n%s", call, args, text)
			}
		}
		for call := range never {
			try(call, [6]uint64{random.Uint64(), random.Uint64(), random.Uint64()})
			try(call, [6]uint64{})
		}
		for call, sets := range profiles.NeverValues() {
			for _, set := range sets {
				for range 8 {
					args := [6]uint64{random.Uint64N(64), random.Uint64N(8), random.Uint64N(300), random.Uint64N(8)}
					for arg, v := range set {
						args[arg] = uint64(v.Value) | uint64(random.Uint32())<<32 // the kernel drops the high half
						if strings.HasPrefix(v.Name, "CLONE_") || strings.HasPrefix(v.Name, "S_IS") {
							args[arg] |= uint64(random.Uint32()) // a flag among others
						}
					}
					try(call, args)
				}
			}
		}
	}
	if taken < 10 {
		t.Errorf("only %d of the profiles were taken: the test sees too little", taken)
	}
}
