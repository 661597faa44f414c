package words

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/gate/argument"
)

// fake tokens, put together here so that no scanner finds one in the source.
var (
	ghp     = "ghp" + "_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
	awsID   = "AKIA" + "IOSFODNN7EXAMPLE"
	awsKey1 = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	hex32   = "0123456789abcdef" + "fedcba9876543210"
	rand40  = "Zx3vBn8mQw2eRt6yUi0pAs4dFg7hJk1lZc5vBn9m"
	jwt     = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	pemText = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1c7+9z5Pad7OejecsQ0bu3aozN3tihPmUDgXlIjlEv2mCVbH\n-----END RSA PRIVATE KEY-----"
)

var secretRows = []struct {
	value   string
	verdict argument.Verdict
	rule    string
}{
	// In the clear.
	{awsID + " " + awsKey1, no, "secret.aws"},
	{"[default]\naws_access_key_id = " + awsID + "\naws_secret_access_key = " + awsKey1, no, "secret.aws"},
	{"aws_secret_access_key=" + awsKey1, no, "secret.aws"},
	{`{"SecretAccessKey": "` + awsKey1 + `"}`, no, "secret.aws"},
	{"use " + awsID + " for this", hold, "secret.aws"},
	{"ghp" + "_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2", no, "secret.github"},
	{"token: " + ghp, no, "secret.github"},
	{"x" + ghp, no, "secret.github"},
	{"https://" + ghp + "@github.com/a/b", no, "secret.github"},
	{"gho" + ghp[3:], no, "secret.github"},
	{"ghs" + ghp[3:], no, "secret.github"},
	{"github_pat_" + "11ABCDEFG0aBcDeFgHiJkL_" + rand40, no, "secret.github"},
	{"glpat-" + "aB3dE6gH9jK2mN5pQ8sT", no, "secret.gitlab"},
	{"xoxb-" + "1234567890-abcdefghijkl", no, "secret.slack"},
	{"xoxp-" + "123456789012-123456789012-abcdef", no, "secret.slack"},
	{"https://hooks.slack.com/services/T" + "0AB1CD2EF/B0GH3IJ4KL/aB3dE6gH9jK2mN5pQ8sTuV1x", no, "secret.slack"},
	{"AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY", no, "secret.google"},
	{"sk-" + "aB3dE6gH9jK2mN5pQ8sTaB3dE6gH9jK2mN5pQ8sTaB3dE6gH", no, "secret.openai"},
	{"sk-proj-" + rand40 + "_" + rand40, no, "secret.openai"},
	{"sk-" + hex32, no, "secret.openai"},
	{"sk-ant-" + "api03-" + rand40, no, "secret.anthropic"},
	{"sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", no, "secret.stripe"},
	{"rk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", no, "secret.stripe"},
	{"npm_" + rand40[:36], no, "secret.npm"},
	{"pypi-" + "AgEIcHlwaS5vcmcC" + rand40 + rand40, no, "secret.pypi"},
	{"SK" + hex32, no, "secret.twilio"},
	{"AC" + hex32 + ":" + "9f8e7d6c5b4a39281706f5e4d3c2b1a0", no, "secret.twilio"},
	{"SG." + "aB3dE6gH9jK2mN5pQ8sTuV" + "." + "aB3dE6gH9jK2mN5pQ8sTuVaB3dE6gH9jK2mN5pQ8sTu", no, "secret.sendgrid"},
	{jwt, no, "secret.jwt"},
	{"Authorization: Bearer " + jwt, no, "secret.jwt"},
	{pemText, no, "secret.privatekey"},
	{strings.ReplaceAll(pemText, "\n", `\n`), no, "secret.privatekey"},
	{"-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ", no, "secret.privatekey"},
	{"-----BEGIN ENCRYPTED " + "PRIVATE KEY-----\r\nMIIFHDBOBgkqhkiG9w0BBQ0wQTApBgkq\r\n", no, "secret.privatekey"},
	{"-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow...", no, "secret.privatekey"},
	{"-----BEGIN RSA " + "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", no, "secret.privatekey"},
	{"b3BlbnNzaC1rZXktdjEA" + "AAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZWQyNTUxOQ", no, "secret.privatekey"},
	{"AGE-SECRET-KEY-" + "1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQQPZRY9X8GF2TVDW0S3JN54KHC", no, "secret.age"},
	{"postgres://" + "admin:s3cr3t!x@db.internal:5432/app", no, "secret.connection"},
	{"mongodb+srv://" + "root:Tr0ub4dor@cluster0.example.net/", no, "secret.connection"},
	{"Server=db;User Id=sa;" + "Password=Tr0ub4dor&3;", no, "secret.connection"},
	{"host=db user=app " + "password=Tr0ub4dor", no, "secret.connection"},
	{"DefaultEndpointsProtocol=https;AccountName=x;AccountKey=" + strings.Repeat("aB3/E6+H9jK2", 7) + "aa==", no, "secret.azure"},
	{"https://x.blob.core.windows.net/c?sv=2022-11-02&se=2030-01-01&sig=" + "aB3dE6gH9jK2mN5pQ8sTuVaB3dE6gH9jK2mN5pQ8sTu%3D", no, "secret.azure"},
	{"hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH", no, "secret.huggingface"},
	{"dop_v1_" + hex32 + hex32, no, "secret.digitalocean"},
	{"dckr_pat_" + "aB3dE6gH9jK2mN5pQ8sTuV1x2y3", no, "secret.docker"},
	{"123456789:AA" + "Hdqwcvh9vGWJxfSeofSAs0K5PALDsaw3x"[:33], no, "secret.telegram"},

	// Split and hidden.
	{ghp[:10] + " " + ghp[10:20] + " " + ghp[20:], no, "secret.github"},
	{strings.Join(strings.Split(ghp, ""), " "), no, "secret.github"},
	{"the token is " + ghp[:10] + "\n" + ghp[10:] + " and no more", no, "secret.github"},
	{ghp[:10] + "\u200b" + ghp[10:], no, "secret.github"},
	{"gh\u00adp" + ghp[3:], no, "secret.github"},
	{ghp[:3] + "\x00" + ghp[3:], no, "secret.github"},
	{"sk-ant-" + "api03-" + rand40[:10] + "\t" + rand40[10:], no, "secret.anthropic"},
	{"xoxb-" + "1234567890-12345 67890-aB3dE6gH9jK2", no, "secret.slack"},

	{jwt[:20] + "\n" + jwt[20:60] + "\n" + jwt[60:], no, "secret.jwt"},
	{"SG." + "aB3dE6gH9j K2mN5pQ8sTuV" + "." + "aB3dE6gH9jK2mN5pQ8sTuVaB3dE6gH9jK2mN5pQ8sTu", no, "secret.sendgrid"},
	{"AKIA" + "Z3X9Q7 B2M5K8W4T6", hold, "secret.aws"},

	// Encoded once.
	{base64.StdEncoding.EncodeToString([]byte(ghp)), no, "secret.github"},
	{base64.RawURLEncoding.EncodeToString([]byte("my key: " + ghp)), no, "secret.github"},
	{"echo " + base64.StdEncoding.EncodeToString([]byte("token="+ghp)) + " | base64 -d", no, "secret.github"},
	{"x" + base64.StdEncoding.EncodeToString([]byte("token="+ghp)), no, "secret.github"},
	{wrap(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("padding ", 20)+ghp)), 64), no, "secret.github"},
	{base64.StdEncoding.EncodeToString([]byte(pemText)), no, "secret.privatekey"},
	{base64.StdEncoding.EncodeToString(utf16le(ghp)), no, "secret.github"},
	{hex.EncodeToString([]byte(ghp)), no, "secret.github"},
	{"x" + strings.ToUpper(hex.EncodeToString([]byte(ghp))), no, "secret.github"},
	{strings.TrimSpace(fmt.Sprintf("% x", ghp)), no, "secret.github"},
	{"data a" + fmt.Sprintf("% x", ghp), no, "secret.github"},
	{escapedHex(ghp), no, "secret.github"},
	{everyByte(ghp), no, "secret.github"},
	{"https://x.example/?k=" + url.QueryEscape("postgres://admin:Tr0ub4dor@db/x"), no, "secret.connection"},

	// No secret.
	{"", pass, ""},
	{"the AKIA prefix is used by AWS", pass, ""},
	{"AKIA IDS ARE TWENTY CHARACTERS LONG IN 2024 AND LATER", pass, ""},
	{strings.Repeat("x", 4000), pass, ""},
	{"ghp_" + strings.Repeat("x", 36), pass, ""},
	{"ghp_your_token_here", pass, ""},
	{"tokens begin with ghp_ and have thirty six more characters of letters and 10 digits", pass, ""},
	{"set GITHUB_TOKEN=ghp_<token>", pass, ""},
	{"da39a3ee5e6b4b0d3255bfef95601890afd80709", pass, ""},
	{"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", pass, ""},
	{"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==", pass, ""},
	{"123e4567-e89b-12d3-a456-426614174000", pass, ""},
	{"d41d8cd98f00b204e9800998ecf8427e", pass, ""},
	{"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", pass, ""},
	{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtQ4wYzkQq6PfgfIxm4c5dKrYr1a0cJ3f8bqv0o3uWy user@host", pass, ""},
	{"-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n-----END CERTIFICATE-----", pass, ""},
	{"-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1c7+9z5Pad7OejecsQ0b\n", pass, ""},
	{"a key file starts with -----BEGIN RSA PRIVATE KEY----- and documentation explains the rest", pass, ""},
	{"-----BEGIN RSA PRIVATE KEY-----\n<your key>\n-----END RSA PRIVATE KEY-----", pass, ""},
	{"-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----", pass, ""},
	{"https://example.org/path?q=1#x", pass, ""},
	{"postgres://user:password@localhost:5432/db", pass, ""},
	{"postgres://postgres:postgres@localhost/db", pass, ""},
	{"postgres://$USER:$PASS@localhost/db", pass, ""},
	{"postgres://user:${DB_PASSWORD}@localhost/db", pass, ""},
	{"git clone ssh://git@github.com/a/b", pass, ""},
	{"mail me at https://example.org:8443/@user", pass, ""},
	{"password=hunter2", pass, ""},
	{"Server=db;Database=x;Integrated Security=true;Password=;", pass, ""},
	{"the locale sk-SK and the package scikit-learn (sk-learn) are fine", pass, ""},
	{"class=\"sk-fading-circle sk-circle-12-something-long-enough\"", pass, ""},
	{"npm_config_registry=https://registry.npmjs.org npm_lifecycle_event=test", pass, ""},
	{"hf_hub_download(repo_id='bert-base-uncased', filename='config.json')", pass, ""},
	{"eyJhbGciOiJIUzI1NiJ9", pass, ""},
	{"eyJ is how a JWT begins. It is base64.", pass, ""},
	{"from the dop_v1_ prefix one sees DigitalOcean", pass, ""},
	{"xoxb-your-token-here-please", pass, ""},
	{"func main() {\n\tfmt.Println(\"hello\")\n\tfor i := range 10 { s += strconv.Itoa(i) }\n}\n", pass, ""},
	{"SELECT id, name FROM users WHERE id = 3 AND token IS NOT NULL ORDER BY name LIMIT 10;", pass, ""},
	{"SKU 1234567890, SKILLS, ACCOUNT, ACME", pass, ""},
	{"Zażółć gęślą jaźń — 日本語 🎉👩‍💻", pass, ""},
	{"h1:rcmlQ6lk2JmLBj9y4WCwPZ0OJhY5Uxs4pEIFcGx8cBk= go.sum line", pass, ""},
	{"100% of 50%25 and %zz", pass, ""},
	{"deadbeef cafe babe 00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff 00 11 22 33", pass, ""},
	{strings.Repeat("The quick brown fox jumps over the lazy dog. ", 200), pass, ""},
}

