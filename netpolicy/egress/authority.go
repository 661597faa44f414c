package egress

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

const (
	// authorityLife bounds what a certificate authority that leaks is worth. A
	// container that runs longer gets a new one at its next start; until then its
	// leaves are refused by itself.
	authorityLife = 24 * time.Hour
	// clockSlack is how far a container's idea of the time may be behind: it shares
	// the host's clock, so this covers rounding alone.
	clockSlack = time.Minute
	// maxLeaves bounds the certificates kept; each allowed host needs one.
	maxLeaves = 1024
)

// Authority is the certificate authority of one instance. Its key is made with
// it, stays in memory, and signs leaves for hosts of inspected rules alone.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// NewAuthority makes one for the instance.
func NewAuthority(instance string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the instance's certificate authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "mcprun " + instance},
		NotBefore: now.Add(-clockSlack), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making the instance's certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("making the instance's certificate authority: %w", err)
	}
	return &Authority{cert: cert, key: key, leaves: make(map[string]*tls.Certificate)}, nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // never since Go 1.24
	}
	return n
}

// Leaf is a certificate for one host, made at its first use.
func (a *Authority) Leaf(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.leaves[host]; c != nil {
		return c, nil
	}
	if len(a.leaves) >= maxLeaves {
		clear(a.leaves)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a certificate for %s: %w", host, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{addr.AsSlice()}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate for %s: %w", host, err)
	}
	c := &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
	a.leaves[host] = c
	return c, nil
}

// PEM is the certificate that the container is to trust.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// TrustStorePassword protects nothing: the store holds certificates only, and
// Java wants a password.
const TrustStorePassword = "changeit"

// TrustStore is roots and the authority as a PKCS #12 file, which Java reads.
func (a *Authority) TrustStore(roots []byte) ([]byte, error) {
	certs := []*x509.Certificate{a.cert}
	for rest := roots; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			certs = append(certs, c)
		}
	}
	p, err := pkcs12.Modern.EncodeTrustStore(certs, TrustStorePassword)
	if err != nil {
		return nil, fmt.Errorf("writing the trust store: %w", err)
	}
	return p, nil
}

// Bundle is roots and the authority in one PEM file.
func (a *Authority) Bundle(roots []byte) []byte {
	return append(bytes.TrimRight(bytes.Clone(roots), "\n"), append([]byte("\n"), a.PEM()...)...)
}
