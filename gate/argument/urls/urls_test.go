package urls

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/netpolicy"
)

func hosts(names ...string) []netpolicy.Pattern {
	var out []netpolicy.Pattern
	for _, n := range names {
		p, err := netpolicy.ParsePattern(n)
		if err != nil {
			panic(err)
		}
		out = append(out, p)
	}
	return out
}

var (
	strict  = Spec{Hosts: hosts("example.org", "*.docs.example.org", "xn--mnchen-3ya.de", "93.184.216.34")}
	web     = Spec{Schemes: []string{"http", "https"}, Hosts: hosts("example.org", "docs.example.org"), Unlisted: argument.Hold}
	browser = Spec{Schemes: []string{"http", "https"}, Unlisted: argument.Hold, Blank: true}
	private = Spec{Schemes: []string{"http"}, Hosts: hosts("10.0.0.5", "db.corp.internal", "printer", "fd12::5", "host.docker.internal"), Ports: []uint16{80, 8080}, Unlisted: argument.Hold, Private: true}
	closed  = Spec{Schemes: []string{"http"}, Hosts: hosts("10.0.0.5", "db.corp.internal", "printer"), Unlisted: argument.Hold}
	shell   = Spec{Schemes: []string{"ssh", "gopher", "git", "custom"}, Hosts: hosts("example.org"), Ports: []uint16{22, 70, 7777}}
	all     = Spec{Schemes: []string{"http", "https", "ftp", "file", "javascript", "data"}, Hosts: hosts("example.org"), Unlisted: argument.Pass, Private: true, Blank: true}
)

// row is a value with its verdict and rule.
type row struct {
	spec    Spec
	value   string
	verdict argument.Verdict
	rule    string
}

const (
	no   = argument.Refuse
	hold = argument.Hold
	pass = argument.Pass
)

