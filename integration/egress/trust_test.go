package egress

import (
	"archive/zip"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Runtimes with a trust store of their own accept the authority of the instance:
// Java, which reads neither the system's list nor SSL_CERT_FILE.
func TestJavaTrustsTheAuthority(t *testing.T) {
	w := newWorld(t)
	w.lab.HTTPS(public+":443", "api.example.com", "other.example.com")
	w.lab.DNS.Names(map[string][]string{"api.example.com": {public}, "other.example.com": {public}})
	w.d.Up("java", "java", `profile: node
resources: {memory: 1GiB, pids: 256, cpu: 2}
tools: {run_command: {risk: low, arguments: {command: {unchecked: tests}}}}
egress:
  - {host: api.example.com, inspect: true, methods: [GET], paths: ["/**"]}
  - {host: other.example.com}
`)
	java := func(url string) string { return w.sh("java", "java /app/Fetch.java "+url+" 2>&1") }
	for _, url := range []string{"https://api.example.com/echo", "https://other.example.com/echo"} { // signed here, and by an authority of the host's
		if out := java(url); !strings.Contains(out, `"method":"GET"`) {
			t.Errorf("%s: %s", url, out)
		}
	}
	// The control: without the store it trusts neither.
	if out := w.sh("java", "env -u JAVA_TOOL_OPTIONS java /app/Fetch.java https://api.example.com/echo 2>&1"); !strings.Contains(out, "SSL") || strings.Contains(out, `"method"`) {
		t.Errorf("without the trust store: %s", out)
	}
	if out := java("https://evil.example.org/"); strings.Contains(out, "method") || !strings.Contains(out, "Exception") {
		t.Errorf("a host that no rule allows: %s", out)
	}
	w.denied("evil.example.org", "egress.host")
}

// pip reads its own list of authorities, unless a variable says otherwise.
func TestPipTrustsTheAuthority(t *testing.T) {
	w := newWorld(t)
	web := w.lab.HTTPS(public+":443", "pypi.example.com")
	w.lab.DNS.Names(map[string][]string{"pypi.example.com": {public}})
	web.Handle("/simple/demo/", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprint(rw, `<a href="/files/demo-1.0-py3-none-any.whl">demo-1.0-py3-none-any.whl</a>`)
	}))
	web.Handle("/files/", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(wheel(t)) }))
	w.up("net", `egress:
  - {host: pypi.example.com, inspect: true, methods: [GET], paths: ["/simple/**", "/files/**"]}
`)
	pip := "python3 -m pip download --no-cache-dir --disable-pip-version-check --no-deps -d /tmp/out --index-url https://%s/simple demo 2>&1"
	if out := w.sh("net", fmt.Sprintf(pip, "pypi.example.com")); !strings.Contains(out, "Successfully downloaded demo") {
		t.Errorf("pip: %s", out)
	}
	if out := w.sh("net", "timeout 4 "+fmt.Sprintf(pip, "evil.example.org")); strings.Contains(out, "Successfully") {
		t.Errorf("pip from a host that no rule allows: %s", out)
	}
	w.denied("evil.example.org", "egress.host")
}

// wheel is a package of Python's with nothing in it.
func wheel(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, text := range map[string]string{
		"demo-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
		"demo-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"demo-1.0.dist-info/RECORD":   "",
	} {
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
