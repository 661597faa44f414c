package cli

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/mcpwire"
	"github.com/mcprun/mcprun/lock"
)

func (a *App) callCommand() *cobra.Command {
	var pairs []string
	cmd := &cobra.Command{
		Use: "call NAME TOOL [JSON]", Short: "call one tool and print its result",
		Long:    "Call a tool through the same gate as any client. Arguments are one JSON object, or --arg key=value (text)\nand --arg key:=json. Exit code 3: the call was refused by policy.",
		Example: "  mcprun call files read_text_file '{\"path\":\"/workspace/a.txt\"}'\n  mcprun call files read_text_file --arg path=/workspace/a.txt",
		Args:    cobra.RangeArgs(2, 3),
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := nameOf(args[0])
			if err != nil {
				return err
			}
			arguments, err := callArguments(args[2:], pairs)
			if err != nil {
				return err
			}
			begun := time.Now()
			result, err := a.callTool(name, args[1], arguments)
			if err != nil {
				return err
			}
			err = a.showResult(name, result)
			if err != nil && err != exitCode(mcprun.Denied.ExitCode()) {
				a.hintRefused(name, mcprun.ToolName(args[1]), begun)
			}
			return err
		},
	}
	cmd.Flags().StringArrayVar(&pairs, "arg", nil, "one argument: key=text or key:=json")
	return cmd
}

func callArguments(args, pairs []string) (jsontext.Value, error) {
	if len(args) == 1 && len(pairs) > 0 {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "give either a JSON object or --arg"}
	}
	if len(args) == 1 {
		object := jsontext.Value(strings.ReplaceAll(args[0], "\n", " "))
		if object.Kind() != jsontext.KindBeginObject || !object.IsValid(jsontext.AllowDuplicateNames(true)) { // what is wrong beyond that the daemon says
			return nil, notAnObject(args[0])
		}
		return object, nil
	}
	out := map[string]jsontext.Value{}
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if !ok || k == "" {
			return nil, &mcprun.Error{Class: mcprun.Usage, What: fmt.Sprintf("--arg %q is not key=value", p)}
		}
		if raw, isJSON := strings.CutSuffix(k, ":"); isJSON {
			out[raw] = jsontext.Value(v)
			continue
		}
		quoted, err := jsontext.AppendQuote(nil, v)
		if err != nil {
			return nil, &mcprun.Error{Class: mcprun.Usage, What: fmt.Sprintf("--arg %s is not UTF-8", k)}
		}
		out[k] = quoted
	}
	raw, err := json.Marshal(out, json.Deterministic(true))
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "--arg: " + err.Error()}
	}
	return raw, nil
}

// notAnObject says what to type instead of arguments that are no JSON object.
func notAnObject(arg string) error {
	e := &mcprun.Error{Class: mcprun.Usage, What: "reading the arguments", Why: fmt.Sprintf("%.80q is no JSON object", arg), Hint: `mcprun call NAME TOOL '{"path": "/workspace/a.txt"}', or --arg path=/workspace/a.txt for each`}
	if k, _, ok := strings.Cut(arg, "="); ok && !strings.ContainsAny(k, " {}\"'") {
		e.Hint = "--arg " + arg
	}
	return e
}