var rows = []row{
	// Ordinary.
	{strict, "https://example.org", pass, ""},
	{strict, "https://example.org/", pass, ""},
	{strict, "https://example.org:443/x#169.254.169.254", pass, ""},
	{strict, "HTTPS://EXAMPLE.ORG/Path", pass, ""},
	{strict, "https://example.org./", pass, ""},
	{strict, "https://a.docs.example.org/b", pass, ""},
	{strict, "https://xn--mnchen-3ya.de/", pass, ""},
	{strict, "https://93.184.216.34/", pass, ""},
	{strict, "https://example.org/search?q=127.0.0.1", pass, ""},
	{strict, "https://example.org/search?q=localhost+port", pass, ""},
	{strict, "https://example.org/a@b", pass, ""},
	{strict, "https://example.org/?mail=a@b.example", pass, ""},
	{strict, "https://example.org?x=1", pass, ""},
	{strict, "https://example.org#top", pass, ""},
	{strict, "https://example.org/?q=100%", pass, ""},
	{strict, "https://example.org/?text=a%0Ab", pass, ""},
	{strict, "https://example.org/wiki/München", pass, ""},
	{strict, "https://example.org/wiki/%E6%97%A5%E6%9C%AC", pass, ""},
	{strict, "https://example.org/a/../b//c;d=1,2!(x)*'$&+~_-.", pass, ""},
	{strict, "https://example.org/{id}|^[x]", pass, ""},
	{strict, "https://example.org/?u=https://www.iana.org/domains", pass, ""},
	{strict, "https://example.org/?u=https%3A%2F%2Fwww.iana.org%2F", pass, ""},
	{strict, "https://example.org/web/2020/https://www.iana.org/", pass, ""},
	{strict, "https://example.org//double//slash", pass, ""},
	{strict, "https://example.org/a:b@c:d/", pass, ""},
	{strict, "https://example.org/?a=b:c//d", pass, ""},
	{web, "http://example.org/", pass, ""},
	{web, "http://docs.example.org:80/", pass, ""},
	{web, "http://example.org/#http://169.254.169.254/", pass, ""},
	{browser, "about:blank", pass, ""},
	{browser, "about:blank#blocked", pass, ""},
	{browser, "ABOUT:BLANK", pass, ""},
	{private, "http://10.0.0.5/", pass, ""},
	{private, "http://10.0.0.5:8080/x", pass, ""},
	{private, "http://db.corp.internal:8080/", pass, ""},
	{private, "http://printer/", pass, ""},
	{private, "http://[fd12::5]/", pass, ""},
	{private, "http://host.docker.internal/", pass, ""},
	{shell, "ssh://example.org/repo.git", pass, ""},
	{shell, "ssh://example.org:22/repo.git", pass, ""},
	{shell, "gopher://example.org/1", pass, ""},
	{shell, "custom://example.org:7777/", pass, ""},

	// Held: public, not listed.
	{web, "https://unlisted.example.com/", hold, "url.unlisted"},
	{web, "http://8.8.8.8/", hold, "url.unlisted"},
	{web, "http://[2606:4700::1111]/", hold, "url.unlisted"},
	{web, "https://ec2-54-12-13-14.compute-1.amazonaws.com/", hold, "url.unlisted"},
	{web, "https://1.2.3.4.example.com/", hold, "url.unlisted"},
	{web, "https://xn--80ak6aa92e.com/", hold, "url.unlisted"},
	{web, "https://facebook.deadbeef.com/", hold, "url.unlisted"},
	{web, "https://someone.github.io/", hold, "url.unlisted"},
	{browser, "https://www.wikipedia.org/", hold, "url.unlisted"},
	{all, "https://other.com/", hold, "url.unlisted"},

	// Refused: not listed.
	{strict, "https://unlisted.com/", no, "url.unlisted"},
	{strict, "https://docs.example.org/", no, "url.unlisted"},
	{strict, "https://example.org.evil.com/", no, "url.unlisted"},
	{strict, "https://evilexample.org/", no, "url.unlisted"},
	{strict, "https://example.com/", no, "url.unlisted"},
	{strict, "https://example.orgg/", no, "url.private"},
	{strict, "https://example.org-evil.com/", no, "url.unlisted"},
	{strict, "https://93.184.216.35/", no, "url.unlisted"},
	{Spec{}, "https://example.org/", no, "url.unlisted"},

	// Schemes.
	{strict, "http://example.org/", no, "url.scheme"},
	{web, "gopher://127.0.0.1:6379/_FLUSHALL", no, "url.scheme"},
	{web, "ftp://127.0.0.1/", no, "url.scheme"},
	{web, "unix:///var/run/docker.sock", no, "url.scheme"},
	{web, "javascript:alert(1)", no, "url.scheme"},
	{web, "data:text/html,x", no, "url.scheme"},
	{web, "file:///etc/passwd", no, "url.scheme"},
	{web, "FILE:/etc/passwd", no, "url.scheme"},
	{web, "view-source:file:///etc/passwd", no, "url.scheme"},
	{web, "view-source:https://example.org/", no, "url.scheme"},
	{web, "blob:https://example.org/x", no, "url.scheme"},
	{web, "jar:https://example.org!/x", no, "url.scheme"},
	{web, "php://filter/resource=x", no, "url.scheme"},
	{web, "dict://127.0.0.1:11211/stat", no, "url.scheme"},
	{web, "ldap://example.org/", no, "url.scheme"},
	{web, "ssh://-oProxyCommand=id/x", no, "url.scheme"},
	{web, "ext::sh -c id", no, "url.space"},
	{web, "ext::id", no, "url.scheme"},
	{web, "about:blank", no, "url.scheme"},
	{browser, "about:config", no, "url.scheme"},
	{browser, "about:blank?x", no, "url.scheme"},
	{browser, "chrome://settings", no, "url.scheme"},
	{web, "url:http://example.org/", no, "url.scheme"},
	{web, "http+unix://%2Fvar%2Frun%2Fdocker.sock/x", no, "url.scheme"},
	{all, "file:///etc/passwd", no, "url.scheme"},
	{all, "javascript://example.org/%0aalert(1)", no, "url.scheme"},
	{all, "data://example.org/x", no, "url.scheme"},
	{web, "example.org", no, "url.scheme"},
	{web, "example.org/path", no, "url.scheme"},
	{web, "git@example.org:x/y.git", no, "url.scheme"},
	{web, "1http://example.org/", no, "url.scheme"},
	{web, "://example.org/", no, "url.scheme"},
	{web, "ｈttp://example.org/", no, "url.scheme"},
	{web, "//169.254.169.254/", no, "url.relative"},
	{web, "/etc/passwd", no, "url.relative"},
	{web, "--upload-pack=touch /tmp/p", no, "url.space"},
	{web, "--upload-pack=id", no, "url.option"},
	{web, "-x", no, "url.option"},
	{web, "", no, "url.empty"},

	// Slashes and characters.
	{web, "http:example.org", no, "url.slashes"},
	{web, "http:/example.org/", no, "url.slashes"},
	{web, "http:///example.org/", no, "url.slashes"},
	{web, "http:////169.254.169.254/", no, "url.slashes"},
	{web, "http:\\\\example.org/", no, "url.backslash"},
	{web, "http://example.org\\@evil.com/", no, "url.backslash"},
	{web, "http://evil.com\\.example.org/", no, "url.backslash"},
	{web, "https://example.org/\\evil", no, "url.backslash"},
	{web, " http://example.org/", no, "url.space"},
	{web, "http://example.org/ ", no, "url.space"},
	{web, "http://exam ple.org/", no, "url.space"},
	{web, "ht\ttp://example.org/", no, "url.control"},
	{web, "http://exa\nmple.org/", no, "url.control"},
	{web, "http://example.org/\r\nX: y", no, "url.control"},
	{web, "\x00http://example.org/", no, "url.control"},
	{web, "java\nscript:alert(1)", no, "url.control"},
	{web, "http://example.org/%0d%0aHost:%20x", no, "url.control"},
	{web, "http://example.org/%00", no, "url.control"},
	{web, "http://example.org/<b>", no, "url.character"},
	{web, "http://example.org/\"x", no, "url.character"},
	{web, "http://example.org/`id`", no, "url.character"},
	{web, "http://example.org/\u200b", no, "url.invisible"},
	{web, "http://example.org/\u202e", no, "url.invisible"},
	{web, "http://example.org/\u00a0", no, "url.invisible"},
	{web, "http://example.org/\u3000", no, "url.invisible"},
	{web, "http://example.org/\xff", no, "url.utf8"},
	{web, "http://example.org/%zz", no, "url.escape"},
	{web, "http://example.org/%", no, "url.escape"},
	{web, "http://example.org/#%4", no, "url.escape"},
	{web, "http://example.org/" + strings.Repeat("a", 9000), no, "url.long"},

	// Authorities.
	{web, "http://", no, "url.host"},
	{web, "http://?x", no, "url.host"},
	{web, "http://#", no, "url.host"},
	{web, "http://example.org:80@127.0.0.1/", no, "url.userinfo"},
	{web, "http://127.0.0.1%2f@example.org/", no, "url.userinfo"},
	{web, "http://user:pw@example.org/", no, "url.userinfo"},
	{web, "http://@example.org/", no, "url.userinfo"},
	{web, "http://evil.com#@example.org/", hold, "url.unlisted"},
	{web, "http://evil.com?@example.org/", hold, "url.unlisted"},
	{web, "http://example.org%2eevil.com/", no, "url.host"},
	{web, "http://%31%32%37.0.0.1/", no, "url.host"},
	{web, "http://example.org%00.evil.com/", no, "url.host"},
	{web, "http://example。org/", no, "url.host"},
	{web, "http://ⓔxample.org/", no, "url.host"},
	{web, "http://①②⑦.⓪.⓪.①/", no, "url.host"},
	{web, "http://１２７.0.0.1/", no, "url.host"},
	{web, "http://münchen.de/", no, "url.host"},
	{web, "http://exаmple.org/", no, "url.host"},
	{web, "http://example..org/", no, "url.host"},
	{web, "http://.example.org/", no, "url.host"},
	{web, "http://example.org../", no, "url.host"},
	{web, "http://-example.org/", no, "url.host"},
	{web, "http://exa$mple.org/", no, "url.host"},
	{web, "http://example.org,evil.com/", no, "url.host"},
	{web, "http://example.org;evil.com/", no, "url.host"},
	{web, "http://[example.org]/", no, "url.host"},
	{web, "http://[::1", no, "url.host"},
	{web, "http://[::1]x/", no, "url.host"},
	{web, "http://::1/", no, "url.host"},
	{web, "http://*/", no, "url.host"},
	{shell, "ssh://-oProxyCommand=id/x", no, "url.host"},
	{shell, "ssh://-oProxyCommand/x", no, "url.host"},
	{shell, "ssh://git@example.org/x", no, "url.userinfo"},
	{shell, "custom://example.org/", no, "url.port"},
	{web, "http://example.org:/", no, "url.port"},
	{web, "http://example.org:0080/", no, "url.port"},
	{web, "http://example.org:0/", no, "url.port"},
	{web, "http://example.org:65536/", no, "url.port"},
	{web, "http://example.org:65616/", no, "url.port"},
	{web, "http://example.org:+80/", no, "url.port"},
	{web, "http://example.org:80x/", no, "url.port"},
	{web, "http://example.org:80:80/", no, "url.host"},
	{web, "http://example.org:22/", no, "url.port"},
	{web, "https://example.org:80/", no, "url.port"},
	{web, "https://unlisted.com:8443/", no, "url.port"},
	{private, "http://10.0.0.5:81/", no, "url.port"},

	// Addresses.
	{web, "http://169.254.169.254/latest/meta-data/", no, "url.metadata"},
	{web, "http://169.254.170.2/v2/credentials", no, "url.metadata"},
	{web, "http://100.100.100.200/", no, "url.metadata"},
	{web, "http://168.63.129.16/", no, "url.metadata"},
	{web, "http://[fd00:ec2::254]/", no, "url.metadata"},
	{private, "http://169.254.169.254/", no, "url.metadata"},
	{web, "http://127.0.0.1/", no, "url.loopback"},
	{web, "http://127.8.9.1:80/", no, "url.loopback"},
	{browser, "http://127.0.0.1:9222/json", no, "url.loopback"},
	{web, "http://[::1]/", no, "url.loopback"},
	{web, "http://[0:0:0:0:0:0:0:1]/", no, "url.loopback"},
	{private, "http://127.0.0.1/", no, "url.loopback"},
	{web, "http://0.0.0.0:8080/", no, "url.address"},
	{web, "http://[::]/", no, "url.address"},
	{web, "http://[::ffff:169.254.169.254]/", no, "url.address"},
	{web, "http://[::ffff:a9fe:a9fe]/", no, "url.address"},
	{web, "http://[::169.254.169.254]/", no, "url.address"},
	{web, "http://[64:ff9b::a9fe:a9fe]/", no, "url.address"},
	{web, "http://[2002:a9fe:a9fe::]/", no, "url.address"},
	{web, "http://[fe80::1]/", no, "url.address"},
	{web, "http://[fe80::1%25eth0]/", no, "url.host"},
	{web, "http://[fe80::1%eth0]/", no, "url.host"},
	{web, "http://255.255.255.255/", no, "url.address"},
	{web, "http://224.0.0.1/", no, "url.address"},
	{web, "http://192.0.2.1/", no, "url.address"},
	{web, "http://198.18.0.1/", no, "url.address"},
	{web, "http://10.0.0.1/", no, "url.private"},
	{web, "http://172.17.0.1:2375/containers/json", no, "url.private"},
	{web, "http://192.168.1.1/", no, "url.private"},
	{web, "http://100.64.0.1/", no, "url.private"},
	{web, "http://[fd12::1]/", no, "url.private"},
	{closed, "http://10.0.0.5/", no, "url.private"},
	{private, "http://10.0.0.6/", no, "url.private"},
	{web, "http://0xA9FEA9FE/", no, "url.host"},
	{web, "http://2852039166/", no, "url.host"},
	{web, "http://0251.0376.0251.0376/", no, "url.host"},
	{web, "http://0xa9.0xfe.0xa9.0xfe/", no, "url.host"},
	{web, "http://127.1/", no, "url.host"},
	{web, "http://127.0.1/", no, "url.host"},
	{web, "http://0/", no, "url.host"},
	{web, "http://0x7f.1/", no, "url.host"},
	{web, "http://127.0.0.01/", no, "url.host"},
	{web, "http://127.0.0.1.1/", no, "url.host"},
	{web, "http://256.256.256.256/", no, "url.host"},
	{web, "http://017700000001/", no, "url.host"},
	{web, "http://127.0.0.1./", no, "url.loopback"},

	// Names.
	{web, "http://localhost/", no, "url.loopback"},
	{web, "http://LOCALHOST/", no, "url.loopback"},
	{web, "http://localhost./", no, "url.loopback"},
	{web, "http://a.localhost/", no, "url.loopback"},
	{web, "http://localhost.localdomain/", no, "url.loopback"},
	{web, "http://ip6-localhost/", no, "url.loopback"},
	{web, "http://metadata.google.internal/computeMetadata/v1/", no, "url.metadata"},
	{web, "http://metadata/", no, "url.metadata"},
	{web, "http://instance-data/latest", no, "url.metadata"},
	{Spec{Schemes: []string{"http"}, Hosts: hosts("metadata.google.internal"), Private: true}, "http://metadata.google.internal/", no, "url.metadata"},
	{web, "http://host.docker.internal/", no, "url.private"},
	{web, "http://printer.local/", no, "url.private"},
	{web, "http://kubernetes.default.svc/", no, "url.private"},
	{web, "http://kubernetes.default.svc.cluster.local/", no, "url.private"},
	{web, "http://redis/", no, "url.private"},
	{web, "http://router.lan/", no, "url.private"},
	{web, "http://nas.home.arpa/", no, "url.private"},
	{web, "http://x.onion/", no, "url.private"},
	{web, "http://example.org.evil.test/", no, "url.private"},
	{closed, "http://db.corp.internal/", no, "url.private"},
	{closed, "http://printer/", no, "url.private"},
	{private, "http://other.corp.internal/", no, "url.private"},
	{web, "http://169.254.169.254.nip.io/", no, "url.wildcard"},
	{web, "http://a9fea9fe.nip.io/", no, "url.wildcard"},
	{web, "http://127-0-0-1.sslip.io/", no, "url.wildcard"},
	{web, "http://8.8.8.8.nip.io/", no, "url.wildcard"},
	{web, "http://x.localtest.me/", no, "url.wildcard"},
	{web, "http://lvh.me/", no, "url.wildcard"},
	{web, "http://7f000001.c0a80001.rbndr.us/", no, "url.wildcard"},
	{web, "http://make-127-0-0-1-rr.1u.ms/", no, "url.wildcard"},
	{web, "http://169.254.169.254.evil.com/", no, "url.embedded"},
	{web, "http://app-10-0-0-1.evil.com/", no, "url.embedded"},
	{web, "http://7f000001.evil.com/", no, "url.embedded"},
	{web, "http://8.8.8.8.127.0.0.1.evil.com/", no, "url.embedded"},

	// Relays.
	{strict, "https://example.org/fetch?url=http://169.254.169.254/", hold, "url.relay"},
	{strict, "https://example.org/fetch?url=http%3A%2F%2F169.254.169.254%2F", hold, "url.relay"},
	{strict, "https://example.org/fetch?url=http%253A%252F%252F127.0.0.1%252F", hold, "url.relay"},
	{strict, "https://example.org/fetch?url=http://user@localhost:80/", hold, "url.relay"},
	{strict, "https://example.org/fetch?url=//127.0.0.1/", hold, "url.relay"},
	{strict, "https://example.org/fetch?url=http:/%2f0x7f.1/", hold, "url.relay"},
	{strict, "https://example.org/fetch?url=file:///etc/passwd", hold, "url.relay"},
	{strict, "https://example.org/fetch?url=http://[::1]:80/", hold, "url.relay"},
	{strict, "https://example.org/fetch?url=http://10.0.0.1.nip.io/", hold, "url.relay"},
	{strict, "https://example.org/proxy/http://10.0.0.1/", hold, "url.relay"},
	{strict, "https://example.org/?" + strings.Repeat("u=http://iana.org/&", 20), hold, "url.relay"},
	{web, "https://other.com/?url=http://10.0.0.1/", hold, "url.unlisted"},
}

