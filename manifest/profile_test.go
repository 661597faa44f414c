package manifest_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
)

const profileDocs = "../docs/profiles.md"

// TestProfileDocs keeps the table of the guide what the schema says, and takes its
// examples as they stand, but for the reason that the reader has to write.
func TestProfileDocs(t *testing.T) {
	text := string(read(t, profileDocs))
	want := replaceBetween(t, text, "profile keys", tableOf(manifest.ProfileKeys()))
	if *update {
		if err := os.WriteFile(profileDocs, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	} else if text != want {
		t.Errorf("the table of %s is not that of the schema; -update rewrites it", profileDocs)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(examples) == 0 {
		t.Fatal("no example")
	}
	for _, m := range examples {
		if _, err := manifest.ParseProfile("example", []byte(m[1])); err != nil {
			t.Errorf("%v\nin\n%s", err, m[1])
		}
	}
}

// ownProfile is one that extends strict, with lines below.
func ownProfile(lines string) string { return "version: 1\nname: own\nextends: strict\n" + lines }

const why = "    reason: because the test needs it\n"

func TestParseProfile(t *testing.T) {
	for _, tt := range []struct{ name, in, err string }{
		{"nothing", ownProfile(""), ""},
		{"a call", ownProfile("allow:\n  - calls: [mlock]\n" + why), ""},
		{"a call of one machine", ownProfile("allow:\n  - calls: [stat]\n" + why), ""},
		{"by name", ownProfile("allow:\n  - calls: [setitimer, getitimer]\n    where: [{arg: which, any: [ITIMER_REAL]}]\n" + why), ""},
		{"by number", ownProfile("allow:\n  - calls: [setitimer]\n    where: [{arg: 0, any: {the first: 0}}]\n" + why), ""},
		{"with a mask", ownProfile("allow:\n  - calls: [mlock]\n    where: [{arg: 1, mask: \"0xf000\", any: {a page: 4096}}]\n" + why), ""},
		{"a call denied", ownProfile("deny:\n  - calls: [socket]\n" + why), ""},
		{"a call denied with an answer", ownProfile("deny:\n  - calls: [socket]\n    answer: ENOSYS\n" + why), ""},
		{"a value denied", ownProfile("deny:\n  - calls: [socket]\n    where: [{arg: family, any: [AF_INET6]}]\n" + why), ""},
		{"denied and allowed in part", ownProfile("deny:\n  - calls: [kill]\n" + why + "allow:\n  - calls: [kill]\n    where: [{arg: signal, any: [SIGTERM]}]\n" + why), ""},
		{"an answer taken back", "version: 1\nname: own\nextends: node\nallow:\n  - calls: [setxattr]\n" + why, ""},

		{"a key that is none", ownProfile("alow: []\n"), "alow: unknown key"},
		{"a key twice", ownProfile("name: two\n"), `the key "name" is already on line 2`},
		{"a second document", ownProfile("---\nversion: 1\n"), "a second document (---)"},
		{"no base", "version: 1\nname: own\n", "extends: is missing"},
		{"a part as base", "version: 1\nname: own\nextends: libc\n", `extends: "libc" is not a built-in profile`},
		{"itself as base", "version: 1\nname: own\nextends: own\n", `"own" is not a built-in profile`},
		{"a built-in name", "version: 1\nname: node\nextends: strict\n", "node is the name of a built-in profile"},
		{"an answer that is allowed", ownProfile("allow:\n  - calls: [mlock]\n    answer: ENOSYS\n" + why), "allow[0].answer: unknown key"},
		{"another answer", ownProfile("deny:\n  - calls: [kill]\n    answer: EINTR\n" + why), `answer "EINTR" is not ENOSYS or EOPNOTSUPP`},
		{"an answer for some arguments", ownProfile("deny:\n  - calls: [socket]\n    answer: ENOSYS\n    where: [{arg: family, any: [AF_INET]}]\n" + why), "an answer holds for the whole call"},
		{"what starts the server denied", ownProfile("deny:\n  - calls: [execve]\n" + why), "without execve the server itself cannot be started"},
		{"a value denied that is not listed", ownProfile("deny:\n  - calls: [kill]\n    where: [{arg: signal, any: [SIGKILL]}]\n" + why), "deny kill whole, and allow what remains of it"},
		{"an argument that is none", ownProfile("allow:\n  - calls: [mlock]\n    where: [{arg: size, any: {x: 1}}]\n" + why), `mlock has no argument "size" here; write its number, 0 to 5`},
		{"an argument that differs", ownProfile("allow:\n  - calls: [chmod, fchmodat]\n    where: [{arg: mode, any: {x: 1}}]\n" + why), "is not the same argument of chmod and fchmodat"},
		{"a name with another number", ownProfile("allow:\n  - calls: [socket]\n    where: [{arg: family, any: {AF_UNIX: 16}}]\n" + why), "AF_UNIX is 1"},
		{"hexadecimal without quotes", ownProfile("allow:\n  - calls: [mlock]\n    where: [{arg: 1, any: {x: 0x10}}]\n" + why), "is not a number that all YAML readers agree on"},
		{"where with nothing", ownProfile("allow:\n  - calls: [mlock]\n    where: []\n" + why), "where: is empty"},
		{"one argument twice", ownProfile("allow:\n  - calls: [mlock]\n    where: [{arg: 0, any: {one: 1}}, {arg: 0, any: {two: 2}}]\n" + why), "argument 0 is judged twice"},
		{"a value without an argument", ownProfile("allow:\n  - calls: [mlock]\n    where: [{any: {x: 1}}]\n" + why), "arg: is missing"},
		{"no reason", ownProfile("allow:\n  - calls: [mlock]\n"), "allow[0].reason: is missing"},
		{"no call", ownProfile("allow:\n  - calls: []\n" + why), "allow[0].calls: is an empty list"},

		{"a user namespace among flags", ownProfile("allow:\n  - calls: [clone]\n    where: [{arg: flags, any: {thread: 65536, other: \"0x10010000\"}}]\n" + why), "it would allow CLONE_NEWUSER"},
		{"a mask past the flag", ownProfile("allow:\n  - calls: [clone]\n    where: [{arg: flags, mask: \"0xff\", any: {signal: 17}}]\n" + why), "it would allow CLONE_NEW"},
		{"typing into a terminal", ownProfile("allow:\n  - calls: [ioctl]\n    where: [{arg: request, any: [TIOCSTI]}]\n" + why), "types into a terminal"},
		{"a family of commands", ownProfile("allow:\n  - calls: [ioctl]\n    where: [{arg: request, any: {NS_GET_USERNS: \"0xb701\"}}]\n" + why), "gives handles on namespaces outside"},
		{"any command", ownProfile("allow:\n  - calls: [ioctl]\n    where: [{arg: 0, any: {stdin: 0}}]\n" + why), "it would allow"},
		{"a setuid file", ownProfile("deny:\n  - calls: [openat]\n" + why + "allow:\n  - calls: [openat]\n    where: [{arg: 2, any: {creating: 64}}]\n" + why), "no file may be made setuid"},
		{"a device", "version: 1\nname: own\nextends: node\nallow:\n  - calls: [mknodat]\n    where: [{arg: 2, any: {a disk: \"0x61b6\"}}]\n" + why, "a device file reaches hardware"},
		{"a raw socket", ownProfile("allow:\n  - calls: [socket]\n    where: [{arg: family, any: [AF_INET]}, {arg: type, any: [SOCK_RAW]}]\n" + why), "can be allowed: argument 0 is AF_UNIX"},
		{"netlink that is not for reading", ownProfile("allow:\n  - calls: [socket]\n    where: [{arg: family, any: [AF_NETLINK]}, {arg: type, any: [SOCK_RAW]}, {arg: protocol, any: [NETLINK_NETFILTER]}]\n" + why), "only unix sockets, TCP and UDP"},
		{"a personality", ownProfile("allow:\n  - calls: [personality]\n    where: [{arg: persona, any: [PER_LINUX]}]\n" + why), "personality can be in no profile"},
		{"a new namespace of nothing", ownProfile("allow:\n  - calls: [unshare]\n    where: [{arg: 0, any: {nothing: 0}}]\n" + why), "unshare can be in no profile"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := manifest.ParseProfile("own.yaml", []byte(tt.in))
			var list *manifest.ErrorList
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("refused: %v\n%s", err, tt.in)
			case tt.err != "" && (err == nil || p != nil || !errors.As(err, &list)):
				t.Errorf("value %v, error %#v; want an *ErrorList with %q", p, err, tt.err)
			case tt.err != "" && !strings.Contains(err.Error(), tt.err):
				t.Errorf("error %q, want one with %q", err, tt.err)
			case tt.err != "" && list.Errors[0].Line < 1:
				t.Errorf("%+v has no line", list.Errors[0])
			}
		})
	}
}

