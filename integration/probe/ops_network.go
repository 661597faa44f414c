package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mcprun/mcprun/integration/probe/result"
)

const (
	// dialTimeout is long enough for any host that is one hop away.
	dialTimeout = 300 * time.Millisecond
	// resolveTimeout is for one question to a resolver.
	resolveTimeout = 700 * time.Millisecond
)

// destinations are addresses that a container without a grant must not reach.
// Severe are those that give credentials or control of the host.
func destinations() []struct {
	name, address string
	severe        bool
} {
	return []struct {
		name, address string
		severe        bool
	}{
		{"metadata", "169.254.169.254:80", true},
		{"metadata-tasks", "169.254.170.2:80", true},
		{"metadata-alibaba", "100.100.100.200:80", true},
		{"metadata-oracle", "192.0.0.192:80", true},
		{"metadata-v6", "[fd00:ec2::254]:80", true},
		{"metadata-azure-wire", "168.63.129.16:80", true},
		{"private-10", "10.0.0.1:80", false},
		{"private-10-tls", "10.0.0.1:443", false},
		{"private-172", "172.16.0.1:80", false},
		{"private-192", "192.168.0.1:80", false},
		{"private-192-1", "192.168.1.1:443", false},
		{"docker-gateway-ssh", "172.17.0.1:22", true},
		{"docker-gateway-web", "172.17.0.1:80", false},
		{"docker-gateway-api", "172.17.0.1:2375", true},
		{"kubernetes-service", "10.96.0.1:443", true},
		{"carrier-grade", "100.64.0.1:80", false},
		{"internet-dns-tls", "1.1.1.1:853", false},
		{"internet-tls", "1.1.1.1:443", false},
		{"internet-web", "1.1.1.1:80", false},
		{"internet-google-dns", "8.8.8.8:53", false},
		{"internet-mail", "1.1.1.1:25", false},
		{"internet-v6", "[2606:4700:4700::1111]:443", false},
		{"link-local-v6", "[fe80::1%lo]:80", false},
		{"mapped-metadata", "[::ffff:169.254.169.254]:80", true},
		{"nat64-metadata", "[64:ff9b::a9fe:a9fe]:80", true},
		{"sixtofour-loopback", "[2002:7f00:1::]:80", false},
		{"any-v4", "0.0.0.0:22", false},
		{"broadcast", "255.255.255.255:80", false},
		{"multicast", "224.0.0.1:80", false},
	}
}

// loopbackPorts are services of a host; on loopback they answer only in its
// network namespace.
func loopbackPorts() map[int]bool {
	return map[int]bool{
		22: true, 80: false, 111: false, 443: false, 631: false, 2375: true, 2376: true, 2379: true, 3306: false, 5432: false,
		6379: true, 6443: true, 8080: false, 9090: false, 9229: true, 10250: true, 10255: true, 27017: false,
	}
}

func networkOps() []op {
	var ops []op
	for _, d := range destinations() {
		ops = append(ops, op{name: "network.connect." + d.name, severe: d.severe, run: func() outcome { return connect(d.address) }})
	}
	for port, severe := range loopbackPorts() {
		n := strconv.Itoa(port)
		ops = append(ops,
			op{name: "network.loopback.v4-" + n, severe: severe, run: func() outcome { return connect("127.0.0.1:" + n) }},
			op{name: "network.loopback.v6-" + n, severe: severe, run: func() outcome { return connect("[::1]:" + n) }},
		)
	}
	for _, host := range []string{"example.com", "metadata.google.internal", "host.docker.internal", "host.containers.internal", "kubernetes.default.svc"} {
		ops = append(ops, op{name: "network.resolve." + host, run: func() outcome { return resolve(host) }})
	}
	return append(sorted(ops),
		op{name: "network.dns.cloudflare", run: func() outcome { return askDNS("1.1.1.1:53") }},
		op{name: "network.dns.google", run: func() outcome { return askDNS("8.8.8.8:53") }},
		op{name: "network.interfaces", run: otherInterfaces},
		op{name: "network.addresses", run: otherAddresses},
		op{name: "network.routes", run: defaultRoute},
		op{name: "network.abstract-sockets", severe: true, run: abstractSockets},
		op{name: "network.neighbours", run: neighbours},
		op{name: "network.listeners", run: listeners},
	)
}

