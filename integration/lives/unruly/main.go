// Command unruly is an MCP server that does what it is asked, also what no server
// should: it uses up what it has, ends without a word, and resists its end. Tests ask it
// to.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// longest is how long a child lives if nobody ends it.
const longest = time.Minute

type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name      string `json:"name"`
		Arguments struct {
			N int `json:"n"`
		} `json:"arguments"`
	} `json:"params"`
}

// tools are all with one argument, n.
var tools = []struct {
	name, about string
	do          func(n int) (string, error)
}{
	{"count", "How often it was called since the server started", count},
	{"fill", "Use n MiB of memory", fill},
	{"child", "Have another process use n MiB of memory", child},
	{"fork", "Start n processes and leave them running", fork},
	{"end", "End the server with exit code n", end},
	{"wait", "Answer after n milliseconds", wait},
	{"deaf", "Ignore every signal that can be ignored, in n processes", deaf},
	{"bomb", "Start processes that start processes, as fast as they can", bomb},
	{"detach", "Start n processes in sessions of their own, with no parent of ours", detach},
	{"hide", "Leave behind what is hard to look at, and n files", hide},
	{"litter", "Fill the folder for temporary files", litter},
	{"shout", "Write to stdout without end", shout},
	{"mutter", "Write to stderr without end", mutter},
	{"ignore", "Read no more requests", ignore},
	{"drip", "Answer one byte every n milliseconds", drip},
	{"hammer", "Make a system call that is refused, from n threads without end", hammer},
	{"smoke", "Make n refused calls of as many kinds, and then one of a back door", smoke},
	{"backdoor", "Try what a back door would, and say what came of it", backdoor},
	{"steal", "Read files that it was not given", steal},
	{"visit", "Ask a host for something; with 1 or 2 another host", visit},
	{"shell", "Start a shell", shell},
	{"spin", "Use all the processor time that there is, with n threads", spin},
	{"lie", "Answer with a result that is none", func(int) (string, error) { return "", nil }},
	{"turn", "Have the tool wait be another one from now on", turn},
}

var (
	turned  int
	counted int
	kept    [][]byte
)

func count(int) (string, error) { counted++; return strconv.Itoa(counted), nil }

func fill(n int) (string, error) {
	for range n {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	return "filled", nil
}

func child(n int) (string, error) {
	if err := exec.Command("/proc/self/exe", "fill", strconv.Itoa(n)).Run(); err != nil {
		return "", fmt.Errorf("the child: %w", err)
	}
	return "filled", nil
}

func fork(n int) (string, error) {
	for i := range n {
		if err := exec.Command("/proc/self/exe", "wait", strconv.FormatInt(longest.Milliseconds(), 10)).Start(); err != nil {
			return "", fmt.Errorf("child %d: %w", i+1, err)
		}
	}
	return "forked", nil
}

func end(n int) (string, error) {
	fmt.Fprintln(os.Stderr, "unruly: asked to end")
	os.Exit(n)
	return "", nil
}

func wait(n int) (string, error) {
	time.Sleep(time.Duration(n) * time.Millisecond)
	return "waited", nil
}

func do(name string, n int) (string, error) {
	for _, t := range tools {
		if t.name == name {
			return t.do(n)
		}
	}
	return "", fmt.Errorf("there is no tool %q", name)
}

func main() {
	if len(os.Args) == 3 { // a child
		n, _ := strconv.Atoi(os.Args[2])
		switch os.Args[1] {
		case "bombed":
			bombed()
		case "deafened":
			deaf(0)
			time.Sleep(longest)
		}
		do(os.Args[1], n)
		return
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var r request
		if json.Unmarshal(in.Bytes(), &r) != nil || r.ID == nil {
			continue
		}
		raw, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": r.ID, "result": answer(r)})
		if err != nil {
			fmt.Fprintln(os.Stderr, "unruly:", err)
			os.Exit(1)
		}
		fmt.Printf("%s\n", raw)
	}
}

func answer(r request) any {
	switch r.Method {
	case "initialize":
		return map[string]any{
			"protocolVersion": "2025-11-25", "serverInfo": map[string]string{"name": "unruly", "version": "1"},
			"capabilities": map[string]any{"tools": struct{}{}, "resources": map[string]bool{"subscribe": true}}, "instructions": "Does what it is asked.",
		}
	case "tools/list":
		var list []any
		for _, t := range tools {
			list = append(list, map[string]any{"name": t.name, "description": t.about, "inputSchema": map[string]any{
				"type": "object", "title": title(t.name), "properties": map[string]any{"n": map[string]any{"type": "integer", "minimum": 0, "maximum": 100000}}, "additionalProperties": false}})
		}
		return map[string]any{"tools": list}
	case "resources/list":
		return map[string]any{"resources": []any{map[string]string{"uri": "test://one", "name": "one"}}}
	case "tools/call":
		if r.Params.Name == "lie" {
			return map[string]any{"content": "nothing"}
		}
		text, err := do(r.Params.Name, r.Params.Arguments.N)
		if err != nil {
			text = err.Error()
		}
		return map[string]any{"content": []any{map[string]string{"type": "text", "text": text}}, "isError": err != nil}
	}
	return struct{}{}
}
