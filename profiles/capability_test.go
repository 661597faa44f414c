package profiles

import "testing"

// A profile that allowed one of these would promise what no server can do.
func TestNoProfileAllowsWhatNeedsACapability(t *testing.T) {
	for _, name := range Names() {
		p, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, arch := range []string{"amd64", "arm64"} {
			allowed := map[string]bool{}
			for _, call := range p.Calls(arch) {
				allowed[call] = true
			}
			if !allowed["read"] {
				t.Errorf("control: %s on %s allows read", name, arch)
			}
			for call, needs := range capabilities {
				if allowed[call] {
					t.Errorf("%s allows %s, which needs %s", name, call, needs)
				}
			}
		}
	}
	for call := range capabilities {
		if _, ok := callTable()[call]; !ok {
			t.Errorf("no call %s is known", call)
		}
	}
	if got := Needs("read"); got != "" {
		t.Errorf("read needs %s", got)
	}
}