func TestWhatAnOwnProfileEnforces(t *testing.T) {
	in := "version: 1\nname: own\nextends: node\ndeny:\n  - calls: [kill]\n    reason: ends nothing\n  - calls: [inotify_init1]\n    answer: ENOSYS\n    reason: watches nothing\n" +
		"  - calls: [socket]\n    where: [{arg: family, any: [AF_INET6]}]\n    reason: speaks IPv4\nallow:\n  - calls: [memfd_create]\n    reason: keeps a buffer\n  - calls: [setxattr]\n    reason: marks its own files\n"
	p, err := manifest.ParseProfile("own.yaml", []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		call, args string
		want       profiles.Outcome
		answer     string
	}{
		{"kill", "", profiles.Refused, "EPERM"},
		{"tgkill", "", profiles.Allowed, ""},
		{"inotify_init1", "", profiles.Refused, "ENOSYS"},
		{"inotify_add_watch", "", profiles.Allowed, ""},
		{"socket", "family=AF_INET6", profiles.Refused, "EPERM"},
		{"socket", "family=AF_INET type=SOCK_STREAM protocol=0", profiles.Allowed, ""},
		{"memfd_create", "", profiles.Allowed, ""},
		{"setxattr", "", profiles.Allowed, ""},
		{"lsetxattr", "", profiles.Refused, "EOPNOTSUPP"},
		{"bpf", "", profiles.Refused, "EPERM"},
	} {
		args := map[uint]profiles.Value{}
		for pair := range strings.FieldsSeq(tt.args) {
			name, value, _ := strings.Cut(pair, "=")
			a, err := profiles.FindArgument(tt.call, name)
			if err != nil {
				t.Fatal(err)
			}
			if args[a.Arg], err = a.Find(value); err != nil {
				t.Fatal(err)
			}
		}
		j, err := p.Judge(tt.call, args, "amd64")
		if err != nil || j.Outcome != tt.want || j.Error != tt.answer {
			t.Errorf("%s %s: %v %s, %v; want %v %s", tt.call, tt.args, j.Outcome, j.Error, err, tt.want, tt.answer)
		}
	}
	if base, err := profiles.Load("node"); err != nil || base.Digest() == p.Digest() {
		t.Errorf("the digest is that of node: %v", err)
	}
	if _, err := mcprun.ParseDigest(string(p.Digest())); err != nil {
		t.Error(err)
	}
}

