package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/decided"
	"github.com/mcprun/mcprun/internal/policytest"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

func (a *App) policyCommand() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "the operator's ceilings, and propose and try what server.yaml files allow"}
	c.AddCommand(a.policyInitCommand(), a.policyCheckCommand(), a.policyShowCommand(), a.policyReloadCommand(), a.policyTestCommand(), a.policyReplayCommand())
	return c
}

func (a *App) policyTestCommand() *cobra.Command {
	var file, ceilings string
	var verbose bool
	c := &cobra.Command{
		Use: "test --cases FILE SERVER.YAML...", Short: "replay labelled calls offline and print each wrong answer", Args: cobra.MinimumNArgs(1),
		Long: "Judge every call of the file by the server.yaml that has its server's name, without starting anything. Each line of FILE is a JSON object:\nserver, tool_name, arguments, expected (allow, approve or block), id, and, where the server is not locked, tool_description and input_schema.\nA call of a tool that demands a justification need not have one.\nThe exit code is 1 if an answer is not the expected one.",
		RunE: func(_ *cobra.Command, args []string) error {
			report, err := runPolicyTest(file, ceilings, args)
			if err != nil {
				return err
			}
			err = a.print(map[string]any{"results": report.Results, "skipped": report.Skipped, "matrix": report.Matrix()}, func(w io.Writer) {
				if verbose {
					a.showAnswers(w, report.Results)
				}
				a.showPolicyTest(w, report)
			})
			if wrong := report.Wrong(); err == nil && len(wrong) > 0 {
				err = &mcprun.Error{Class: mcprun.Failed, What: "testing policies", Why: fmt.Sprintf("%d of %d answers are wrong", len(wrong), len(report.Results))}
			}
			return err
		},
	}
	c.Flags().StringVar(&file, "cases", "", "the `file` with one call a line")
	c.MarkFlagRequired("cases")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "each call with its answer, in the words that the model is told")
	policyFlag(c, &ceilings, "the defaults")
	return c
}

func (a *App) policyReplayCommand() *cobra.Command {
	var any bool
	var file string
	c := &cobra.Command{
		Use: "replay SERVER.YAML", Short: "judge the recorded calls of a server again", Args: cobra.ExactArgs(1),
		Long: "Judge every decision in the record that was made with this server.yaml, its pins and the ceilings in force again, with what went before each call as the record has it: it must come out the same byte for byte.\nWith --any-policy also those that were made with another one: what a changed policy would have decided. The exit code is 1 if one differs.",
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			if p.Lock == nil {
				return &mcprun.Error{Class: mcprun.Usage, What: "replaying calls", Why: "the server's tools are not pinned", Hint: "mcprun lock " + args[0]}
			}
			var note string
			if p.Ceilings, note, err = a.ceilings(file); err != nil {
				return err
			}
			if note != "" {
				fmt.Fprintln(a.Err, "mcprun:", note)
			}
			report, err := a.replay(p, any)
			if err != nil {
				return err
			}
			if err := a.print(report, func(w io.Writer) { a.showReplay(w, report) }); err != nil {
				return err
			}
			if n := len(report.Different); n > 0 {
				return &mcprun.Error{Class: mcprun.Failed, What: "replaying calls", Why: fmt.Sprintf("%d of %d decisions differ", n, n+report.Same)}
			}
			return nil
		},
	}
	policyFlag(c, &file, daemonsPolicy)
	c.Flags().BoolVar(&any, "any-policy", false, "also calls that were decided with another policy")
	return c
}

func (a *App) replay(p policytest.Policy, any bool) (decided.Report, error) {
	policy, _ := gate.PolicyOf(p.Server, p.Lock, p.Ceilings)
	judge := decided.NewJudge(policy, any)
	r, err := audit.NewReader(a.dirs.Audit())
	if err != nil {
		return decided.Report{}, &mcprun.Error{Class: mcprun.Failed, What: "reading the record", Err: err, Hint: "run as root; the record is in " + a.dirs.Audit()}
	}
	defer r.Close()
	for e, err := range r.All() {
		if err == nil {
			err = judge.Record(&e.Record)
		}
		if err != nil {
			return decided.Report{}, &mcprun.Error{Class: mcprun.Failed, What: "reading the record", Err: err, Hint: "mcprun audit verify"}
		}
	}
	return judge.Report(), nil
}