// callTool is a whole MCP session with one call.
func (a *App) callTool(name mcprun.ServerName, tool string, arguments jsontext.Value) (mcpwire.Message, error) {
	c, err := control.Dial(a.dirs.Socket())
	if err != nil {
		return mcpwire.Message{}, err
	}
	defer c.Close()
	if _, err := c.Do(control.Request{Op: control.OpConnect, Server: name}, a.events()); err != nil {
		return mcpwire.Message{}, err
	}
	stream := c.Stream()
	params := []byte(`{"name":`)
	if params, err = jsontext.AppendQuote(params, tool); err != nil {
		return mcpwire.Message{}, &mcprun.Error{Class: mcprun.Usage, What: "the tool's name is not UTF-8"}
	}
	params = append(append(append(params, `,"arguments":`...), arguments...), `,"_meta":{"progressToken":1}}`...)
	out := mcpwire.AppendRequest(nil, mcpwire.IntID(1), "initialize",
		jsontext.Value(`{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"mcprun call","version":"1"}}`))
	out = mcpwire.AppendNotification(out, "notifications/initialized", nil)
	out = mcpwire.AppendRequest(out, mcpwire.IntID(2), "tools/call", params)
	if _, err := stream.Write(out); err != nil {
		return mcpwire.Message{}, &mcprun.Error{Class: mcprun.Failed, What: "calling " + tool, Err: err}
	}
	var said string
	lines := mcpwire.NewReader(bufio.NewReader(stream), mcpwire.MaxResponseLine)
	for {
		line, err := lines.Line()
		if err != nil {
			return mcpwire.Message{}, &mcprun.Error{Class: mcprun.Failed, What: "calling " + tool, Why: "the daemon closed the connection", Hint: "mcprun ps"}
		}
		m, werr := mcpwire.ParseServer(line)
		if werr != nil {
			return mcpwire.Message{}, &mcprun.Error{Class: mcprun.Failed, What: "calling " + tool, Err: werr}
		}
		switch {
		case m.Kind == mcpwire.Notification && m.Method == "notifications/progress":
			said = a.showProgress(m.Params, said)
		case m.Kind == mcpwire.ErrorResponse && (m.ID == mcpwire.IntID(2) || m.ID.IsZero()), m.Kind == mcpwire.Response && m.ID == mcpwire.IntID(2):
			return m, nil
		case m.Kind == mcpwire.ErrorResponse:
			return m, nil
		}
	}
}

// showProgress prints what is said of a call that goes on, unless it was said last.
func (a *App) showProgress(params jsontext.Value, said string) string {
	var p struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(params, &p) != nil || p.Message == "" || p.Message == said {
		return said
	}
	fmt.Fprintf(a.Err, "mcprun: progress: %s\n", clipText(lock.Visible(p.Message)))
	return p.Message
}

// showResult prints a result and turns a refusal into the exit code for it.
func (a *App) showResult(server mcprun.ServerName, m mcpwire.Message) error {
	if m.Kind == mcpwire.ErrorResponse {
		var e struct {
			Message string `json:"message"`
		}
		if err := json.Unmarshal(m.Error, &e); err != nil {
			return err
		}
		out := &mcprun.Error{Class: mcprun.Denied, What: strings.TrimPrefix(e.Message, "mcprun ")}
		if strings.HasSuffix(e.Message, "[tool.unknown]") {
			out.Hint = fmt.Sprintf("mcprun inspect %s lists its tools", server)
		}
		return out
	}
	var r struct {
		Content []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"content"`
		IsError bool `json:"isError"`
		Meta    struct {
			Decision *struct {
				Rule string `json:"rule"`
			} `json:"mcprun/decision"`
		} `json:"_meta"`
	}
	if err := json.Unmarshal(m.Result, &r); err != nil {
		return errors.New("the result has another form than MCP says: " + err.Error())
	}
	if a.json {
		fmt.Fprintf(a.Out, "%s\n", m.Result)
	}
	for _, c := range r.Content {
		switch {
		case r.Meta.Decision != nil:
			fmt.Fprintf(a.Err, "mcprun: %s\n", strings.TrimPrefix(c.Text, "mcprun "))
		case !a.json && c.Type == "text":
			fmt.Fprintln(a.Out, c.Text)
		case !a.json:
			fmt.Fprintf(a.Out, "[%s content: see it with --json]\n", c.Type)
		}
	}
	switch {
	case r.Meta.Decision != nil:
		return exitCode(mcprun.Denied.ExitCode())
	case r.IsError:
		return exitCode(mcprun.Failed.ExitCode())
	}
	return nil
}