// ordinary are URLs as people and programs write them.
var ordinary = []string{
	"https://github.com/golang/go", "https://github.com/golang/go/issues/12345#issuecomment-67890", "https://github.com/a/b/compare/v1.0...v2.0", "https://github.com/a/b.git",
	"https://raw.githubusercontent.com/a/b/main/README.md", "https://api.github.com/repos/a/b/pulls?state=open&per_page=100&sort=updated", "https://gitlab.com/a/b/-/merge_requests/1",
	"https://en.wikipedia.org/wiki/URL_(disambiguation)", "https://en.wikipedia.org/wiki/C++", "https://de.wikipedia.org/wiki/K%C3%B6ln", "https://de.wikipedia.org/wiki/Köln",
	"https://ja.wikipedia.org/wiki/日本", "https://en.wikipedia.org/w/index.php?title=A%26B&action=history", "https://www.google.com/search?q=go+net%2Furl&hl=en", "https://www.google.com/maps/@52.5,13.4,12z",
	"https://www.google.com/search?q=169.254.169.254", "https://www.google.com/search?q=%22localhost%3A8080%22", "https://duckduckgo.com/?q=what+is+127.0.0.1&ia=web", "https://news.ycombinator.com/item?id=1",
	"https://stackoverflow.com/questions/1/how-do-i-use-10-0-0-1", "https://pkg.go.dev/net/url#URL.Parse", "https://docs.python.org/3/library/urllib.parse.html#urllib.parse.urlsplit", "https://go.dev/",
	"https://developer.mozilla.org/en-US/docs/Web/API/URL/URL?a#parameters", "https://www.rfc-editor.org/rfc/rfc3986.html#section-3.2", "https://datatracker.ietf.org/doc/html/rfc1918", "https://url.spec.whatwg.org/#host-parsing",
	"https://registry.npmjs.org/@types%2fnode", "https://registry.npmjs.org/@types/node/-/node-1.0.0.tgz", "https://pypi.org/simple/requests/", "https://files.pythonhosted.org/packages/ab/cd/x-1.0-py3-none-any.whl#sha256=abc",
	"https://crates.io/crates/serde", "https://hub.docker.com/_/alpine", "https://registry-1.docker.io/v2/library/alpine/manifests/latest", "https://proxy.golang.org/github.com/!azure/x/@v/list",
	"https://bucket.s3.eu-west-1.amazonaws.com/key%20with%20space.txt?versionId=abc", "https://s3.amazonaws.com/bucket/key", "https://storage.googleapis.com/b/o?alt=media", "https://x.blob.core.windows.net/c/f",
	"https://ec2-3-120-1-2.eu-central-1.compute.amazonaws.com/", "https://a-b-c-1-2-3.vercel.app/", "https://my-app.fly.dev/", "https://someone.github.io/repo/", "https://foo.pages.dev/?x",
	"https://web.archive.org/web/20200101000000/https://go.dev/", "https://translate.google.com/translate?sl=de&tl=en&u=https://www.spiegel.de/", "https://accounts.google.com/o/oauth2/v2/auth?redirect_uri=https%3A%2F%2Fapp.example.com%2Fcb&scope=email%20profile",
	"https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=42s", "https://youtu.be/dQw4w9WgXcQ", "https://medium.com/@user/title-0a1b2c3d4e5f", "https://twitter.com/intent/tweet?text=a%0Ab&url=https%3A%2F%2Fgo.dev",
	"https://www.amazon.de/dp/B000000000/ref=sr_1_1?keywords=a&qid=1&sr=8-1", "https://maps.apple.com/?ll=50.894967,4.341626", "https://www.openstreetmap.org/#map=12/52.5/13.4", "https://xkcd.com/327/", "https://www.gov.uk/",
	"https://www.bbc.co.uk/news", "https://nhk.or.jp/", "https://xn--fiqs8s.xn--fiqs8s/", "https://sub_domain.wordpress.com/", "https://r3---sn-a5m.googlevideo.com/x", "https://1.1.1.1/", "https://8.8.8.8/resolve?name=a",
	"https://[2606:4700:4700::1111]/dns-query", "https://[2001:4860:4860:0:0:0:0:8888]/", "https://3.com/", "https://0x.org/", "https://1password.com/", "https://9gag.com/x;y=1", "https://localhost-tips.com/", "https://metadata-tools.com/",
	"https://internal.io/", "https://www.local.com/", "https://example.com/~user/", "https://example.com/a,b;c=d/e!f$g&h'(i)*j+k", "https://example.com/?a[]=1&b[c]=2", "https://example.com/#/route?x=1", "https://example.com/?",
	"https://example.com/#", "https://example.com/?q={a:1}", "https://example.com/a%2Fb", "https://example.com/..", "https://example.com/?date=2026-11-26T01:10:00Z", "https://example.com/?e=a%40b.c", "https://Example.COM/",
	"https://example.com./x", "https://example.com:443", "https://example.com?x=//cdn.example.com/y", "https://example.com/http/", "https://example.com/?next=/login", "https://example.com/emoji/🎉",
}