func wrap(s string, n int) string {
	var b strings.Builder
	for len(s) > n {
		b.WriteString(s[:n] + "\r\n")
		s = s[n:]
	}
	return b.String() + s
}

func escapedHex(s string) (out string) {
	for i := range len(s) {
		out += fmt.Sprintf(`\x%02x`, s[i])
	}
	return out
}

func everyByte(s string) (out string) {
	for i := range len(s) {
		out += fmt.Sprintf("%%%02X", s[i])
	}
	return out
}

func utf16le(s string) (out []byte) {
	for i := range len(s) {
		out = append(out, s[i], 0)
	}
	return out
}

func TestSecrets(t *testing.T) {
	benign := 0
	for _, r := range secretRows {
		got := Secrets{}.Judge(r.value)
		if got.Verdict != r.verdict || got.Rule != r.rule {
			t.Errorf("%+.120q: %s %q (%s), want %s %q", r.value, got.Verdict, got.Rule, got.Reason, r.verdict, r.rule)
		}
		if r.verdict == pass {
			benign++
		}
		for i := 0; i+12 < len(r.value); i++ {
			if strings.Contains(got.Reason+got.Hint, r.value[i:i+12]) {
				t.Errorf("%q repeats a part of the value", got.Reason)
			}
		}
	}
	if len(secretRows) < 80 || benign*3 < len(secretRows) {
		t.Errorf("%d rows, %d of them benign", len(secretRows), benign)
	}
}

