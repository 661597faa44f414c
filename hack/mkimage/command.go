package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// stderrShown bounds how much of a failed program's output an error repeats: the
// cause is in its last lines.
const stderrShown = 600

// command is a program of this machine that a step needs.
type command struct {
	step    string // what is being done, for the error
	program string
	args    []string
	dir     string
	env     []string // added to the caller's
	install string   // what to type when the program is missing
	hint    string   // what to do when it fails
}

// run returns what the program prints.
func (c command) run(ctx context.Context) ([]byte, error) {
	path, err := exec.LookPath(c.program)
	if err != nil {
		return nil, fail(c.step, fmt.Errorf("%s is not installed", c.program), c.install)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, c.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), c.env...)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", c.step, ctx.Err())
		}
		said := strings.TrimSpace(stderr.String())
		return nil, fail(c.step, fmt.Errorf("%s: %w: %s", c.program, err, said[max(0, len(said)-stderrShown):]), c.hint)
	}
	return stdout.Bytes(), nil
}
