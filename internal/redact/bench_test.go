package redact

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
)

// prose is 1 MiB of JSON with English text and numbers, without any secret.
func prose() []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 1<<20; i++ {
		fmt.Fprintf(&b, `{"id":%d,"title":"The quick brown fox jumps over the lazy dog","url":"https://api.example.com/repos/acme/project-%d/issues","body":"Steps to reproduce: open the page, press the button & wait.\nNothing happens; the log says \"connection reset by peer\"."}`+"\n", i*7919, i)
	}
	return b.Bytes()[:1<<20]
}

// noise is 1 MiB of base64, the worst text without secrets: any letter may begin one.
func noise() []byte {
	var b strings.Builder
	for i := 0; b.Len() < 1<<20; i++ {
		sum := sha256.Sum256(fmt.Append(nil, "noise", i))
		b.WriteString(base64.StdEncoding.EncodeToString(sum[:30]))
	}
	return []byte(b.String()[:1<<20])
}

// tokens have no common prefix, which would leave the filter less to look for.
func tokens(n int) []string {
	var list []string
	for i := range n {
		sum := sha256.Sum256(fmt.Append(nil, "token", i))
		list = append(list, base64.RawURLEncoding.EncodeToString(sum[:30]))
	}
	return list
}

// teased is text that nearly is the secret, over and over: the automaton reads all of it.
func teased(secret string) []byte {
	return bytes.Repeat([]byte(secret[:len(secret)-1]), 1<<20/len(secret))
}

func BenchmarkBytes(b *testing.B) {
	for _, n := range []int{1, 64} {
		secrets := tokens(n)
		set, err := New(secrets)
		if err != nil {
			b.Fatal(err)
		}
		for name, text := range map[string][]byte{"prose": prose(), "noise": noise(), "teased": teased(secrets[0])} {
			b.Run(fmt.Sprintf("secrets=%d/%s", n, name), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					if set.Bytes(text) != 0 {
						b.Fatal("a secret was found")
					}
				}
			})
		}
	}
}

func BenchmarkReader(b *testing.B) {
	text := prose()
	for _, n := range []int{1, 64} {
		set, err := New(tokens(n))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("secrets=%d/prose", n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				r := set.Reader(io.NopCloser(bytes.NewReader(text)))
				if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(text)) {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("secrets=%d", n), func(b *testing.B) {
			secrets := tokens(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := New(secrets); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