// FuzzParseProfile: whatever the bytes, there is a profile or an *ErrorList with lines,
// and what there is allows nothing that can never be granted.
func FuzzParseProfile(f *testing.F) {
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(read(f, profileDocs), -1) {
		f.Add(m[1])
	}
	f.Add([]byte(ownProfile("allow:\n  - calls: [clone]\n    where: [{arg: flags, mask: \"0x7e020000\", any: {none: 0}}]\n" + why)))
	f.Add([]byte(ownProfile("deny:\n  - calls: [ioctl]\n" + why + "allow:\n  - calls: [ioctl]\n    where: [{arg: request, any: [TCGETS]}]\n" + why)))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","openat","chown32"],"action":"SCMP_ACT_ALLOW"},{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}`))
	f.Add([]byte(`{"version":1,"name":"own","extends":"strict","groups":[{"reason":"a test","calls":["mlock"]}]}`))
	never, err := profiles.Never()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := manifest.ParseProfile("fuzz", data)
		if err != nil {
			var list *manifest.ErrorList
			if p != nil || !errors.As(err, &list) || len(list.Errors) == 0 || list.Errors[0].Line < 1 {
				t.Fatalf("value %v with error %#v", p, err)
			}
			return
		}
		for _, arch := range profiles.Arches() {
			for _, call := range p.Calls(arch) {
				if never[call] != "" {
					t.Errorf("%s is allowed", call)
				}
			}
			for call, no := range profiles.NeverValues() {
				for _, args := range no {
					if j, err := p.Judge(call, args, arch); err != nil || j.Outcome != profiles.Refused {
						t.Errorf("%s with %v: %v, %v", call, args, j.Outcome, err)
					}
				}
			}
		}
	})
}

