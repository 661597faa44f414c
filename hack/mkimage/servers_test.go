package main

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/internal/testenv"
)

// answerIn bounds one server's start and two answers; the slowest takes 0.7 s on
// an idle machine.
const answerIn = 60 * time.Second

// program is a command of an image that tests lean on beside the server.
type program struct {
	command []string
	want    string // in what it prints
	fails   bool
}

// TestImages starts each server from the archive that mkimage wrote, as the
// image's user in a chroot of its files: nothing of this machine is there to
// make up for what the image lacks.
func TestImages(t *testing.T) {
	testenv.Need(t, "root", "images")
	for _, c := range []struct {
		image    string
		tools    int // 0 for an image without a server
		tool     string
		programs []program
	}{
		{"filesystem", 14, "read_text_file", []program{
			{[]string{"/usr/local/bin/node", "--version"}, "v22.", false},
			{[]string{"/usr/local/bin/node", "-p", "require('os').userInfo().username"}, "user", false},
		}},
		{"everything", 14, "echo", nil},
		{"memory", 9, "create_entities", nil},
		{"git", 28, "git_status", []program{
			{[]string{"/usr/bin/git", "init", "/workspace/new"}, "Initialized empty Git repository", false},
			{[]string{"/usr/bin/git", "ls-remote", "https://127.0.0.1:1/x"}, "Failed to connect to 127.0.0.1 port 1", true}, // so its libraries are there
		}},
		{"commands", 1, "run_command", []program{
			{[]string{"/bin/sh", "-c", "find / -maxdepth 1 | grep work | sed s/w/W/ | sort"}, "/Workspace", false},
			{[]string{"/usr/bin/curl", "-sS", "https://127.0.0.1:1/x"}, "Failed to connect to 127.0.0.1 port 1", true},
		}},
		{"net", 1, "run_command", []program{
			{[]string{"/bin/bash", "-c", "echo | sed s/^$/ok/"}, "ok", false},
			{[]string{"/usr/bin/curl", "-sS", "https://127.0.0.1:1/x"}, "Failed to connect to 127.0.0.1 port 1", true},
			{[]string{"/usr/bin/git", "ls-remote", "https://127.0.0.1:1/x"}, "Failed to connect to 127.0.0.1 port 1", true},
			{[]string{"/usr/bin/python3", "-c", "import requests; requests.get('https://127.0.0.1:1/x')"}, "Connection refused", true},
			{[]string{"/usr/local/bin/psql", "postgresql://u:p@127.0.0.1:1/x"}, "Connection refused", true},
			{[]string{"/usr/bin/openssl", "s_client", "-connect", "127.0.0.1:1"}, "Connection refused", true},
			{[]string{"/usr/bin/dig", "+tries=1", "+timeout=1", "-p1", "@127.0.0.1", "x.example"}, "connection refused", true},
			{[]string{"/usr/local/bin/node", "-e", "fetch('http://127.0.0.1:2/x').catch(e => console.log(e.cause.code))"}, "ECONNREFUSED", false},
			{[]string{"/usr/local/bin/npm", "ping", "--cache=/tmp/npm", "--registry=http://127.0.0.1:2/", "--fetch-retries=0"}, "ECONNREFUSED", true},
			{[]string{"/app/netclient", "tcp", "127.0.0.1:1"}, `"errno":"ECONNREFUSED"`, false},
		}},
		{"fetch", 4, "get_raw_text", nil},
		{"postgres", 1, "query", nil},
		{"playwright", 25, "browser_navigate", []program{
			{[]string{"/usr/lib/chromium/chromium", "--version"}, "Chromium 1", false},
		}},
		{"gosdk", 28, "test_simple_text", nil},
		{"python", 1, "echo", []program{
			{[]string{"/usr/bin/python3", "-c", "import sqlite3, ctypes, ssl; print(ssl.create_default_context().cert_store_stats()['x509'] > 100)"}, "True", false},
		}},
		{"busybox", 0, "", []program{
			{[]string{"/bin/sh", "-c", "echo $(id -u):$(id -g)"}, "1000:1000", false},
			{[]string{"/bin/busybox", "touch", "/new"}, "Permission denied", true},
		}},
	} {
		if c.image == "playwright" && !built(c.image) { // it is big, and built only when asked for
			continue
		}
		t.Run(c.image, func(t *testing.T) {
			root, config := unpack(t, c.image)
			for _, p := range c.programs {
				out, err := inside(t.Context(), root, config, p.command).CombinedOutput()
				if (err != nil) != p.fails || !strings.Contains(string(out), p.want) {
					t.Errorf("%v: %v: %s; want %q", p.command, err, out, p.want)
				}
			}
			if c.tools == 0 {
				return
			}
			if names := listTools(t, root, config); len(names) != c.tools || !slices.Contains(names, c.tool) {
				t.Errorf("%d tools %v, want %d with %s", len(names), names, c.tools, c.tool)
			}
		})
	}
}