// Nothing is wrong with an ordinary URL but that nobody listed its host; and
// nothing at all once it is listed.
func TestOrdinary(t *testing.T) {
	for _, value := range ordinary {
		if f := (Spec{Unlisted: hold}).Judge(value); f.Verdict != hold || f.Rule != "url.unlisted" {
			t.Errorf("%+q: %s %s %s", value, f.Verdict, f.Rule, f.Reason)
		}
		u, err := url.Parse(value)
		if err != nil {
			t.Fatal(err)
		}
		if f := (Spec{Hosts: hosts(u.Hostname())}).Judge(value); f.Verdict != pass {
			t.Errorf("%+q, listed: %s %s %s", value, f.Verdict, f.Rule, f.Reason)
		}
	}
	refused := 0
	for _, r := range rows {
		if r.verdict == no {
			refused++
		}
	}
	if benign := len(ordinary) + len(rows) - refused; benign*2 < refused {
		t.Errorf("%d benign rows beside %d", benign, refused)
	}
}

var _ argument.Check = Spec{}

func TestJudge(t *testing.T) {
	for _, r := range rows {
		got := r.spec.Judge(r.value)
		if got.Verdict != r.verdict || got.Rule != r.rule {
			t.Errorf("%+.100q: %s %q (%s), want %s %q", r.value, got.Verdict, got.Rule, got.Reason, r.verdict, r.rule)
		}
		if got.Verdict != argument.Pass && got.Reason == "" {
			t.Errorf("%+q: no reason", r.value)
		}
	}
	if len(rows) < 120 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestValidate(t *testing.T) {
	for _, s := range []Spec{strict, web, browser, private, closed, shell, {Blank: true}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{}, "no host"},
		{Spec{Schemes: []string{"file"}, Unlisted: hold}, "names no host"},
		{Spec{Schemes: []string{"HTTPS"}, Unlisted: hold}, "lower case"},
		{Spec{Schemes: []string{"https:"}, Unlisted: hold}, "lower case"},
		{Spec{Schemes: []string{""}, Unlisted: hold}, "lower case"},
		{Spec{Schemes: []string{"custom"}, Unlisted: hold}, "no port"},
		{Spec{Hosts: make([]netpolicy.Pattern, 1)}, "empty"},
		{Spec{Unlisted: pass}, "refuse or hold"},
		{Spec{Unlisted: hold, Ports: []uint16{0}}, "no port"},
		{Spec{Unlisted: hold, Ports: make([]uint16, 65)}, "at most"},
	} {
		if err := c.spec.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.spec, err, c.want)
		}
	}
}

