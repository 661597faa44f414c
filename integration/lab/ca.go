package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// lifetime is that of every certificate: longer than any test, and soon past.
const lifetime = 24 * time.Hour

// CA is the authority that the lab's servers are signed by.
type CA struct {
	File string // its certificate in PEM, for SSL_CERT_FILE and the like
	PEM  []byte
	Pool *x509.CertPool

	lab  *Lab
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(l *Lab) *CA {
	l.t.Helper()
	key := newKey(l)
	cert := l.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "mcprun lab authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, nil, key, key)
	ca := &CA{lab: l, cert: cert, key: key, Pool: x509.NewCertPool(), PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})}
	ca.Pool.AddCert(cert)
	ca.File = l.write("ca.pem", string(ca.PEM))
	return ca
}

func newKey(l *Lab) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	l.must(err, "making a key")
	return key
}

// sign makes a certificate for key; without a parent it signs itself.
func (l *Lab) sign(c, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	l.t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	l.must(err, "making a serial number")
	c.SerialNumber, c.NotBefore, c.NotAfter = serial, time.Now().Add(-time.Hour), time.Now().Add(lifetime)
	if parent == nil {
		parent = c
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	l.must(err, "signing a certificate")
	cert, err := x509.ParseCertificate(raw)
	l.must(err, "reading a new certificate")
	return cert
}

// Leaf makes a server's certificate for names and addresses.
func (ca *CA) Leaf(names ...string) tls.Certificate {
	ca.lab.t.Helper()
	c := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
		c.Subject.CommonName = names[0]
	}
	key := newKey(ca.lab)
	cert := ca.lab.sign(c, ca.cert, key, ca.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// clientConfig trusts the lab's authority alone.
func (ca *CA) clientConfig() *tls.Config { return &tls.Config{RootCAs: ca.Pool} }
