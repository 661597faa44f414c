package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// steal reads the files that STEAL names, as a back door would, and says what came of each.
func steal(int) (string, error) {
	var out []string
	for _, path := range strings.Fields(os.Getenv("STEAL")) {
		raw, err := os.ReadFile(path)
		if err != nil {
			out = append(out, err.Error())
		} else {
			out = append(out, fmt.Sprintf("read %s: %s", path, raw))
		}
	}
	return strings.Join(out, "; "), nil
}

// visit goes where it is meant to; with 1 where a back door would.
func visit(n int) (string, error) {
	c := http.Client{Timeout: 5 * time.Second}
	resp, err := c.Get([]string{"http://api.example.com/v1/things", "http://198.51.100.7/drop", "http://elsewhere.example.org/drop"}[n%3])
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return string(text), err
}

// shell starts one.
func shell(int) (string, error) {
	out, err := exec.Command("/bin/sh", "-c", "id").CombinedOutput()
	return string(out), err
}
