package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/paths"
	"github.com/mcprun/mcprun/internal/policyfile"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

func (a *App) policyCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check POLICY.YAML [SERVER.YAML...]", Short: "read a policy.yaml, and hold server.yaml files against it", Args: cobra.MinimumNArgs(1),
		Long: "Read the operator's ceilings without putting them in force: all errors at once, with line, column and fix. With server.yaml files, say what each asks for beyond them.\nThe exit code is 2 if the file has errors, and 3 if a server.yaml asks for more.",
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := readCeilings(args[0])
			if err != nil {
				return err
			}
			found := []string{}
			if _, _, err := policyfile.Read(args[0]); err != nil {
				found = append(found, "a daemon would not take it from here: "+err.Error())
			}
			asks := map[string][]string{}
			for _, path := range args[1:] {
				_, m, err := readManifest(path)
				if err != nil {
					return err
				}
				if asks[path], err = beyond(c, m, path); err != nil {
					return err
				}
			}
			kills := byItself(c.Kill, "policy.yaml")
			err = a.print(map[string]any{"digest": c.Digest(), "notes": found, "beyond": asks, "kills": kills}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is valid: %s\n", args[0], c.Digest().Short())
				for _, k := range kills {
					fmt.Fprintln(w, "  by itself:", k)
				}
				for _, n := range found {
					fmt.Fprintln(w, "  note:", n)
				}
				for _, path := range args[1:] {
					if len(asks[path]) == 0 {
						fmt.Fprintf(w, "%s stays within it\n", path)
					}
				}
			})
			if err != nil {
				return err
			}
			return refusedBy(asks, args[1:])
		},
	}
}

// refusedBy is the error for the server.yaml files that ask for more than they may.
func refusedBy(asks map[string][]string, paths []string) error {
	var out []string
	for _, path := range paths {
		for _, v := range asks[path] {
			out = append(out, path+": "+v)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return &mcprun.Error{Class: mcprun.Denied, What: "more is asked for than the operator allows", Why: "\n" + strings.Join(out, "\n"), Hint: "change server.yaml, or the ceilings: docs/policy-yaml.md"}
}

// beyond is what a server.yaml asks for beyond the ceilings.
func beyond(c *manifest.Ceilings, m *manifest.Server, path string) ([]string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	own, _, err := ownProfile(m, path)
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, v := range c.Check(m, filepath.Dir(abs), own) {
		out = append(out, v.String())
	}
	return out, nil
}

// readCeilings reads a policy.yaml that the user names, whoever wrote it.
func readCeilings(path string) (*manifest.Ceilings, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading " + path, Err: err, Hint: "docs/policy-yaml.md shows a complete one"}
	}
	return policyfile.Parse(path, raw)
}

// ceilings are those of the file, where one is named; else those in force in the
// daemon; where none answers, those that it would read. note says so where they may
// be others than the daemon's.
func (a *App) ceilings(file string) (c *manifest.Ceilings, note string, err error) {
	if file != "" {
		c, err = readCeilings(file)
		return c, "", err
	}
	res, err := a.do(control.Request{Op: control.OpCeilings})
	var e *mcprun.Error
	switch {
	case err == nil && res.Ceilings != nil:
		// From the file's own text, so that lines are those of the file.
		if res.Ceilings.File != "" {
			c, err = policyfile.Parse(res.Ceilings.File, res.Ceilings.Source)
			return c, "", err
		}
		return manifest.DefaultCeilings(), "", nil
	case errors.As(err, &e) && e.Class == mcprun.Denied:
		return manifest.DefaultCeilings(), "the daemon shows its ceilings to operators only; these are the defaults", nil
	case errors.As(err, &e) && e.Class == mcprun.Unreachable:
		c, _, err = policyfile.Read(paths.DefaultPolicy)
		if errors.Is(err, fs.ErrNotExist) {
			return manifest.DefaultCeilings(), "", nil
		}
		return c, "", err
	}
	return nil, "", err
}

func policyFlag(c *cobra.Command, file *string, without string) {
	c.Flags().StringVar(file, "policy", "", "the `file` with the operator's ceilings (without it: "+without+")")
}

const daemonsPolicy = "the daemon's"

func (a *App) policyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "show the operator's ceilings that are in force", Args: cobra.NoArgs,
		Long: "Print the policy.yaml that is in force in the daemon, with its defaults written out, and whether there is a newer one that could not be taken.",
		RunE: func(*cobra.Command, []string) error {
			res, err := a.do(control.Request{Op: control.OpCeilings})
			if err != nil {
				return err
			}
			return a.print(res.Ceilings, func(w io.Writer) { a.showCeilings(w, res.Ceilings) })
		},
	}
}

func (a *App) showCeilings(w io.Writer, c *control.Ceilings) {
	from := "the file " + c.File
	if c.File == "" {
		from = "no file, since there is none at " + c.Reads + ": the defaults"
	}
	fmt.Fprintf(w, "# from %s\n# in force since %s, %s\n", lock.Visible(from), c.Since.Local().Format(time.DateTime), c.Digest.Short())
	if c.Broken != nil {
		fmt.Fprintf(w, "# %s: the newest file is broken since %s and not in force\n", a.colour(red, "BROKEN"), c.Broken.Since.Local().Format(time.DateTime))
		for line := range strings.SplitSeq(strings.TrimSpace(c.Broken.Why), "\n") {
			fmt.Fprintln(w, "#   "+lock.Visible(line))
		}
	}
	if h := c.Webhook; h != nil {
		fmt.Fprintln(w, "# approval.webhook: "+a.webhookState(h))
	}
	io.WriteString(w, c.Text)
}

// webhookState is how it goes with the webhook, on one line.
func (a *App) webhookState(h *control.Webhook) string {
	out := fmt.Sprintf("%d messages sent", h.Delivered)
	if h.Delivered == 0 && h.Lost == 0 {
		out = "nothing was to be told yet; mcprun approvals webhook tries it"
	} else if !h.Last.IsZero() {
		out += ", the newest " + ago(h.Last)
	}
	if h.Lost > 0 {
		out += fmt.Sprintf("; it was not told about %d calls", h.Lost)
	}
	if h.Why != "" {
		out += "; " + a.colour(red, "FAILS") + ": " + lock.Visible(h.Why)
	}
	return out
}

func (a *App) policyReloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "put a changed policy.yaml in force without a restart", Args: cobra.NoArgs,
		Long: "Let the daemon read policy.yaml again, as SIGHUP does. Servers that ask for more than it allows are ended; calls are judged by it from the next one on.\nWhere the file has errors the ceilings that hold stay, all errors are printed, and the exit code is not 0.",
		RunE: func(*cobra.Command, []string) error {
			res, err := a.do(control.Request{Op: control.OpReloadCeilings})
			if err != nil {
				return err
			}
			return a.print(res.Ceilings, func(w io.Writer) {
				what := res.Ceilings.File
				if what == "" {
					what = "no policy.yaml: the defaults"
				}
				fmt.Fprintf(w, "in force: %s (%s)\n", lock.Visible(what), res.Ceilings.Digest.Short())
				for _, s := range res.Ceilings.Ended {
					fmt.Fprintf(w, "%s was stopped: it asks for more than is allowed now\n", s)
				}
				if len(res.Ceilings.Ended) > 0 {
					fmt.Fprintln(a.Err, "mcprun: hint: what each asked for: mcprun ps")
				}
			})
		},
	}
}
