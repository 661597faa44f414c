package egress

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy/dns"
)

// systemRoots are where distributions keep the authorities they trust, as
// crypto/x509 looks for them.
var systemRoots = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
}

// roots reads the authorities of the host. Without any a container trusts its own
// authority alone, and what is not inspected fails closed.
func roots() []byte {
	for _, path := range append([]string{os.Getenv("SSL_CERT_FILE")}, systemRoots...) {
		if raw, err := os.ReadFile(path); path != "" && err == nil {
			return raw
		}
	}
	return nil
}

// Where the container finds the authority: dir + these.
const (
	authorityFile = "ca.pem"     // alone, for programs that add it to their own
	bundleFile    = "bundle.pem" // with the host's, for programs that take one file
	storeFile     = "trust.p12"  // the same for Java
)

// trustVariables tell the runtimes whom to trust. Node adds to its own list; the
// others replace theirs, so they get the bundle.
func trustVariables(dir string) []string {
	bundle := dir + bundleFile
	return []string{
		"NODE_EXTRA_CA_CERTS=" + dir + authorityFile,
		"SSL_CERT_FILE=" + bundle,      // OpenSSL, Go, Python's ssl, Ruby, Rust
		"REQUESTS_CA_BUNDLE=" + bundle, // Python's requests
		"CURL_CA_BUNDLE=" + bundle,
		"GIT_SSL_CAINFO=" + bundle,
		"NPM_CONFIG_CAFILE=" + bundle,
		"PIP_CERT=" + bundle,
		"AWS_CA_BUNDLE=" + bundle,
		"DENO_CERT=" + dir + authorityFile,
		"JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=" + dir + storeFile + " -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=" + TrustStorePassword,
	}
}

// Given is what the container is to be given: files by the path at which it reads
// them, those of its own below dir, and variables but for those that are set.
func (w *Way) Given(dir, resolvConf, hosts string, name mcprun.ServerName, set []string) (files map[string][]byte, env []string, err error) {
	files = map[string][]byte{
		// One attempt: the stub answers at once or not at all.
		resolvConf: fmt.Appendf(nil, "nameserver %s\noptions attempts:1 timeout:2\n", dns.Resolver),
		hosts:      fmt.Appendf(nil, "127.0.0.1 localhost %s\n::1 localhost\n", name),
	}
	if w.authority == nil {
		return files, nil, nil
	}
	known := roots()
	store, err := w.authority.TrustStore(known)
	if err != nil {
		return nil, nil, err
	}
	files[dir+authorityFile], files[dir+bundleFile], files[dir+storeFile] = w.authority.PEM(), w.authority.Bundle(known), store
	for _, v := range trustVariables(dir) {
		variable, _, _ := strings.Cut(v, "=")
		if !slices.Contains(set, variable) {
			env = append(env, v)
		}
	}
	return files, env, nil
}
