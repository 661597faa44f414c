package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/atomicfile"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles/learned"
)

func (a *App) learnCommand() *cobra.Command {
	var calls, out, internet string
	cmd := &cobra.Command{
		Use: "learn SERVER.YAML [-- COMMAND [ARG...]]", Short: "watch a server at work and write a profile of what it needs",
		Long: "Start the server under the widest profile that there may be, watch which system calls it makes, and write a profile that\n" +
			"allows these and little more. It is watched while COMMAND runs, which may be any client that uses mcprun connect; or while the\n" +
			"calls of a file are made; or until an interrupt. What earlier runs saw is kept beside the profile, and added to.\n" +
			"Learn only from a server that you trust for the time: it is held by its container, and not by a profile.",
		Example: "  mcprun learn files.yaml --calls calls.jsonl\n  mcprun learn files.yaml -- npm test",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if calls != "" && len(args) > 1 {
				return &mcprun.Error{Class: mcprun.Usage, What: "give either --calls or a command"}
			}
			if internet != "fake" && internet != "real" {
				return &mcprun.Error{Class: mcprun.Usage, What: fmt.Sprintf("there is no internet %q", internet), Hint: "give --internet fake, of which nothing leaves the machine, or --internet real"}
			}
			return a.learn(args[0], calls, out, internet == "real", args[1:])
		},
	}
	cmd.Flags().StringVar(&calls, "calls", "", "make the calls of this `file`, one a line: {\"tool\": \"…\", \"arguments\": {…}}")
	cmd.Flags().StringVarP(&out, "out", "o", "", "write the profile to this `file` (default: NAME-learned.yaml beside server.yaml)")
	cmd.Flags().StringVar(&internet, "internet", "fake", "fake: mcprun answers every host itself, and nothing leaves; real: what server.yaml allows goes out")
	return cmd
}

func (a *App) learn(file, calls, out string, realInternet bool, command []string) error {
	_, m, err := readManifest(file)
	if err != nil {
		return err
	}
	if out == "" {
		out = filepath.Join(filepath.Dir(file), string(m.Name)+"-learned.yaml")
	}
	todo, err := readCalls(calls)
	if err != nil {
		return err
	}
	old, err := readSeen(seenPath(out))
	if err != nil {
		return err
	}
	run, err := a.watch(file, m, todo, realInternet, command)
	if err != nil {
		return err
	}
	all := learned.Merge(old, *run)
	if err := writeLearned(out, all); err != nil {
		return err
	}
	return a.print(all, func(w io.Writer) {
		a.showLearned(w, file, m.Profile, out, all, len(old.Runs) > 0 && len(all.Runs) == 1)
	})
}

// seenPath is where what was seen is kept, beside the profile that was made of it.
func seenPath(profile string) string {
	return strings.TrimSuffix(profile, filepath.Ext(profile)) + ".json"
}

func readSeen(path string) (learned.Seen, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return learned.Seen{}, nil
	}
	var s learned.Seen
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return learned.Seen{}, &mcprun.Error{Class: mcprun.Usage, What: "reading what earlier runs saw", Err: err, Hint: "begin anew: rm " + path}
	}
	return s, nil
}

// writeLearned writes both files, the profile only if it is one.
func writeLearned(out string, all learned.Seen) error {
	name := strings.TrimSuffix(filepath.Base(out), filepath.Ext(out))
	text := all.Propose(name)
	if _, err := manifest.ParseProfile(out, []byte(text)); err != nil {
		return &mcprun.Error{Class: mcprun.Failed, What: "what was learned is no profile", Why: "\n" + err.Error(), Hint: "look at what was seen: mcprun learn … --json"}
	}
	raw, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	const private = 0o600 // names of folders and hosts can be private
	if err := atomicfile.Write(seenPath(out), append(raw, '\n'), private); err != nil {
		return fmt.Errorf("writing what was seen: %w", err)
	}
	return atomicfile.Write(out, []byte(text), 0o644)
}

// watch has the daemon watch the server while its calls are made, and returns what was seen.
func (a *App) watch(file string, m *manifest.Server, calls []learnCall, realInternet bool, command []string) (*learned.Seen, error) {
	req, err := startRequest(control.OpLearn, file)
	if err != nil {
		return nil, err
	}
	req.RealInternet = realInternet
	if err := a.ensureDaemon(); err != nil {
		return nil, err
	}
	conn, err := control.Dial(a.dirs.Socket())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	up := make(chan struct{}, 1)
	type end struct {
		res *control.Result
		err error
	}
	ended, over := make(chan end, 1), make(chan struct{})
	go func() {
		defer close(over)
		res, err := conn.Do(req, control.Events{Progress: func(p string) {
			if p == control.ProgressLearning {
				up <- struct{}{}
				return
			}
			fmt.Fprintf(a.Err, "mcprun: %s\n", p)
		}})
		ended <- end{res, err}
	}()
	select {
	case e := <-ended:
		return seenOf(e.res, e.err)
	case <-signals:
		return nil, &mcprun.Error{Class: mcprun.Failed, What: "interrupted before the server was up"}
	case <-up:
	}
	workErr := a.work(m, calls, command, signals, over)
	conn.CloseWrite() // the daemon stops the server, and answers
	e := <-ended
	seen, err := seenOf(e.res, e.err)
	return seen, errors.Join(err, workErr)
}

