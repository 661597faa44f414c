package manifest

import "testing"

// What may be taken over while a server runs, each beside what may not.
func TestToolsTightened(t *testing.T) {
	const was = "  a: {risk: low, justification: required}\n  b: {risk: medium}\n"
	for _, row := range []struct {
		name, now string
		want      bool
	}{
		{"the same", was, true},
		{"one withdrawn", "  b: {risk: medium}\n", true},
		{"one raised", "  a: {risk: high, justification: required}\n  b: {risk: medium}\n", true},
		{"one blocked", "  a: {risk: low, justification: required}\n  b: {risk: block}\n", true},
		{"one withdrawn, one raised", "  b: {risk: high}\n", true},
		{"one lowered", "  a: {risk: low, justification: required}\n  b: {risk: low}\n", false},
		{"one raised, one lowered", "  a: {risk: high, justification: required}\n  b: {risk: low}\n", false},
		{"one more", was + "  c: {risk: block}\n", false},
		{"another instead", "  a: {risk: low, justification: required}\n  c: {risk: high}\n", false},
		{"no more justification", "  a: {risk: high}\n  b: {risk: medium}\n", false},
		{"a limit that came", "  a: {risk: low, justification: required}\n  b: {risk: medium, limits: {rate: 1/min}}\n", false},
	} {
		parse := func(tools string) *Server {
			m, err := Parse("server.yaml", []byte("version: 1\nname: x\nimage: ./x.tar\ntools:\n"+tools))
			if err != nil {
				t.Fatal(row.name, err)
			}
			return m
		}
		if got := ToolsTightened(parse(was), parse(row.now)); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}
