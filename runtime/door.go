package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// door is the listening socket through which mcprun-init connects: exactly three
// connections from the container's own user, then it is shut for good.
type door struct {
	ln   *net.UnixListener
	path string
}

func openDoor(dir string, owner uint32) (*door, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return nil, fmt.Errorf("making the instance's folder: %w", err)
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		// runc mounts the socket as the container's root, who must reach it; the
		// server's own user is another and sees the mount alone.
		err = os.Chown(dir, int(owner), int(owner))
	}
	if err != nil {
		return nil, fmt.Errorf("making the instance's folder: %w", err)
	}
	path := filepath.Join(dir, "io")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("opening the instance's socket: %w", err)
	}
	// The folder keeps others out; the container's user must be able to connect.
	if err := os.Chmod(path, 0o666); err != nil {
		ln.Close()
		return nil, fmt.Errorf("opening the instance's socket: %w", err)
	}
	return &door{ln: ln, path: path}, nil
}

func (d *door) Close() error { return d.ln.Close() }

// connections are those of one container's first process.
type connections struct {
	init          *net.UnixConn // until the server is started
	stdio, stderr *net.UnixConn // the server's
}

func (c connections) close() {
	for _, conn := range []*net.UnixConn{c.init, c.stdio, c.stderr} {
		if conn != nil {
			conn.Close()
		}
	}
}

// admit accepts them in their order. A container that ends before it has connected is an
// error that says so.
func (d *door) admit(ctx context.Context, uid uint32, gone <-chan struct{}) (all connections, err error) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-gone:
		case <-ctx.Done():
		case <-stop:
			return
		}
		d.ln.SetDeadline(time.Unix(1, 0))
	}()
	for _, c := range []**net.UnixConn{&all.init, &all.stdio, &all.stderr} {
		if *c, err = d.accept(uid); err != nil {
			break
		}
	}
	if err == nil {
		return all, nil
	}
	all.close()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errors.New("the container ended before it was connected")
	}
	return connections{}, fmt.Errorf("waiting for the container to connect: %w", err)
}

func (d *door) accept(uid uint32) (*net.UnixConn, error) {
	c, err := d.ln.AcceptUnix()
	if err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if credErr != nil || cred.Uid != uid {
		c.Close()
		return nil, fmt.Errorf("a connection came from another user than the container's (%v, %v)", cred, credErr)
	}
	return c, nil
}