// Each shape has a token that it finds, also written apart, and its rule is not
// found in a text without it.
func TestEveryShapeFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range shapes {
		if c.find != nil {
			continue
		}
		token := c.prefix + randomBody(rng, c.body)
		if c.body.max > 0 {
			token += "."
		}
		got := Secrets{}.Judge("see " + token + " there")
		if got.Verdict == pass || got.Rule != c.rule {
			t.Errorf("%s: %s: %s %q", c.rule, token, got.Verdict, got.Rule)
		}
	}
}

func randomBody(rng *rand.Rand, b body) string {
	var of []byte
	for i := range 256 {
		if b.of[i] && isAlnum(byte(i)) {
			of = append(of, byte(i))
		}
	}
	for {
		out := make([]byte, b.min)
		for i := range out {
			out[i] = of[rng.IntN(len(of))]
		}
		if _, ok := b.match(string(out), false); ok {
			return string(out)
		}
	}
}

// Random text is not a secret: images, archives and hashes are sent every day.
func TestRandomTextPasses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		raw := make([]byte, 8<<10)
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		for _, s := range []string{base64.StdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw), hex.EncodeToString(raw), string(raw)} {
			if got := (Secrets{}).Judge(s); got.Verdict != pass {
				t.Errorf("random text: %s %s", got.Rule, got.Reason)
			}
		}
	}
}