// FuzzJudge: what passes or is held has, for net/url, exactly the host that was
// judged, which no rule about inside places names; a stricter spec never passes
// more.
func FuzzJudge(f *testing.F) {
	for _, r := range rows {
		f.Add(r.value)
	}
	wide := Spec{Schemes: []string{"http", "https", "ssh"}, Hosts: hosts("example.org", "10.0.0.5", "printer", "*.docs.example.org"), Ports: []uint16{80, 443, 22, 8080},
		Unlisted: hold, Private: true, Blank: true}
	f.Fuzz(func(t *testing.T, value string) {
		got := wide.Judge(value).Verdict
		for _, n := range narrower(wide) {
			if n.Judge(value).Verdict > got {
				t.Errorf("%+q: %+v passes more than %+v", value, n, wide)
			}
		}
		if got == no || isBlank(value) {
			return
		}
		u, err := url.Parse(value)
		if err != nil || u.User != nil || u.Opaque != "" {
			t.Fatalf("%+q: net/url reads %+v, %v", value, u, err)
		}
		_, rest, _ := wide.splitScheme(value)
		authority, _, _ := splitAuthority(rest)
		host, port, f := wide.parseAuthority(u.Scheme, authority)
		if f.Verdict != pass || !sameHost(host, u.Hostname()) || u.Port() != "" && u.Port() != authority[strings.LastIndexByte(authority, ':')+1:] {
			t.Errorf("%+q: judged %s port %d, net/url reads %s", value, host, port, u.Host)
		}
		if judgeKind(host, wide.lists(host)).Verdict != pass {
			t.Errorf("%+q: %s is no public host", value, host)
		}
	})
}

