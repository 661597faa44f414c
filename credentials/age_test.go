package credentials

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// encrypt writes a real file of age.
func encrypt(t *testing.T, text string, armored bool, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	dst := io.WriteCloser(struct {
		io.Writer
		io.Closer
	}{&out, io.NopCloser(nil)})
	if armored {
		dst = armor.NewWriter(&out)
	}
	w, err := age.Encrypt(dst, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func newKey(t *testing.T) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAge(t *testing.T) {
	key, other := newKey(t), newKey(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	identity := "# created: today\n" + other.String() + "\n\n" + key.String() + "\n"
	binary := encrypt(t, canary+"\n", false, key.Recipient())
	for _, r := range []struct {
		name     string
		file     []byte
		identity string
		value    string
		want     string
	}{
		{"binary", binary, identity, canary, ""},
		{"armored", encrypt(t, canary, true, key.Recipient()), identity, canary, ""},
		{"armored after a blank line", append([]byte("\n"), encrypt(t, canary, true, key.Recipient())...), identity, canary, ""},
		{"post-quantum", encrypt(t, canary, false, hybrid.Recipient()), hybrid.String(), canary, ""},
		{"the largest secret", encrypt(t, strings.Repeat("a", MaxSecret), true, key.Recipient()), identity, strings.Repeat("a", MaxSecret), ""},
		{"for another", encrypt(t, canary, false, newKey(t).Recipient()), identity, "", "age.identity does not open it"},
		{"cut", binary[:len(binary)-1], identity, "", "the file of age is damaged"},
		{"cut in the header", binary[:40], identity, "", "the file of age is damaged"},
		{"one bit changed", append(bytes.Clone(binary[:len(binary)-1]), binary[len(binary)-1]^1), identity, "", "the file of age is damaged"},
		{"armor cut", encrypt(t, canary, true, key.Recipient())[:60], identity, "", "the file of age is damaged"},
		{"too much in it", encrypt(t, strings.Repeat("a", MaxOutput+1), false, key.Recipient()), identity, "", "it holds more than 65536 bytes"},
		{"two lines in it", encrypt(t, canary+"\n"+canary, false, key.Recipient()), identity, "", "control character"},
		// Two slips that age itself would answer with a piece of the file.
		{"the secret in plain text", []byte(canary), identity, "", "it is not a file of age"},
		{"plain text behind the header", []byte(binaryIntro + canary), identity, "", "damaged"},
		{"the secret for a key", binary, canary, "", "holds no key of age"},
		{"a key with a slip", binary, "AGE-SECRET-KEY-1" + canary, "", "holds no key of age"},
		{"no key", binary, "# nothing\n", "", "holds no key of age"},
	} {
		t.Run(r.name, func(t *testing.T) {
			a := &Age{File: put(t, "token.age", string(r.file), 0o644), Identity: put(t, "key", r.identity, 0o600)}
			s, err := fetch(t, Source{Age: a}, nil)
			checkFetch(t, s, err, r.value, r.want)
			if err != nil && strings.Contains(err.Error(), "SECRET-KEY") {
				t.Errorf("the error holds a key: %v", err)
			}
		})
	}
}

// Others may read the encrypted file, but not write it, since age does not say who
// encrypted it; and they may do nothing with the key.
func TestAgeModes(t *testing.T) {
	key := newKey(t)
	text := string(encrypt(t, canary, true, key.Recipient()))
	for _, r := range []struct {
		file, identity os.FileMode
		value, want    string
	}{
		{0o644, 0o600, canary, ""},
		{0o666, 0o600, "", "others can write it"},
		{0o664, 0o600, "", "others can write it"},
		{0o644, 0o644, "", "age.identity: looking at the mode of"},
	} {
		a := &Age{File: put(t, "token.age", text, r.file), Identity: put(t, "key", key.String(), r.identity)}
		s, err := fetch(t, Source{Age: a}, nil)
		checkFetch(t, s, err, r.value, r.want)
		if r.file != 0o644 {
			checkHint(t, err, "chmod go-w "+a.File)
		}
	}
}
