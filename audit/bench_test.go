package audit

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mcprun/mcprun"
)

// benchRecord makes a line of about 400 bytes.
func benchRecord() Record {
	return Record{
		Type: TypeCall, Call: "c-0123456789abcdef0123", Server: "files", Instance: "files-1", Tool: "read_text_file", Method: "tools/call",
		Principal: "uid:1000", Verdict: mcprun.Allow, Risk: mcprun.Low, Args: []byte(`{"path":"/workspace/src/main.go","head":100}`), Rule: "tool.low", Session: "s-01",
	}
}

func BenchmarkAppend(b *testing.B) {
	l := newPlace(b).open(b, Options{})
	r := benchRecord()
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Append(&r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	r := benchRecord()
	buf := make([]byte, 0, 2<<10)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = appendBody(appendHead(buf[:0], 1000, Hash{}, testTime), &r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(buf)), "bytes/line")
}

func BenchmarkAppendDurable(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(map[int]string{1: "1", 64: "64"}[writers], func(b *testing.B) {
			l := newPlace(b).open(b, Options{})
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					r := benchRecord()
					for left.Add(-1) >= 0 {
						if err := l.AppendDurable(&r); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	p := newPlace(b)
	l := p.open(b, Options{})
	const records = 20_000
	for range records {
		r := benchRecord()
		if err := l.Append(&r); err != nil {
			b.Fatal(err)
		}
	}
	l.Close()
	for b.Loop() {
		p.mustVerify(b, "")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
}

func BenchmarkParse(b *testing.B) {
	r := benchRecord()
	r.Seq, r.Time = 1, testTime
	line := []byte(encode(b, &r))
	if !strings.HasSuffix(string(line), "\n") {
		b.Fatal("no line")
	}
	var p parser
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.parse(line); err != nil {
			b.Fatal(err)
		}
	}
}