func seenOf(res *control.Result, err error) (*learned.Seen, error) {
	var s learned.Seen
	if err == nil {
		err = json.Unmarshal(res.Learned, &s)
	}
	return &s, err
}

// work is what the server is watched at.
func (a *App) work(m *manifest.Server, calls []learnCall, command []string, signals <-chan os.Signal, over <-chan struct{}) error {
	switch {
	case len(command) > 0:
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = a.In, a.Err, a.Err
		cmd.Env = append(os.Environ(), "MCPRUN_RUN="+a.dirs.Run, "MCPRUN_DATA="+a.dirs.Data)
		if err := cmd.Run(); err != nil {
			return &mcprun.Error{Class: mcprun.Failed, What: "the command failed, and nothing was written", Err: err}
		}
	case len(calls) > 0:
		return a.makeCalls(m.Name, calls)
	default:
		fmt.Fprintf(a.Err, "mcprun: %s is up and watched; use it (mcprun connect %s), then press Ctrl-C\n", m.Name, m.Name)
		select {
		case <-signals:
		case <-over: // it has ended by itself, or was killed
		}
	}
	return nil
}

func (a *App) makeCalls(name mcprun.ServerName, calls []learnCall) error {
	for _, c := range calls {
		answer, err := a.callTool(name, c.Tool, jsontext.Value(c.Arguments))
		switch {
		case err != nil:
			return err
		case bytes.Contains(answer.Result, []byte(`"isError":true`)) || len(answer.Error) > 0:
			fmt.Fprintf(a.Err, "mcprun: line %d, %s: it was refused or failed: %s\n", c.line, c.Tool, clipText(lock.Visible(string(answer.Result)+string(answer.Error))))
		}
	}
	return nil
}

// learnCall is a line of --calls.
type learnCall struct {
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	line      int
}

// maxCallLine bounds one line of --calls: as long as a message may be.
const maxCallLine = 8 << 20

func readCalls(path string) ([]learnCall, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading the calls to make", Err: err}
	}
	defer f.Close()
	var out []learnCall
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxCallLine)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		c := learnCall{line: n}
		if err := json.Unmarshal([]byte(text), &c); err != nil || c.Tool == "" {
			return nil, &mcprun.Error{Class: mcprun.Usage, What: fmt.Sprintf("%s:%d is no call", path, n), Err: err, Hint: `one a line: {"tool": "read_file", "arguments": {"path": "/workspace/a.txt"}}`}
		}
		if len(c.Arguments) == 0 {
			c.Arguments = json.RawMessage("{}")
		}
		out = append(out, c)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the calls to make: %w", err)
	}
	if len(out) == 0 {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: path + " has no call"}
	}
	return out, nil
}

func (a *App) showLearned(w io.Writer, file, was, out string, all learned.Seen, again bool) {
	if again {
		fmt.Fprintln(a.Err, "mcprun: what was learned before was of another image, or by another version, and was left out")
	}
	p, err := readProfile(out)
	if err != nil {
		fmt.Fprintln(a.Err, "mcprun:", err)
		return
	}
	fmt.Fprintf(w, "%s allows %d system calls.\n", out, len(p.Calls(all.Arch)))
	fmt.Fprintf(w, "How far to trust it: %s.\n", all.Trust())
	if missing := notCalled(all); len(missing) > 0 {
		fmt.Fprintf(w, "Not called yet: %s.\n", strings.Join(missing, ", "))
	}
	for _, c := range all.Refused {
		fmt.Fprintf(w, "Refused, and nothing can allow it: %s(%s).\n", c.Call, lock.Visible(c.Args))
	}
	if all.Lost > 0 {
		fmt.Fprintf(w, "%d more kinds of calls or hosts were seen than are kept.\n", all.Lost)
	}
	if adds := hostsToAdd(all); len(adds) > 0 {
		fmt.Fprintf(w, "It wanted to go where server.yaml does not let it; if it was wanted, add there:\negress:\n%s\n", strings.Join(adds, "\n"))
	}
	fmt.Fprintf(a.Err, "mcprun: hint: read %s, name it in %s (profile: %s), and pin it: mcprun lock %s; what it leaves out: mcprun profile diff %s %s\n", out, file, fromFile(file, out), file, orStrict(was), out)
}

// fromFile is a path as server.yaml has it: from its own folder.
func fromFile(file, path string) string {
	rel, err := filepath.Rel(filepath.Dir(file), path)
	if err != nil {
		return path
	}
	if strings.HasPrefix(rel, "../") {
		return rel
	}
	return "./" + rel
}

// notCalled are the tools that no run has called.
func notCalled(all learned.Seen) []string {
	var out []string
	for _, t := range all.Listed {
		if !slices.Contains(all.Called, t) {
			out = append(out, lock.Visible(string(t)))
		}
	}
	return out
}

// hostsToAdd are the rules of egress for what was refused, once each.
func hostsToAdd(all learned.Seen) []string {
	var out []string
	for _, h := range all.Hosts {
		if _, lines, ok := strings.Cut(h.Add, "\n"); ok && !h.Allowed && !slices.Contains(out, lines) {
			out = append(out, lines)
		}
	}
	return out
}
