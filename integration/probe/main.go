// Command probe tries several hundred dangerous operations from inside a
// container and reports, for each, whether it was denied.
//
// Every operation runs in a process of its own with a time limit, so that a
// kill by the filter, a crash or a hang is a verdict like any other. Arguments
// are chosen so that an operation that gets through does no harm: a call that
// would need care is made with arguments that fail behind the permission check.
//
// It finds known ways out; it does not prove that there is no other. A verdict
// says what this kernel did to this process, and nothing of kernel bugs behind
// calls that are rightly allowed.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/mcprun/mcprun/integration/probe/result"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	fl := flag.NewFlagSet("probe", flag.ContinueOnError)
	fl.SetOutput(stderr)
	list := fl.Bool("list", false, "print the operations and do nothing")
	asJSON := fl.Bool("json", true, "print JSON on stdout; with false, only the summary on stderr")
	group := fl.String("group", "", "only the operations of this `group`")
	one := fl.String("one", "", "run the operation of this `name` in this process")
	limits := fl.Bool("limits", false, "also use up memory, processes and files until a limit bites")
	workers := fl.Int("j", defaultWorkers, "operations at a time")
	control := fl.Bool("control", false, "as root: run with every privilege inside throwaway namespaces")
	anyway := fl.Bool("anyway", false, "run as root although the machine's own processes are in sight")
	inside := fl.Bool("inside-control", false, "internal: the second half of -control")
	handed := fl.Bool("handed", false, "receive a folder of the host's over stdin, and try what Landlock is to refuse")
	noop := fl.Bool("noop", false, "internal: exit at once")
	if err := fl.Parse(args); err != nil {
		return err
	}
	switch {
	case *noop:
		return nil
	case *handed:
		return runHanded(stdout)
	case *control:
		return runControl(args, stdout, stderr)
	}

	ops := operations()
	if *one != "" {
		return runOne(ops, *one, stdout)
	}
	if ops = choose(ops, *group, *limits || *list, *inside); len(ops) == 0 {
		return fmt.Errorf("no operation in group %q", *group)
	}
	if *list {
		return printList(stdout, ops, *asJSON)
	}
	if !*inside && !*anyway && onHost() {
		return errOnHost
	}
	if *inside {
		if err := enterControl(); err != nil {
			return fmt.Errorf("preparing the control: %w", err)
		}
	}
	if !*asJSON {
		stdout = io.Discard
	}
	r := runner{workers: *workers, fresh: *inside}
	rs, err := r.run(ops, stdout)
	if err != nil {
		return err
	}
	return printSummary(stderr, rs)
}

// choose narrows the table to what is to run.
func choose(ops []op, group string, limits, control bool) []op {
	return slices.DeleteFunc(ops, func(o op) bool {
		return group != "" && o.group() != group || o.limits && !limits || control && notInControl(o.name)
	})
}

// runOne runs one operation and prints its outcome as a result.
func runOne(ops []op, name string, stdout io.Writer) error {
	i := slices.IndexFunc(ops, func(o op) bool { return o.name == name })
	if i < 0 {
		return fmt.Errorf("no operation %q", name)
	}
	return json.NewEncoder(stdout).Encode(toResult(ops[i], ops[i].run()))
}

// maxDetail keeps a line of the report within result.MaxLine.
const maxDetail = 2 << 10

func toResult(o op, out outcome) result.Result {
	if out.verdict == "" {
		out = broken("the operation gave no verdict")
	}
	return result.Result{
		Group: o.group(), Name: o.name, Severe: o.severe,
		Verdict: out.verdict, Errno: out.errno, Detail: out.detail[:min(len(out.detail), maxDetail)],
	}
}

func printList(w io.Writer, ops []op, asJSON bool) error {
	enc := json.NewEncoder(w)
	for _, o := range ops {
		if !asJSON {
			fmt.Fprintf(w, "%-14s %-48s severe=%t\n", o.group(), o.name, o.severe)
			continue
		}
		err := enc.Encode(struct {
			Group  string `json:"group"`
			Name   string `json:"name"`
			Severe bool   `json:"severe"`
			Limits bool   `json:"limits,omitempty"`
		}{o.group(), o.name, o.severe, o.limits})
		if err != nil {
			return err
		}
	}
	return nil
}

// printSummary is for people: counts by group, then what got through.
func printSummary(w io.Writer, rs []result.Result) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "group\tdenied\tabsent\terror\tallowed\tsevere\t")
	counts := result.CountGroups(rs)
	for _, g := range groupsOf(rs) {
		c := counts[g]
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t\n", g, c.Denied, c.Absent, c.Errors, c.Allowed, c.Severe)
	}
	c := result.Count(rs)
	fmt.Fprintf(tw, "all %d\t%d\t%d\t%d\t%d\t%d\t\n", c.Total, c.Denied, c.Absent, c.Errors, c.Allowed, c.Severe)
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, r := range result.LetThrough(rs, true) {
		fmt.Fprintf(w, "severe: %s %s %s\n", r.Name, r.Errno, r.Detail)
	}
	return nil
}

func groupsOf(rs []result.Result) []string {
	var groups []string
	for _, r := range rs {
		if !slices.Contains(groups, r.Group) {
			groups = append(groups, r.Group)
		}
	}
	return groups
}

var (
	errNotRoot = errors.New("the control needs root")
	errOnHost  = errors.New("this looks like root on the machine itself, whose mounts would change: use -control, or -anyway in a container that shares its processes")
)

// onHost says that we are root beside the kernel's threads.
func onHost() bool { return os.Getuid() == 0 && kernelThreads().verdict == result.Allowed }
