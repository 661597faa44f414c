package credentials

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func TestIssued(t *testing.T) {
	var i Issued
	for n, shape := range Shapes() {
		p, err := NewPlaceholder(shape, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Add(p, uint64(n)); err != nil {
			t.Fatalf("%s: %v", shape, err)
		}
		if err := i.Add(p, 99); err == nil {
			t.Errorf("%s: entered twice", shape)
		}
		for _, text := range []string{p, "Bearer " + p, "user:" + p, `{"token":"` + p + `"}`, "a " + p + ", b", "session=" + p, "/repos/" + p + "/x", p + ".", strings.Repeat("a.", 100) + p + "=" + strings.Repeat("-b", 100)} {
			if !i.Foreign(text, 1000) {
				t.Errorf("%s: not found in %q", shape, text)
			}
			if i.Foreign(text, uint64(n)) {
				t.Errorf("%s: foreign to its own life", shape)
			}
		}
		// The controls: other text, a piece of it, and what is encoded.
		for _, text := range []string{"", "Bearer abc", p[1:], "x" + p, base64.StdEncoding.EncodeToString([]byte("u:" + p))} {
			if i.Foreign(text, 1000) {
				t.Errorf("%s: found in %q", shape, text)
			}
		}
	}
}

func TestIssuedForgetsTheOldest(t *testing.T) {
	var i Issued
	for n := range maxIssued + 1 {
		if err := i.Add(fmt.Sprintf("placeholder-%d", n), 1); err != nil {
			t.Fatal(err)
		}
	}
	if i.Foreign("placeholder-0", 2) || !i.Foreign("placeholder-1", 2) || len(i.lives) != maxIssued {
		t.Errorf("%d are kept, and not the newest", len(i.lives))
	}
}
