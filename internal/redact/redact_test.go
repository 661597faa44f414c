package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
)

const (
	token    = "ghp_Zm9vYmFyMTIzNDU2Nzg5MA"
	password = "p/ss w+rd?<ä>\"&\\=~!*(x)" // something for each encoding
)

func mustNew(t testing.TB, secrets ...string) *Set {
	t.Helper()
	set, err := New(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func stars(n int) string { return strings.Repeat("*", n) }

func TestNewRefuses(t *testing.T) {
	many := make([]string, MaxSecrets+1)
	for i := range many {
		many[i] = fmt.Sprintf("secret-%d", 1000+i)
	}
	huge := make([]string, MaxSecrets)
	for i := range huge {
		huge[i] = strings.Repeat(string([]byte{byte('!' + i)}), MaxSecret)
	}
	for _, test := range []struct {
		name    string
		secrets []string
		want    string // in the error; empty: accepted
	}{
		{"none", nil, ""},
		{"shortest", []string{"12345678"}, ""},
		{"longest", []string{strings.Repeat("x", MaxSecret)}, ""},
		{"twice the same", []string{token, token}, ""},
		{"most", many[1:], ""},
		{"short", []string{token, "1234567"}, "secret 2 of 2: 7 bytes; at least 8"},
		{"empty", []string{""}, "secret 1 of 1: 0 bytes; at least 8"},
		{"long", []string{strings.Repeat("x", MaxSecret+1)}, "secret 1 of 1: 16385 bytes; at most 16384"},
		{"many", many, "65 secrets; at most 64"},
		{"too much in all", huge, "the secrets and their encodings are"},
	} {
		t.Run(test.name, func(t *testing.T) {
			set, err := New(test.secrets)
			if test.want == "" {
				if err != nil || set == nil {
					t.Fatalf("got %v, %v", set, err)
				}
				return
			}
			if set != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, %v; want an error with %q", set, err, test.want)
			}
		})
	}
}

func TestErrorsDoNotShowSecrets(t *testing.T) {
	_, err := New([]string{"hunter2"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	set := mustNew(t, token)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%d", "%q"} {
		for _, v := range []any{set, *set} {
			if got := fmt.Sprintf(format, v); got != "redact.Set" {
				t.Errorf("%s: got %.80q", format, got)
			}
		}
	}
}

func TestBytes(t *testing.T) {
	for _, test := range []struct {
		name    string
		secrets []string
		in      string
		want    string
		count   int
	}{
		{"nothing to look for", nil, "hello " + token, "hello " + token, 0},
		{"empty", []string{token}, "", "", 0},
		{"absent", []string{token}, "hello world", "hello world", 0},
		{"all of it", []string{token}, token, stars(26), 1},
		{"inside", []string{token}, `{"a":"` + token + `"}`, `{"a":"` + stars(26) + `"}`, 1},
		{"one byte less is no secret", []string{token}, token[:25] + "!", token[:25] + "!", 0},
		{"in other case it is no secret", []string{token}, strings.ToUpper(token), strings.ToUpper(token), 0},
		{"two", []string{token}, token + " " + token, stars(26) + " " + stars(26), 2},
		{"touching counts once", []string{token}, token + token, stars(52), 1},
		{"after a false start", []string{token}, "ghp_ghp_ZZ" + token, "ghp_ghp_ZZ" + stars(26), 1},
		{"overlapping itself", []string{"abcdabcdab"}, "xabcdabcdabcdaby", "x" + stars(14) + "y", 1},
		{"overlapping another", []string{"12345678", "56789abc"}, "0123456789abcd", "0" + stars(12) + "d", 1},
		{"inside another", []string{"cdefghij", "abcdefghijkl"}, "abcdefghijkl", stars(12), 1},
		{"inside another that is not there", []string{"cdefghij", "abcdefghijkl"}, "abcdefghijk-", "ab" + stars(8) + "k-", 1},
		{"two inside another", []string{"cdefghij", "lmnopqrs", "abcdefghijklmnopqrst"}, "abcdefghijklmnopqrst", stars(20), 1},
		{"two inside another that is not there", []string{"cdefghij", "lmnopqrs", "abcdefghijklmnopqrst"}, "abcdefghijklmnopqrs-", "ab" + stars(8) + "k" + stars(8) + "-", 2},
		{"beginning of another", []string{"abcdefgh", "abcdefghijkl"}, "abcdefghijk abcdefghijkl", stars(8) + "ijk " + stars(12), 2},
		{"end of another", []string{"efghijkl", "abcdefghijkl"}, "efghijkl abcdefghijkl", stars(8) + " " + stars(12), 2},
		{"a long run", []string{"aaaaaaaa"}, "b" + strings.Repeat("a", 5000) + "b", "b" + stars(5000) + "b", 1},
		{"not text", []string{"\x00\xff\x00\xff\x00\xff\x00\xff"}, "\x00\x00\xff\x00\xff\x00\xff\x00\xff\xff", "\x00" + stars(8) + "\xff", 1},
		{"a Basic pair", []string{"user:" + token}, "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+token)), "Basic " + stars(41) + "Q==", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := mustNew(t, test.secrets...)
			b := []byte(test.in)
			if n := set.Bytes(b); string(b) != test.want || n != test.count {
				t.Errorf("Bytes: got %q, %d; want %q, %d", b, n, test.want, test.count)
			}
			if s, n := set.String(test.in); s != test.want || n != test.count {
				t.Errorf("String: got %q, %d; want %q, %d", s, n, test.want, test.count)
			}
		})
	}
}

func TestZeroSet(t *testing.T) {
	var set Set
	if s, n := set.String(token); s != token || n != 0 {
		t.Errorf("got %q, %d", s, n)
	}
}

// TestEncodings takes the encodings from the standard library, not from forms.
func TestEncodings(t *testing.T) {
	jsonString := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Trim(string(b), `"`)
	}
	lowerHex := func(s string) string { // of percent-encoding only
		for i := 0; i < len(s); i++ {
			if s[i] == '%' {
				s = s[:i] + strings.ToLower(s[i:i+3]) + s[i+3:]
			}
		}
		return s
	}
	quiet := "s3cr3t-and-quite-ordinary"
	for _, secret := range []string{token, quiet, password, "-----BEGIN KEY-----\nAAAA/+==\n", "\x00\x01\x02\x03\xfc\xfd\xfe\xff"} {
		set := mustNew(t, secret)
		for name, text := range map[string]string{
			"as is":             secret,
			"query":             url.QueryEscape(secret),
			"query, lower case": lowerHex(url.QueryEscape(secret)),
			"path":              url.PathEscape(secret),
			"path, lower case":  lowerHex(url.PathEscape(secret)),
			"hex":               hex.EncodeToString([]byte(secret)),
			"HEX":               fmt.Sprintf("%X", secret),
		} {
			checkReplaced(t, set, name, text)
		}
		if !strings.Contains(secret, "\xff") {
			checkReplaced(t, set, "json", jsonString(secret))
		}
	}
}