// archive is where mkimage wrote an image.
func archive(image string) string {
	return filepath.Join(os.Getenv("MCPRUN_IMAGES"), image+".oci.tar")
}

func built(image string) bool { return isFile(archive(image)) }

// inside prepares a command as a runtime would: the image's user, folder and
// environment, and no other files than its own.
func inside(ctx context.Context, root string, config v1.Config, command []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Path, cmd.Err = command[0], nil // looked up inside, not here
	cmd.Dir, cmd.Env = config.WorkingDir, config.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}}
	return cmd
}

// unpack writes the layers of an archive into a folder, with the devices that
// every runtime provides.
func unpack(t *testing.T, image string) (string, v1.Config) {
	t.Helper()
	blobs := readArchive(t, archive(image))
	index := decode[v1.IndexManifest](t, blobs["index.json"])
	manifest := decode[v1.Manifest](t, blobs[blobName(index.Manifests[0].Digest)])
	config := decode[v1.ConfigFile](t, blobs[blobName(manifest.Config.Digest)])
	root := t.TempDir()
	for _, l := range manifest.Layers {
		cmd := exec.Command("tar", "-C", root, "-xp")
		cmd.Stdin = blobs[blobName(l.Digest)]
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("unpacking %s: %v: %s", l.Digest, err, out)
		}
	}
	if err := os.Chmod(root, 0o755); err != nil { // the user must reach its own root
		t.Fatal(err)
	}
	for name, minor := range map[string]uint32{"null": 3, "urandom": 9} {
		path := filepath.Join(root, "dev", name)
		if err := errors.Join(unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))), os.Chmod(path, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return root, config.Config
}

func blobName(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

// readArchive finds the files of an archive without copying them.
func readArchive(t *testing.T, name string) map[string]*io.SectionReader {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	files := map[string]*io.SectionReader{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = io.NewSectionReader(f, at, h.Size)
	}
}

func decode[T any](t *testing.T, r *io.SectionReader) T {
	t.Helper()
	if r == nil {
		t.Fatal("the archive lacks a file that it names")
	}
	var v T
	if err := json.NewDecoder(r).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// listTools starts the server and asks for its tools.
func listTools(t *testing.T, root string, config v1.Config) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerIn)
	defer cancel()
	cmd := inside(ctx, root, config, append(config.Entrypoint, config.Cmd...))
	var said strings.Builder
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { // also on t.Fatal: no server outlives its test
		cancel()
		if err := cmd.Wait(); err != nil && t.Failed() {
			t.Logf("the server ended with %v and said:\n%s", err, said.String())
		}
	}()
	lines := bufio.NewReader(stdout)
	ask(t, stdin, lines, `{"jsonrpc":"2.0","id":"1","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"mkimage","version":"1"}}}`)
	if _, err := io.WriteString(stdin, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	var result struct {
		Tools []struct{ Name string }
	}
	if err := json.Unmarshal(ask(t, stdin, lines, `{"jsonrpc":"2.0","id":"2","method":"tools/list"}`), &result); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range result.Tools {
		names = append(names, tool.Name)
	}
	return names
}

// ask sends a request and returns its result, passing over what the server sends
// by itself.
func ask(t *testing.T, stdin io.Writer, lines *bufio.Reader, request string) json.RawMessage {
	t.Helper()
	var sent struct{ ID string }
	if err := json.Unmarshal([]byte(request), &sent); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, request+"\n"); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("waiting for the answer to %s: %v", request, err)
		}
		var reply struct {
			ID     any
			Method string
			Result json.RawMessage
			Error  json.RawMessage
		}
		if err := json.Unmarshal(line, &reply); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if reply.Method != "" || reply.ID != sent.ID {
			continue
		}
		if reply.Result == nil {
			t.Fatalf("%s: %s", request, reply.Error)
		}
		return reply.Result
	}
}
