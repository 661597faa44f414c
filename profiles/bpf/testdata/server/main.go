// Command server does what a static Go server does, and what the first process
// of a container does before it: one check after another, each printed as
// "ok <name>" or "BAD <name> <why>". With the argument hold it prints its
// readiness and waits for its standard input to end.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "hold":
			fmt.Println("ready")
			io.Copy(io.Discard, os.Stdin)
			return
		case "echo":
			io.Copy(os.Stdout, os.Stdin)
			return
		}
	}
	dir, err := os.MkdirTemp(os.Getenv("SCRATCH"), "go-")
	if err != nil {
		fmt.Println("BAD scratch", err)
		os.Exit(1)
	}
	bad := 0
	for _, c := range []struct {
		name string
		run  func(dir string) error
	}{
		{"files", files}, {"goroutines", goroutines}, {"timers", timers}, {"tcp", tcp}, {"http", web}, {"udp", udp},
		{"firstProcess", firstProcess}, {"children", children}, {"signals", signals}, {"resolver", resolver},
	} {
		if err := c.run(dir); err != nil {
			fmt.Println("BAD", c.name, err)
			bad = 1
		} else {
			fmt.Println("ok", c.name)
		}
	}
	os.RemoveAll(dir)
	os.Exit(bad)
}

func files(dir string) error {
	a := filepath.Join(dir, "a")
	err := errors.Join(
		os.WriteFile(a, []byte("hello"), 0o600),
		os.Mkdir(filepath.Join(dir, "d"), 0o700),
		os.Rename(a, filepath.Join(dir, "d", "b")),
	)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	in, err := root.Open("d/b")
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := root.Create("d/c")
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), filepath.WalkDir(dir, func(_ string, _ os.DirEntry, err error) error { return err }))
}

func goroutines(string) error {
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			runtime.LockOSThread() // a thread each, which ends with it
			_ = make([]byte, 1<<20)
		})
	}
	wg.Wait()
	runtime.GC()
	return nil
}

func timers(string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	<-time.After(time.Millisecond)
	return nil
}

func tcp(string) error {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		go func() {
			c, err := l.Accept()
			if err == nil {
				io.Copy(c, c) // splice
				c.Close()
			}
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		c.Write([]byte("ping"))
		c.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "ping" {
			return fmt.Errorf("echo %q, %v", got, err)
		}
		l.Close()
	}
	return nil
}

func web(dir string) error {
	os.WriteFile(filepath.Join(dir, "page"), []byte("page"), 0o600)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go http.Serve(l, http.FileServer(http.Dir(dir))) // sendfile
	resp, err := http.Get("http://" + l.Addr().String() + "/page")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "page" {
		return fmt.Errorf("page %q, %v", body, err)
	}
	return nil
}

func udp(string) error {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.WriteTo([]byte("x"), c.LocalAddr()); err != nil {
		return err
	}
	_, _, err = c.ReadFrom(make([]byte, 1))
	return err
}

// firstProcess makes a unix connection the standard streams of a child.
func firstProcess(dir string) error {
	const prSetDumpable = 4
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0); errno != 0 {
		return fmt.Errorf("PR_SET_DUMPABLE: %w", errno)
	}
	if err := closeAbove(1000); err != nil {
		return err
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		return err
	}
	defer l.Close()
	server, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		return err
	}
	client, err := l.Accept()
	if err != nil {
		return err
	}
	f, err := server.(*net.UnixConn).File()
	if err != nil {
		return err
	}
	server.Close()
	const spare = 500
	if err := errors.Join(syscall.Dup3(int(f.Fd()), spare, syscall.O_CLOEXEC), f.Close()); err != nil {
		return err
	}
	p, err := os.StartProcess("/proc/self/exe", []string{"server", "echo"}, &os.ProcAttr{
		Files: []*os.File{os.NewFile(spare, "in"), os.NewFile(spare, "out"), os.Stderr},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return err
	}
	syscall.Close(spare)
	if _, err := client.Write([]byte("line\n")); err != nil {
		return err
	}
	client.(*net.UnixConn).CloseWrite()
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "line\n" {
		return fmt.Errorf("echo %q, %v", got, err)
	}
	if err := ppoll(); err != nil {
		return err
	}
	_, err = p.Wait()
	return err
}

func closeAbove(first uintptr) error {
	const closeRange = 436
	if _, _, errno := syscall.RawSyscall(closeRange, first, ^uintptr(0), 0); errno != 0 {
		return fmt.Errorf("close_range: %w", errno)
	}
	return nil
}

func ppoll() error {
	var now syscall.Timespec
	if _, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, 0, 0, uintptr(unsafe.Pointer(&now)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("ppoll: %w", errno)
	}
	return nil
}

// children starts programs: this static one, and a shell where there is one
// and the profile is meant for it.
func children(string) error {
	cmd := exec.Command("/proc/self/exe", "echo")
	cmd.Stdin = strings.NewReader("x")
	out, err := cmd.Output()
	if err != nil || string(out) != "x" {
		return fmt.Errorf("echo %q, %v", out, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	held := exec.CommandContext(ctx, "/proc/self/exe", "hold")
	if _, err := held.StdinPipe(); err != nil {
		return err
	}
	if err := held.Start(); err != nil {
		return err
	}
	cancel()
	if err := held.Wait(); err == nil {
		return errors.New("a killed child ended well")
	}
	if os.Getenv("SHELL_TOO") == "" {
		return nil
	}
	out, err = exec.Command("/bin/sh", "-c", "cd $SCRATCH && mkdir -p x && cp -p /bin/true x/t && ls -l x >/dev/null && chmod 700 x/t && rm -r x && echo out | cat").CombinedOutput()
	if err != nil || string(out) != "out\n" {
		return fmt.Errorf("shell %q, %v", out, err)
	}
	return nil
}

func signals(string) error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		return err
	}
	<-c
	return nil
}

// resolver asks a resolver that is not there: an error, and no crash.
func resolver(string) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:1")
	}}
	if _, err := r.LookupHost(context.Background(), "name.invalid"); err == nil {
		return errors.New("name.invalid resolved")
	}
	return nil
}
