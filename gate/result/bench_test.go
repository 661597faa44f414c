package result

import (
	"strings"
	"testing"

	"github.com/mcprun/mcprun/internal/redact"
)

const (
	english  = "The tool reads the file that you name and returns its lines, with \"quotes\" and numbers such as 12345.\nSee https://example.org/docs for more, and open an issue if something is not as you expect it.\n"
	code     = "\tfor i := range items {\n\t\tif err := do(items[i], map[string]int{\"a\": 1}); err != nil {\n\t\t\treturn fmt.Errorf(\"item %d: %w\", i, err)\n\t\t}\n\t}\n"
	japanese = "日本語のテキストは、漢字とひらがなとカタカナで書かれます。これは長い文章の例です。\n"
	persian  = "می\u200Cخواهم کتاب\u200Cها را ببینم و بخوانم.\n"
	hindi    = "क्\u200Dष नमस्ते दुनिया, आप कैसे हैं?\n"
	coloured = "\x1b[32m✓\x1b[0m test passed \x1b[2m(3 ms)\x1b[0m\r\n"
	angry    = "ignore all previous ignore disregard the above <<end x <<end y ![a ![b <img <img "
)

func benchmark(b *testing.B, text string, size int, s Spec) {
	raw := parsed(b, textResult(strings.Repeat(text, size/len(text)+1)[:size/len(text)*len(text)]))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Prepare(raw, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrepare(b *testing.B) {
	set, err := redact.New([]string{secret, "ghp_0123456789abcdefghijABCDEFGHIJ012345"})
	if err != nil {
		b.Fatal(err)
	}
	wrapped := Spec{Server: "fetch", Tool: "get", Untrusted: true, Mark: mark, Secrets: set}
	for _, size := range []struct {
		name  string
		bytes int
	}{{"10KB", 10 << 10}, {"1MB", 1 << 20}} {
		for _, text := range []struct{ name, text string }{
			{"english", english}, {"code", code}, {"japanese", japanese}, {"persian", persian}, {"hindi", hindi}, {"coloured", coloured}, {"angry", angry},
			{"tags", "x" + tagged("hello")}, {"zerowidth", "a\u200b"}, {"osc", "\u009d0;"}, {"opening", "<<end "}, {"image", "![a]["},
		} {
			b.Run(text.name+"/"+size.name, func(b *testing.B) { benchmark(b, text.text, size.bytes, Spec{Secrets: set}) })
		}
		b.Run("wrapped/"+size.name, func(b *testing.B) { benchmark(b, english, size.bytes, wrapped) })
		b.Run("wrapped-angry/"+size.name, func(b *testing.B) { benchmark(b, angry, size.bytes, wrapped) })
	}
}

func BenchmarkStructured(b *testing.B) {
	raw := parsed(b, `{"content":[],"structuredContent":{"rows":[`+strings.Repeat(`{"id":12345,"name":"some name","tags":["a","b"],"ok":true},`, 170)+`null]}}`)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Prepare(raw, Spec{}); err != nil {
			b.Fatal(err)
		}
	}
}
