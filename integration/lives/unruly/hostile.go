package main

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// again runs this program anew for one of its tools, without waiting for it.
func again(session bool, name string, n int) error {
	cmd := exec.Command("/proc/self/exe", name, strconv.Itoa(n))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: session}
	return cmd.Start()
}

func deaf(n int) (string, error) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1)
	for range n {
		if err := again(false, "deafened", 0); err != nil {
			return "", err
		}
	}
	return "deaf", nil
}

func bomb(int) (string, error) { return "lit", again(false, "bombed", 0) }

// bombed is one process of a bomb: where it may start no more, it tries again.
func bombed() {
	for {
		again(false, "bombed", 0)
		again(true, "bombed", 0)
	}
}

func detach(n int) (string, error) {
	for range n {
		if err := again(true, "fork", 1); err != nil { // its child outlives it
			return "", err
		}
	}
	return "detached", nil
}

func litter(int) (string, error) {
	f, err := os.CreateTemp("/tmp", "litter-")
	if err != nil {
		return "", err
	}
	for {
		if _, err := f.Write(make([]byte, 1<<20)); err != nil {
			return "", err
		}
	}
}

func shout(int) (string, error) {
	line := append(bytes.Repeat([]byte("x"), 1<<16), '\n')
	for {
		os.Stdout.Write(line)
	}
}

func mutter(int) (string, error) {
	go func() {
		for {
			os.Stderr.WriteString("mutter mutter mutter mutter mutter mutter mutter mutter\n")
		}
	}()
	return "muttering", nil
}

func ignore(int) (string, error) { time.Sleep(longest); return "", nil }

// drip answers nothing that ends: one byte at a time.
func drip(n int) (string, error) {
	for {
		os.Stdout.WriteString(" ")
		time.Sleep(time.Duration(n) * time.Millisecond)
	}
}

func spin(n int) (string, error) {
	for range n {
		go func() {
			for {
			}
		}()
	}
	return "spinning", nil
}

// turn changes what the tool wait says of itself, and tells of it.
func turn(int) (string, error) {
	turned++
	os.Stdout.WriteString(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}` + "\n")
	return "turned", nil
}

func title(tool string) string {
	if tool != "wait" {
		return tool
	}
	return tool + strings.Repeat("!", turned)
}