// TestOwnProfileCeilings: what an operator lets profiles in files do, each refusal beside
// one that passes.
func TestOwnProfileCeilings(t *testing.T) {
	plain, err := manifest.ParseProfile("tight.yaml", []byte("version: 1\nname: tight\nextends: node\ndeny:\n  - calls: [inotify_init1]\n    reason: watches nothing\nallow:\n  - calls: [memfd_create]\n    reason: keeps a buffer\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := serverOf(t, "profile: ./tight.yaml")
	for _, row := range []struct{ ceilings, want string }{
		{"", ""},
		{"own-profiles: all", ""},
		{"own-profiles: none", "policy.yaml:2 (own-profiles)"},
		{"own-profiles: [\"" + string(plain.Digest()) + "\"]", ""},
		{"own-profiles: [\"sha256:" + strings.Repeat("ab", 32) + "\"]", "have the operator add " + string(plain.Digest())},
		{"profiles: [node]", "policy.yaml:2 (profiles)"},
		{"profiles: [node]\nown-profiles: all", ""},
		{"profiles: [strict]\nown-profiles: all", "the profile tight extends node, which may not be used"},
		{"never-calls: [memfd_create]", "take it out of allow: tight:8"},
		{"never-calls: [inotify_init1]", ""},
		{"never-calls: [inotify_add_watch]", "deny it in a profile of your own"},
		{"never-calls: [\"socket(family=AF_NETLINK)\"]", ""},
		{"never-calls: [\"socket(family=AF_INET)\"]", "tight allows socket(family=AF_INET)"},
	} {
		var got []string
		for _, v := range ceilings(t, row.ceilings).Check(s, at, plain) {
			got = append(got, v.String())
		}
		if row.want == "" && len(got) > 0 || row.want != "" && (len(got) != 1 || !strings.Contains(got[0], row.want)) {
			t.Errorf("%s: %q, want one with %q", row.ceilings, got, row.want)
		}
	}
	// One that nobody read, none that the zero value lets pass, and none that is not a path.
	if v := manifest.DefaultCeilings().Check(s, at, nil); len(v) != 1 || !strings.Contains(v[0].String(), "was not read") {
		t.Errorf("without the profile: %v", v)
	}
	var list []string
	for _, v := range new(manifest.Ceilings).Check(s, at, plain) {
		list = append(list, v.String())
	}
	if !strings.Contains(strings.Join(list, "\n"), "the profile tight is in a file") {
		t.Errorf("the zero ceilings say %q", list)
	}
	for text, want := range map[string]string{
		"never-calls: [mlokc]": "did you mean mlock?", "never-calls: [\"socket(famly=1)\"]": "no argument", "never-calls: [\"socket(family=AF_X\"]": "neither a call nor",
		"own-profiles: some": "write all, none or a list of digests", "own-profiles: [node]": "sha256:", "own-profiles: {a: b}": "all, none or a list of digests",
	} {
		if _, err := manifest.ParseCeilings("policy.yaml", []byte("version: 1\n"+text+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestMinimumIsolation: each demand on the wall refuses what is behind less, and nothing
// else.
func TestMinimumIsolation(t *testing.T) {
	const image = "image: ghcr.io/acme/files@sha256:abababababababababababababababababababababababababababababababab\n"
	for _, row := range []struct{ server, ceilings, want string }{
		{"", "minimum-isolation: runc", ""},
		{"", "minimum-isolation: gvisor", "policy.yaml:2 (minimum-isolation); write isolation: gvisor"},
		{"isolation: gvisor", "minimum-isolation: gvisor", ""},
		{"", "minimum-isolation: {all: gvisor}", "policy.yaml:2 (minimum-isolation.all)"},
		{"", "minimum-isolation: {high: gvisor}", ""},
		{"tools: {send: {risk: medium}, shut: {risk: block}}", "minimum-isolation: {high: gvisor}", ""},
		{"tools: {send: {risk: high}}", "minimum-isolation: {high: gvisor}", "it is runc, and it has a tool of high risk"},
		{"tools: {send: {risk: low}}", "minimum-isolation: {high: gvisor}\nrisk: {default: high}", "it has a tool of high risk"},
		{"isolation: gvisor\ntools: {send: {risk: high}}", "minimum-isolation: {high: gvisor}", ""},
		{"", "minimum-isolation: {untrusted: gvisor, trusted: [ghcr.io/acme]}", ""},
		{"", "minimum-isolation: {untrusted: gvisor, trusted: [ghcr.io/other]}", "its image is not among those that are trusted"},
		{"", "minimum-isolation: {untrusted: gvisor}", "its image is not among those that are trusted"},
	} {
		s, err := manifest.Parse("server.yaml", []byte("version: 1\nname: x\n"+image+row.server+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range ceilings(t, row.ceilings).Check(s, at, nil) {
			got = append(got, v.String())
		}
		if row.want == "" && len(got) > 0 || row.want != "" && (len(got) != 1 || !strings.Contains(got[0], row.want)) {
			t.Errorf("%s under %s: %q, want one with %q", row.server, row.ceilings, got, row.want)
		}
	}
	archive := serverOf(t, "")
	archive.Image = manifest.Image{Path: "a.tar"}
	if v := ceilings(t, "minimum-isolation: {untrusted: gvisor, trusted: [ghcr.io]}").Check(archive, at, nil); len(v) != 1 {
		t.Errorf("an archive on disk is trusted: %v", v)
	}
	for text, want := range map[string]string{"minimum-isolation: kata": "virtual machine", "minimum-isolation: {high: strong}": "write runc or gvisor", "minimum-isolation: {trusted: [ghcr.io/acme]}": "write untrusted: gvisor"} {
		if _, err := manifest.ParseCeilings("policy.yaml", []byte("version: 1\n"+text+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