// TestOtherEncodings holds what programs in other languages print.
func TestOtherEncodings(t *testing.T) {
	set := mustNew(t, password)
	for name, text := range map[string]string{
		"JavaScript encodeURIComponent": `p%2Fss%20w%2Brd%3F%3C%C3%A4%3E%22%26%5C%3D~!*(x)`,
		"JavaScript URLSearchParams":    `p%2Fss+w%2Brd%3F%3C%C3%A4%3E%22%26%5C%3D%7E%21*%28x%29`,
		"JavaScript JSON.stringify":     `p/ss w+rd?<ä>\"&\\=~!*(x)`,
		"Python urllib.parse.quote":     `p/ss%20w%2Brd%3F%3C%C3%A4%3E%22%26%5C%3D~%21%2A%28x%29`,
		"Python json.dumps":             `p/ss w+rd?<\u00e4>\"&\\=~!*(x)`,
		"PHP json_encode, unicode":      `p\/ss w+rd?<ä>\"&\\=~!*(x)`,
		"curl --data-urlencode":         `p%2Fss%20w%2Brd%3F%3C%C3%A4%3E%22%26%5C%3D~%21%2A%28x%29`,
	} {
		checkReplaced(t, set, name, text)
	}
	checkReplaced(t, mustNew(t, "pass🔑word"), "beyond the basic plane", `pass\ud83d\udd11word`)
}

func checkReplaced(t *testing.T, set *Set, name, text string) {
	t.Helper()
	got, n := set.String("<" + text + ">")
	if want := "<" + stars(len(text)) + ">"; got != want || n != 1 {
		t.Errorf("%s: %q became %q, %d", name, text, got, n)
	}
}

// TestBase64 puts a secret at every place of longer data. Each character that
// holds six bits of the secret must go; the two that are shared may stay.
func TestBase64(t *testing.T) {
	for _, secret := range []string{token, "\xff\xfe\xfd>>>???\xfb\xff\xff"} {
		set := mustNew(t, secret)
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			for before := range 7 {
				for after := range 4 {
					text := enc.EncodeToString([]byte(strings.Repeat("a", before) + secret + strings.Repeat("z", after)))
					from, to := (before*8+5)/6, (before+len(secret))*8/6
					want := text[:from] + stars(to-from) + text[to:]
					if got, n := set.String(text); got != want || n != 1 {
						t.Errorf("%d before, %d after: %q became %q, %d; want %q", before, after, text, got, n, want)
					}
				}
			}
		}
	}
}

func TestSetIsShared(t *testing.T) {
	set := mustNew(t, token, password)
	text := "a " + token + " b " + url.QueryEscape(password)
	want, _ := set.String(text)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				b := []byte(text)
				if n := set.Bytes(b); n != 2 || string(b) != want {
					t.Errorf("got %q, %d", b, n)
				}
			}
		})
	}
	wg.Wait()
}

// TestLargestSecret also is the deepest automaton: 16 KiB that all look the same.
func TestLargestSecret(t *testing.T) {
	secret := strings.Repeat("\x01", MaxSecret)
	set := mustNew(t, secret, secret[:MaxSecret/2], secret[:MinSecret])
	text, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	want := `"` + stars(6*MaxSecret) + `"`
	if got, n := set.String(string(text)); got != want || n != 1 {
		t.Errorf("%d runs; %d bytes not replaced", n, len(got)-2-bytes.Count([]byte(got), []byte("*")))
	}
}
