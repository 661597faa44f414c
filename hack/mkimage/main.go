// Command mkimage builds the container images that mcprun is tested with, from
// Debian, npm and Go packages and local files, without an image registry.
//
//	go run ./hack/mkimage -cache .cache/images -o DIR filesystem everything
//
// Each image becomes DIR/NAME.oci.tar, an OCI image layout in a tar that
// containerd imports; with -layout also the folder DIR/NAME. The same inputs
// give the same digest: entries are sorted, times and owners fixed, layers not
// compressed (so that no compressor's version shows). What is built is found
// again by the key of its recipe, and then costs nothing.
//
// It runs as any user on a Debian or Ubuntu with Go; images that hold an npm
// package also need npm. apt checks the signatures of what it downloads, npm
// the integrity in the lock file, Go go.sum. No package's own script is run.
//
// What it does NOT do: it does not pin Debian packages, because mirrors drop
// old versions; they are what apt offered when the layer was first built (the
// list is in /usr/share/mkimage of the image), and an update is taken by
// removing the cache folder. The images are for tests and carry more tools than
// a server needs; take none of them into production.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/mcprun/mcprun"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintf(os.Stderr, "mkimage: %v\n", err)
	class := mcprun.Failed
	if e, ok := errors.AsType[*mcprun.Error](err); ok {
		class = e.Class
		if e.Hint != "" {
			fmt.Fprintf(os.Stderr, "mkimage: hint: %s\n", e.Hint)
		}
	}
	os.Exit(class.ExitCode())
}

// run does what main says. It prints one line an image on stdout (name, digest,
// path) and its progress on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("mkimage", flag.ContinueOnError)
	flags.SetOutput(stderr)
	cache := flags.String("cache", ".cache/images", "`folder` for downloads and layers")
	out := flags.String("o", ".cache/images/out", "`folder` to write the images to")
	layout := flags.Bool("layout", false, "also write each image as an OCI layout folder")
	flags.Usage = func() { usage(flags) }
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return &mcprun.Error{Class: mcprun.Usage, What: "reading the command line", Err: err}
	}
	recipes, err := choose(flags.Args())
	if err != nil {
		return err
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fail("checking the machine", fmt.Errorf("this is %s/%s", runtime.GOOS, runtime.GOARCH), "the recipes name linux/amd64 packages; build there")
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	b, err := newBuilder(root, *cache, *out, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	for _, r := range recipes {
		digest, err := b.image(ctx, r, *layout)
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, r.Name, digest, b.archive(r.Name))
	}
	return nil
}

func usage(flags *flag.FlagSet) {
	w := flags.Output()
	fmt.Fprintln(w, "usage: mkimage [-cache DIR] [-o DIR] [-layout] IMAGE...")
	flags.PrintDefaults()
	fmt.Fprintf(w, "images: %s, static:PATH\n", strings.Join(recipeNames(), ", "))
}

// moduleRoot is the nearest folder upwards with a go.mod and the lock file of
// the test servers: recipes name files relative to it.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if isFile(filepath.Join(dir, "go.mod")) && isFile(filepath.Join(dir, npmFolder, "package-lock.json")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fail("finding the checkout", fmt.Errorf("no go.mod beside %s at or above %s", npmFolder, start), "run mkimage inside the mcprun checkout")
		}
	}
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// fail is an error that names the step and the fix.
func fail(step string, err error, hint string) error {
	return &mcprun.Error{Class: mcprun.Failed, What: step, Err: err, Hint: hint}
}
