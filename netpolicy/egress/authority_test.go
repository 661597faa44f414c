package egress

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

var atNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func authority(t testing.TB, instance string) *Authority {
	t.Helper()
	a, err := NewAuthority(instance, atNoon)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func leaf(t testing.TB, a *Authority, host string) *x509.Certificate {
	t.Helper()
	c, err := a.Leaf(host)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// trusting is a pool of what a file in PEM holds.
func trusting(t testing.TB, file []byte) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(file) {
		t.Fatal("the file holds no certificate")
	}
	return pool
}

// A leaf is good for its host, for a day, and for who trusts its own authority.
func TestLeaf(t *testing.T) {
	mine, others := authority(t, "i-1"), authority(t, "i-2")
	cert := leaf(t, mine, "api.example.com")
	for _, row := range []struct {
		name  string
		roots *x509.CertPool
		host  string
		at    time.Time
		want  string // in the error
	}{
		{"its host", trusting(t, mine.PEM()), "api.example.com", atNoon, ""},
		{"a moment before", trusting(t, mine.PEM()), "api.example.com", atNoon.Add(-clockSlack), ""},
		{"the end of its day", trusting(t, mine.PEM()), "api.example.com", atNoon.Add(24 * time.Hour), ""},
		{"a day later", trusting(t, mine.PEM()), "api.example.com", atNoon.Add(24*time.Hour + time.Second), "expired"},
		{"long before", trusting(t, mine.PEM()), "api.example.com", atNoon.Add(-time.Hour), "expired or is not yet valid"},
		{"another host", trusting(t, mine.PEM()), "other.example.com", atNoon, "valid for api.example.com, not other.example.com"},
		{"a host below", trusting(t, mine.PEM()), "x.api.example.com", atNoon, "valid for api.example.com"},
		{"another instance's authority", trusting(t, others.PEM()), "api.example.com", atNoon, "unknown authority"},
	} {
		_, err := cert.Verify(x509.VerifyOptions{Roots: row.roots, DNSName: row.host, CurrentTime: row.at})
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
	if cert.IsCA || len(cert.DNSNames) != 1 || len(cert.IPAddresses) != 0 {
		t.Errorf("the leaf says more than its host: %+v", cert)
	}
	if !bytes.Equal(leaf(t, mine, "api.example.com").Raw, cert.Raw) {
		t.Error("the same host gets another leaf")
	}
}

// The authority signs hosts alone: none below it is one.
func TestAuthoritySignsLeavesAlone(t *testing.T) {
	a := authority(t, "i-1")
	if !a.cert.IsCA || !a.cert.MaxPathLenZero || a.cert.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("the authority: CA %v, path %d, usage %v", a.cert.IsCA, a.cert.MaxPathLen, a.cert.KeyUsage)
	}
	if _, err := a.cert.Verify(x509.VerifyOptions{Roots: trusting(t, a.PEM()), DNSName: "api.example.com", CurrentTime: atNoon}); err == nil {
		t.Error("the authority itself is good as a host")
	}
	if bytes.Contains(a.PEM(), []byte("PRIVATE")) {
		t.Error("the container's file holds the key")
	}
}

// Leaves are bounded: a wildcard's names must not cost the daemon memory.
func TestLeavesAreBounded(t *testing.T) {
	a := authority(t, "i-1")
	one, err := a.Leaf("api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxLeaves {
		a.leaves[strings.Repeat("x", i+1)] = one
	}
	leaf(t, a, "other.example.com")
	if len(a.leaves) > maxLeaves {
		t.Errorf("%d leaves are kept, at most %d", len(a.leaves), maxLeaves)
	}
}

// The files for the container hold the host's authorities and the instance's own.
func TestBundles(t *testing.T) {
	a := authority(t, "i-1")
	one, two := authority(t, "root one"), authority(t, "root two")
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	for _, row := range []struct {
		name  string
		roots []byte
		want  []*Authority
	}{
		{"no roots", nil, []*Authority{a}},
		{"roots", append(one.PEM(), two.PEM()...), []*Authority{one, two, a}},
		{"no line end at the end", bytes.TrimRight(one.PEM(), "\n"), []*Authority{one, a}},
		{"text and a key between", append(append([]byte("# a comment\n"), key...), one.PEM()...), []*Authority{one, a}},
	} {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(a.Bundle(row.roots))
		want := x509.NewCertPool()
		for _, w := range row.want {
			want.AddCert(w.cert)
		}
		if !pool.Equal(want) {
			t.Errorf("%s: the bundle does not hold the %d authorities", row.name, len(row.want))
		}
		store, err := a.TrustStore(row.roots)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		certs, err := pkcs12.DecodeTrustStore(store, TrustStorePassword)
		held := x509.NewCertPool()
		for _, c := range certs {
			held.AddCert(c)
		}
		if err != nil || len(certs) != len(row.want) || !held.Equal(want) {
			t.Errorf("%s: the trust store holds %d authorities, want %d: %v", row.name, len(certs), len(row.want), err)
		}
	}
}