func TestKnown(t *testing.T) {
	const own = "correct horse battery"
	s := Secrets{Known: func(text string) bool { return strings.Contains(text, own) }}
	for _, c := range []struct {
		value string
		rule  string
	}{
		{"a " + own + " b", "secret.known"},
		{base64.StdEncoding.EncodeToString([]byte("say " + own)), "secret.known"},
		{hex.EncodeToString([]byte(own)), "secret.known"},
		{url.PathEscape(own), "secret.known"},
		{"correct\u200b horse battery", "secret.known"},
		{"correct horse", ""},
		{ghp, "secret.github"},
	} {
		if got := s.Judge(c.value); got.Rule != c.rule {
			t.Errorf("%s: %q, want %q", c.value, got.Rule, c.rule)
		}
	}
	if got := s.Judge(strings.Repeat("a ", maxSecretScan)); got.Rule != "secret.size" {
		t.Errorf("too long: %q", got.Rule)
	}
}

func TestEntropy(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	raw := make([]byte, 400)
	for i := range raw {
		raw[i] = byte(rng.Uint32())
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(raw)
	_ = z.Close()
	for _, c := range []struct {
		value    string
		encoding string
		min, max float64
	}{
		{"", "", 0, 0},
		{"plain words in a sentence of a language", "", 3, 4.6},
		{"da39a3ee5e6b4b0d3255bfef95601890afd80709", "", 3, 4.1},
		{"/a/long/path/with/many/parts/that/goes/on/and/on/and/on/and/has/no/end/in/sight/at/all/File1.txt", "", 3, 4.6},
		{"see " + base64.StdEncoding.EncodeToString(raw), "base64", 5.5, 6.1},
		{base64.RawURLEncoding.EncodeToString(raw), "base64", 5.5, 6.1},
		{hex.EncodeToString(raw), "hex", 3.9, 4.1},
		{everyByte(string(raw[:100])), "percent", 3.5, 4.5},
		{"x: " + base64.StdEncoding.EncodeToString(zipped.Bytes()), "gzip", 5.5, 6.1},
		{strings.Repeat("x", 5000), "", 0, 0},
	} {
		bits, encoding := Entropy(c.value)
		if encoding != c.encoding || bits < c.min || bits > c.max {
			t.Errorf("%.40q: %.2f bits, %q; want %g to %g, %q", c.value, bits, encoding, c.min, c.max, c.encoding)
		}
	}
}

// FuzzSecrets: whatever stands around a token, it is found; knowing more secrets
// never lets more pass; nothing of the value is in the reason.
func FuzzSecrets(f *testing.F) {
	for _, r := range secretRows {
		f.Add(r.value, r.value)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > 1<<16 {
			return
		}
		plain := Secrets{}.Judge(before)
		knowing := Secrets{Known: func(s string) bool { return strings.Contains(s, "7") }}.Judge(before)
		if knowing.Verdict > plain.Verdict {
			t.Errorf("%+q: passes when more is known", before)
		}
		got := Secrets{}.Judge(before + " " + ghp + " " + after)
		if got.Verdict != no {
			t.Errorf("%+q hides a token: %s", before, got.Rule)
		}
		coded := Secrets{}.Judge(before + " " + base64.StdEncoding.EncodeToString([]byte(ghp)) + "\n\n" + after)
		if coded.Verdict != no && !anyBase64[last(before)] {
			t.Errorf("%+q hides a token in base64", before)
		}
		for _, f := range []argument.Finding{plain, got, coded} {
			if strings.Contains(f.Reason, ghp[4:12]) {
				t.Errorf("%q repeats the value", f.Reason)
			}
		}
		if bits, _ := Entropy(before); bits < 0 || bits > 8 {
			t.Errorf("%g bits", bits)
		}
	})
}