// connect is allowed when the other end takes the connection and either answers
// or stays: a transparent proxy takes every connection and drops what is not
// granted.
func connect(address string) outcome {
	conn, err := net.DialTimeout("tcp", address, dialTimeout)
	if err != nil {
		return networkError(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(dialTimeout))
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\nHost: probe\r\n\r\n")); err != nil {
		return denied("dropped after connecting")
	}
	var buf [64]byte
	n, err := conn.Read(buf[:])
	status, _, _ := bytes.Cut(buf[:n], []byte("\r\n"))
	switch {
	case n > 0 && refusalOfProxy(string(status)):
		return denied("refused by a proxy: " + string(status))
	case n > 0:
		return allowed("answered " + strconv.QuoteToASCII(string(status)))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return allowed("connected")
	}
	return denied("dropped after connecting")
}

// refusalOfProxy knows the answers that a filtering proxy gives in place of the
// destination.
func refusalOfProxy(status string) bool {
	f := strings.Fields(status)
	if len(f) < 2 || !strings.HasPrefix(f[0], "HTTP/") {
		return false
	}
	switch f[1] {
	case "403", "407", "451", "502", "503":
		return true
	}
	return false
}

// networkError turns silence and unreachability into denial: the packet did not
// come back, for whatever reason.
func networkError(err error) outcome {
	if e, ok := errnoOf(err); ok {
		o := effect(e)
		switch o.errno {
		case "ECONNREFUSED", "EADDRNOTAVAIL":
			o.verdict = result.Absent
		case "ENETUNREACH", "EHOSTUNREACH", "ECONNRESET", "ENETDOWN", "EINVAL", "ECONNABORTED":
			o.verdict = result.Denied
		}
		return o
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return denied("no answer")
	}
	return denied(err.Error())
}

func resolve(host string) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return denied("not resolved")
	}
	return allowed(joinAddrs(addrs))
}

func joinAddrs(addrs []netip.Addr) string {
	var s []string
	for _, a := range addrs {
		s = append(s, a.String())
	}
	return strings.Join(s, " ")
}

// dnsQuestion asks for the A record of example.com.
func dnsQuestion() []byte {
	return []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01")
}

// askDNS is allowed when a server answers with a record; a refusal is what a
// stub in between says.
func askDNS(server string) outcome {
	conn, err := net.DialTimeout("udp", server, dialTimeout)
	if err != nil {
		return networkError(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(dialTimeout))
	if _, err := conn.Write(dnsQuestion()); err != nil {
		return networkError(err)
	}
	var buf [512]byte
	n, err := conn.Read(buf[:])
	if err != nil {
		return networkError(err)
	}
	answered := n > 12 && buf[3]&0x0f == 0 && (buf[6] != 0 || buf[7] != 0)
	return allowedIf(answered, "an answer of "+strconv.Itoa(n)+" bytes")
}

func otherInterfaces() outcome {
	raw, err := os.ReadFile("/proc/net/dev") // needs no netlink
	if err != nil {
		return effect(err)
	}
	var found []string
	for line := range strings.Lines(string(raw)) {
		name, _, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); ok && name != "lo" {
			found = append(found, name)
		}
	}
	return allowedList(found, "only lo")
}

func otherAddresses() outcome {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return effect(err)
	}
	var found []string
	for _, a := range addrs {
		if ip, _, err := net.ParseCIDR(a.String()); err != nil || !ip.IsLoopback() {
			found = append(found, a.String())
		}
	}
	return allowedList(found, "only loopback")
}

// defaultRoute finds a route out of the namespace; one to lo leads back in.
func defaultRoute() outcome {
	raw, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return effect(err)
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "00000000" && f[0] != "lo" {
			return allowed("by " + f[0])
		}
	}
	return absent("no default route")
}

// abstractSockets lists names without a file; they belong to the network
// namespace, so any here are somebody else's.
func abstractSockets() outcome {
	raw, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return effect(err)
	}
	var found []string
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 8 && strings.HasPrefix(f[7], "@") && len(found) < maxFound {
			found = append(found, f[7])
		}
	}
	return allowedList(found, "none")
}

func neighbours() outcome {
	raw, err := os.ReadFile("/proc/net/arp")
	if err != nil {
		return effect(err)
	}
	var found []string
	for i, line := range strings.Split(string(raw), "\n") {
		if f := strings.Fields(line); i > 0 && len(f) > 0 {
			found = append(found, f[0])
		}
	}
	return allowedList(found, "none")
}

// listeners counts listening TCP sockets in the namespace.
func listeners() outcome {
	raw, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return effect(err)
	}
	var found []string
	for line := range strings.Lines(string(raw)) {
		const listen = "0A"
		if f := strings.Fields(line); len(f) > 3 && f[3] == listen {
			found = append(found, f[1])
		}
	}
	return allowedList(found, "none")
}