func (a *App) showReplay(w io.Writer, r decided.Report) {
	for _, d := range r.Different {
		fmt.Fprintf(w, "%s record %d, %s %s\n  was %s (%d) by %s: %s\n  now %s (%d) by %s: %s\n", a.colour(red, "differs"), d.Seq, d.Tool, d.Call,
			d.Was.Verdict, d.Was.Score, d.Was.Rule, lock.Visible(d.Was.Reason), d.Now.Verdict, d.Now.Score, d.Now.Rule, lock.Visible(d.Now.Reason))
	}
	fmt.Fprintf(w, "%d decisions come out the same, %d differ\n", r.Same, len(r.Different))
	for _, skipped := range []struct {
		n   int
		why string
	}{{r.Other, "were made with another policy (judge them too: --any-policy)"}, {r.Unkept, "were too long for the record to keep"}, {r.State, "were about what the running server had become"}} {
		if skipped.n > 0 {
			fmt.Fprintf(a.Err, "mcprun: %d %s\n", skipped.n, skipped.why)
		}
	}
}

func runPolicyTest(file, ceilings string, manifests []string) (policytest.Report, error) {
	under := manifest.DefaultCeilings()
	if ceilings != "" {
		c, err := readCeilings(ceilings)
		if err != nil {
			return policytest.Report{}, err
		}
		under = c
	}
	f, err := os.Open(file)
	if err != nil {
		return policytest.Report{}, &mcprun.Error{Class: mcprun.Usage, What: "reading the cases", Err: err}
	}
	defer f.Close()
	cases, err := policytest.Read(f)
	if err != nil {
		return policytest.Report{}, &mcprun.Error{Class: mcprun.Usage, What: "reading " + file, Err: err, Hint: "mcprun help policy test"}
	}
	var policies []policytest.Policy
	for _, path := range manifests {
		p, err := readPolicy(path)
		if err != nil {
			return policytest.Report{}, err
		}
		p.Ceilings = under
		policies = append(policies, p)
	}
	return policytest.Run(cases, policies)
}

// readPolicy reads a server.yaml and the pins beside it, if there are any.
func readPolicy(path string) (policytest.Policy, error) {
	_, m, err := readManifest(path)
	if err != nil {
		return policytest.Policy{}, err
	}
	raw, err := os.ReadFile(lockPath(path))
	if errors.Is(err, os.ErrNotExist) {
		return policytest.Policy{Server: m}, nil
	}
	if err != nil {
		return policytest.Policy{}, err
	}
	pins, err := lock.Parse(raw)
	if err != nil {
		return policytest.Policy{}, &mcprun.Error{Class: mcprun.Usage, What: "reading " + lockPath(path), Err: err, Hint: "mcprun lock " + path}
	}
	return policytest.Policy{Server: m, Lock: pins}, nil
}

// showAnswers prints each call and what becomes of it.
func (a *App) showAnswers(w io.Writer, results []policytest.Result) {
	for _, one := range results {
		word := map[policytest.Answer]string{policytest.Allow: a.colour(green, "allowed"), policytest.Approve: a.colour(amber, "held   "), policytest.Block: a.colour(red, "refused")}[one.Got]
		after := ""
		if len(one.After) > 0 {
			after = " after " + lock.Visible(strings.Join(one.After, ", "))
		}
		fmt.Fprintf(w, "%s  %s %s%s\n", word, lock.Visible(one.Tool), clipText(lock.Visible(string(one.Arguments))), after)
		if one.Got == policytest.Allow {
			continue
		}
		fmt.Fprintf(w, "         %s [%s]\n", strings.TrimSpace(lock.Visible(one.Reason)), one.Rule)
		label := "hint: "
		for line := range strings.Lines(one.Hint) {
			fmt.Fprintf(w, "         %s%s\n", label, lock.Visible(strings.TrimRight(line, "\n")))
			label = "      "
		}
	}
}

func (a *App) showPolicyTest(w io.Writer, r policytest.Report) {
	for _, one := range r.Wrong() {
		fmt.Fprintf(w, "%s %s %s/%s: expected %s, got %s by %s: %s\n", a.colour(red, "wrong"), one.ID, one.Server, one.Tool, one.Expected, one.Got, one.Rule, strings.TrimSpace(lock.Visible(one.Reason)))
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "expected\tblocked\tto approve\tallowed\t")
	m := r.Matrix()
	for _, expected := range []policytest.Answer{policytest.Block, policytest.Approve, policytest.Allow} {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t\n", expected, m[expected][policytest.Block], m[expected][policytest.Approve], m[expected][policytest.Allow])
	}
	tw.Flush()
	if r.Skipped > 0 {
		fmt.Fprintf(a.Err, "mcprun: %d cases are of servers without a policy here, or not calls\n", r.Skipped)
	}
}
