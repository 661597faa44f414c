package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/lock"
)

func (a *App) auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "read and verify the record"}
	cmd.AddCommand(a.auditTail(), a.auditVerify(), a.auditCheckpoint())
	return cmd
}

func (a *App) auditTail() *cobra.Command {
	var n int
	var follow bool
	cmd := &cobra.Command{
		Use: "tail", Short: "show the last records", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			err := audit.Tail(ctx, a.dirs.Audit(), n, follow, func(e audit.Entry) error {
				if a.json {
					raw, err := e.JSON()
					if err != nil {
						return err
					}
					_, err = fmt.Fprintf(a.Out, "%s\n", raw)
					return err
				}
				a.showRecord(a.Out, &e.Record)
				return nil
			})
			if err != nil && ctx.Err() == nil {
				return &mcprun.Error{Class: mcprun.Failed, What: "reading the record", Err: err, Hint: "as root: mcprun audit verify"}
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&n, "lines", "n", 20, "how many of the last records")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	return cmd
}

// showRecord prints one record on one line.
func (a *App) showRecord(w io.Writer, r *audit.Record) {
	what := string(r.Server)
	if r.Tool != "" {
		what += "/" + string(r.Tool)
	} else if r.Method != "" {
		what += " " + r.Method
	}
	if what == "" && (r.Type == audit.TypeKill || r.Type == audit.TypeRevive) {
		what = lock.Visible(r.Detail["target"])
	}
	kind := string(r.Type)
	switch r.Type {
	case audit.TypeEgress:
		if r.Verdict != mcprun.Allow {
			kind = a.colour(red, kind)
		}
	case audit.TypeRefuse, audit.TypeKill, audit.TypeAccessDenied, audit.TypeToolChange, audit.TypeStrain, audit.TypeSyscall:
		kind = a.colour(red, kind)
	case audit.TypeDrill:
		if r.Detail["aims-missed"] != "0" && r.Outcome != "begun" {
			kind = a.colour(red, kind)
		}
	case audit.TypeCall:
		kind = a.colour(green, kind)
	}
	if r.Type == audit.TypeEgress && r.Detail["host"] != "" {
		what += " " + lock.Visible(r.Detail["host"])
		if r.Detail["port"] != "" {
			what += ":" + r.Detail["port"]
		}
		what += lock.Visible(r.Detail["path"])
	}
	if r.Type == audit.TypeSyscall {
		what += " " + r.Detail["call"]
		if args := r.Detail["args"]; args != "" {
			what += "(" + lock.Visible(args) + ")"
		}
	}
	line := fmt.Sprintf("%6d %s %-8s %s", r.Seq, r.Time.Format("15:04:05.000"), kind, what)
	for _, f := range []struct{ k, v string }{
		{"rule", r.Rule}, {"outcome", r.Outcome}, {"by", string(r.Principal)}, {"who", r.Who}, {"why", r.Why}, {"reason", r.Reason},
	} {
		if f.v != "" {
			line += " " + f.k + "=" + clipText(lock.Visible(f.v))
		}
	}
	if r.Duration > 0 {
		line += " took=" + r.Duration.Round(1000).String()
	}
	fmt.Fprintln(w, line)
	if r.Type == audit.TypeDrill {
		for _, k := range slices.Sorted(maps.Keys(r.Detail)) {
			fmt.Fprintf(w, "       %s: %s\n", lock.Visible(k), lock.Visible(r.Detail[k]))
		}
	}
}

func (a *App) auditVerify() *cobra.Command {
	var since, key string
	cmd := &cobra.Command{
		Use: "verify", Short: "find any edit, drop, swap or cut in the record",
		Long: "Verify the whole chain and its signed checkpoints. With --since, a checkpoint that was kept elsewhere\nproves that nothing before it was changed, even by one who holds the key.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var err error
			if key, err = a.recordKey(key); err != nil {
				return err
			}
			opts := audit.VerifyOptions{PublicKey: key}
			if since != "" {
				raw, err := os.ReadFile(since)
				if err != nil {
					return &mcprun.Error{Class: mcprun.Usage, What: "reading the checkpoint", Err: err}
				}
				opts.Since = string(raw)
			}
			report, err := audit.Verify(a.dirs.Audit(), opts)
			if err != nil {
				return &mcprun.Error{Class: mcprun.Failed, What: "verifying the record", Err: err, Hint: "run as root; the record is in " + a.dirs.Audit()}
			}
			if err := a.print(report, func(w io.Writer) { showReport(w, report) }); err != nil {
				return err
			}
			if !report.OK() {
				return &mcprun.Error{Class: mcprun.Failed, What: "the record was changed", Hint: "keep the folder as it is and look at the named lines: " + a.dirs.Audit()}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "file with a checkpoint kept elsewhere")
	cmd.Flags().StringVar(&key, "key", "", "the public key to trust (default: the one beside the record's key)")
	return cmd
}

// recordKey is the key that was given, else the one beside the record's own.
func (a *App) recordKey(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	key, err := audit.PublicKey(a.dirs.Keys())
	if err != nil {
		return "", &mcprun.Error{Class: mcprun.Failed, What: "reading the record's public key", Err: err, Hint: "run as root, or give --key"}
	}
	return key, nil
}

func (a *App) auditCheckpoint() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "print the newest signed checkpoint, to keep elsewhere",
		Long: "Print the newest signed checkpoint of the record. Kept where nobody who can write the record can,\nit shows later that nothing before it was changed: mcprun audit verify --since FILE.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key, err := a.recordKey(key)
			if err != nil {
				return err
			}
			text, err := audit.LastCheckpoint(a.dirs.Audit(), key)
			if err != nil {
				return &mcprun.Error{Class: mcprun.Failed, What: "printing a checkpoint", Err: err, Hint: "mcprun audit verify"}
			}
			return a.print(map[string]string{"checkpoint": text, "key": key}, func(w io.Writer) { io.WriteString(w, text) })
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the public key to trust (default: the one beside the record's key)")
	return cmd
}

func showReport(w io.Writer, r audit.Report) {
	fmt.Fprintf(w, "%d records in %d files, %d checkpoints; record %d is the newest that one covers\n", r.Records, r.Files, r.Checkpoints, r.Signed)
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  %s\n", lock.Visible(p.Error()))
	}
	if r.OK() {
		fmt.Fprintln(w, "the chain is whole")
	}
}
