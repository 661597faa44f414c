//go:build vault

package vaulttest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/internal/testenv"
)

const (
	// startIn bounds the start of the server on a busy machine.
	startIn = 30 * time.Second

	// serverLife ends a server whose test hangs. Each test here takes seconds.
	serverLife = 2 * time.Minute

	// maxAnswer is far above the answers to what is asked here.
	maxAnswer = 1 << 20
)

// server is a Vault in development mode: unsealed, in memory, on loopback, with a
// key-value store of version 2 at secret/. The tests add one of version 1 at kv1/.
type server struct {
	t       *testing.T
	address string
	root    string // its root token
	ca      string // the file of its authority, "" without TLS
	client  *http.Client
	stop    func() // ends the process and waits; may be called twice
}

func start(t *testing.T, withTLS bool) *server {
	t.Helper()
	testenv.Need(t, "vault")
	dir, listen := t.TempDir(), freeAddress(t)
	s := &server{t: t, address: "http://" + listen, root: "root-" + rand.Text(), client: &http.Client{Timeout: 10 * time.Second}}
	args := []string{"server", "-dev", "-dev-no-store-token", "-dev-listen-address=" + listen}
	if withTLS {
		s.address, s.ca = "https://"+listen, filepath.Join(dir, "vault-ca.pem")
		args = append(args, "-dev-tls", "-dev-tls-cert-dir="+dir)
	}
	log := s.run(dir, args)
	s.await(log)
	s.ask("POST", "sys/mounts/kv1", `{"type": "kv", "options": {"version": "1"}}`)
	return s
}

// run starts the process and returns the file of its log.
func (s *server) run(dir string, args []string) string {
	s.t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(context.Background(), serverLife)
	cmd := exec.CommandContext(ctx, filepath.Join(os.Getenv("MCPRUN_BIN"), "test", "vault"), args...)
	cmd.Env = []string{"HOME=" + dir, "VAULT_DEV_ROOT_TOKEN_ID=" + s.root}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a killed test leaves none behind
	if err := cmd.Start(); err != nil {
		cancel()
		s.t.Fatal(err)
	}
	s.stop = func() { cancel(); cmd.Wait() }
	s.t.Cleanup(s.stop)
	return log.Name()
}

// freeAddress finds a port that is free, and so is the next one: Vault takes it
// for its cluster.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 20 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		second, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		first.Close()
		if err == nil {
			second.Close()
			return first.Addr().String()
		}
	}
	t.Fatal("no two neighbouring ports are free")
	return ""
}

func (s *server) await(log string) {
	s.t.Helper()
	for end := time.Now().Add(startIn); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s.ca != "" && !s.trust() {
			continue
		}
		resp, err := s.client.Get(s.address + "/v1/sys/health")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK && s.mounted() {
			return
		}
	}
	text, _ := os.ReadFile(log)
	s.t.Fatalf("Vault does not answer within %v:\n%s", startIn, text)
}

// trust takes up the authority that the server makes when it starts.
func (s *server) trust() bool {
	raw, err := os.ReadFile(s.ca)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(raw) {
		return false
	}
	s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return true
}

// mounted says whether secret/ is there, with the root token of the test: the
// server makes both after it is up.
func (s *server) mounted() bool {
	status, _, err := s.try("GET", "sys/mounts/secret", "")
	return err == nil && status == http.StatusOK
}

func (s *server) try(method, path, body string) (int, []byte, error) {
	req, err := http.NewRequest(method, s.address+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("X-Vault-Token", s.root)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, raw, err
}

// ask is what an operator does, as root: it must succeed.
func (s *server) ask(method, path, body string) []byte {
	s.t.Helper()
	status, raw, err := s.try(method, path, body)
	if err != nil || status >= 300 {
		s.t.Fatalf("%s %s: %d %s %v", method, path, status, raw, err)
	}
	return raw
}

// put2 and put1 write the field "token" at PATH of the stores of version 2 and 1.
func (s *server) put2(path, value string) {
	s.t.Helper()
	s.ask("POST", "secret/data/"+path, fmt.Sprintf(`{"data": {"token": %q}}`, value))
}

func (s *server) put1(path, value, ttl string) {
	s.t.Helper()
	s.ask("POST", "kv1/"+path, fmt.Sprintf(`{"token": %q, "ttl": %q}`, value, ttl))
}