func last(s string) byte {
	if s == "" {
		return ' '
	}
	return s[len(s)-1]
}

// A hostile text of 256 KiB takes milliseconds, not minutes.
func TestSecretsBounded(t *testing.T) {
	for _, unit := range []string{"AKIA", awsID + " ", "eyJ", "eyJa.", "://", "://a:b@", "sk-", "ghp_", "ab ", "ab", "a ", "\\x61", "0x61, ", "-----BEGIN PRIVATE KEY-----",
		"password=a", "%67", "AC" + hex32 + " ", ":AA", "é", "\u200b", "sig=" + rand40 + "aa", "A\n", strings.Repeat("A", 40) + "\n", strings.Repeat("ab", 17) + "z", "SG."} {
		start := time.Now()
		Secrets{}.Judge(strings.Repeat(unit, (256<<10)/len(unit)))
		if took := time.Since(start); took > time.Second {
			t.Errorf("%.20q: %v", unit, took)
		} else if testing.Verbose() {
			t.Logf("%.20q: %v", unit, took)
		}
	}
}

func BenchmarkSecrets(b *testing.B) {
	prose := strings.Repeat("The quick brown fox jumps over the lazy dog, and 12 others follow it home. ", 200)
	code := strings.Repeat("func (s *Server) handle(ctx context.Context, r *Request) error {\n\tif err := s.check(r); err != nil {\n\t\treturn fmt.Errorf(\"checking %s: %w\", r.Name, err)\n\t}\n}\n", 80)
	raw := make([]byte, 8<<10)
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range raw {
		raw[i] = byte(rng.Uint32())
	}
	image := base64.StdEncoding.EncodeToString(raw)
	for _, c := range []struct {
		name, value string
	}{
		{"short", "Fix the login page and push to main"},
		{"prose1k", prose[:1<<10]}, {"prose10k", prose[:10<<10]}, {"code1k", code[:1<<10]}, {"code10k", code[:10<<10]}, {"base64-1k", image[:1<<10]}, {"base64-10k", image[:10<<10]},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.value)))
			for b.Loop() {
				Secrets{}.Judge(c.value)
			}
		})
	}
}
