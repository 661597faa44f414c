package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxFds is how far inherited looks: the most that our containers may open.
const maxFds = 4096

// inherited lists the open files that came with the start of this process: what
// the program opens itself, its runtime included, closes on exec.
func inherited(context.Context, []string) (any, error) {
	found := map[string]string{}
	for fd := 3; fd < maxFds; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			target = err.Error()
		}
		found[fmt.Sprint(fd)] = target
	}
	return found, nil
}

// interfaces lists the network interfaces with their addresses, or only their
// names where netlink is refused.
func interfaces(context.Context, []string) (any, error) {
	found := map[string][]string{}
	list, err := net.Interfaces()
	if err != nil {
		return namesOfInterfaces(found)
	}
	for _, i := range list {
		found[i.Name] = []string{}
		addrs, err := i.Addrs()
		if err != nil {
			return found, err
		}
		for _, a := range addrs {
			found[i.Name] = append(found[i.Name], a.String())
		}
	}
	return found, nil
}

func namesOfInterfaces(found map[string][]string) (any, error) {
	text, err := os.ReadFile("/proc/net/dev")
	for l := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(l, ":"); ok {
			found[strings.TrimSpace(name)] = []string{}
		}
	}
	return found, err
}

// ping sends one ICMP echo request, by the socket that needs no privilege or,
// where that is refused, by the one that does.
func ping(ctx context.Context, args []string) (any, error) {
	ip := net.ParseIP(args[0])
	if ip == nil {
		return nil, fmt.Errorf("%q is no address", args[0])
	}
	family, protocol := unix.AF_INET6, unix.IPPROTO_ICMPV6
	if ip.To4() != nil {
		family, protocol = unix.AF_INET, unix.IPPROTO_ICMP
	}
	var refused []error
	for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_RAW} {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
		if err != nil {
			refused = append(refused, fmt.Errorf("socket type %d: %w", kind, err))
			continue
		}
		defer unix.Close(fd)
		err = echo(ctx, fd, family, ip)
		return map[string]int{"socket_type": kind}, err
	}
	return nil, errors.Join(refused...)
}

// echo sends the request on fd and waits for its reply.
func echo(ctx context.Context, fd, family int, ip net.IP) error {
	deadline, _ := ctx.Deadline()
	wait := unix.NsecToTimeval(time.Until(deadline).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	request, replyType := byte(128), byte(129) // RFC 4443, section 4
	var to unix.Sockaddr = &unix.SockaddrInet6{Addr: [16]byte(ip.To16())}
	if family == unix.AF_INET {
		request, replyType = 8, 0 // RFC 792
		to = &unix.SockaddrInet4{Addr: [4]byte(ip.To4())}
	}
	if err := unix.Sendto(fd, echoRequest(request), 0, to); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	for buf := make([]byte, 1500); time.Now().Before(deadline); {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return fmt.Errorf("waiting for the reply: %w", err)
		}
		// A raw socket shows the IPv4 header before the message, and other messages too.
		if i := bytes.Index(buf[:n], echoBody); i >= 8 && buf[i-8] == replyType {
			return nil
		}
	}
	return os.ErrDeadlineExceeded
}

var echoBody = []byte("netclient")

// echoRequest is a message with the checksum of RFC 1071; for IPv6 the kernel
// makes it.
func echoRequest(kind byte) []byte {
	m := append([]byte{kind, 0, 0, 0, 0x4d, 0x43, 0, 1}, echoBody...)
	if len(m)%2 == 1 {
		m = append(m, 0)
	}
	sum := uint32(0)
	for i := 0; i < len(m); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(m[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(m[2:], ^uint16(sum))
	return m
}