func narrower(s Spec) []Spec {
	one, two, three, four, five := s, s, s, s, s
	one.Unlisted = no
	two.Private = false
	three.Schemes = s.Schemes[:1]
	four.Hosts = s.Hosts[:1]
	five.Ports, five.Blank = s.Ports[:2], false
	return []Spec{{}, one, two, three, four, five}
}

func sameHost(h netpolicy.Host, text string) bool {
	if addr, ok := h.Addr(); ok {
		other, err := netip.ParseAddr(strings.TrimSuffix(text, "."))
		return err == nil && other == addr
	}
	return strings.EqualFold(h.String(), strings.TrimSuffix(text, "."))
}

func TestBounded(t *testing.T) {
	for _, unit := range []string{"//", "a.", "%25", "u=http://a.b/&", "=//", "@", "1.2.3.4.", "[", "é", "http://", "#"} {
		start := time.Now()
		for _, prefix := range []string{"https://", "https://example.org/", "https://example.org/?"} {
			web.Judge(prefix + strings.Repeat(unit, 8000/len(unit)))
			web.Judge(prefix + strings.Repeat(unit, 1<<20/len(unit)))
		}
		if took := time.Since(start); took > 250*time.Millisecond {
			t.Errorf("%q: %v", unit, took)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	for _, c := range []struct {
		name  string
		spec  Spec
		value string
	}{
		{"listed", web, "https://docs.example.org/guide/start.html?lang=en#install"},
		{"unlisted", web, "https://www.wikipedia.org/wiki/URL"},
		{"address", web, "http://93.184.216.34/index.html"},
		{"nested", web, "https://example.org/login?next=https%3A%2F%2Fwww.iana.org%2Fdomains%3Fa%3Db"},
		{"refused", web, "http://169.254.169.254/latest/meta-data/"},
		{"8k", web, "https://example.org/?q=" + strings.Repeat("a%20", 2000)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.spec.Judge(c.value)
			}
		})
	}
}
