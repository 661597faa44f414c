package lab

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxHead is how much is kept of a packet: a name query fits.
	maxHead = 512
	// queue is the kernel's room for packets that were not yet read: a burst at the
	// speed of memory between two turns of a busy machine.
	queue = 16 << 20
)

// Packet is one packet on the cable.
type Packet struct {
	Src, Dst netip.AddrPort // the ports are 0 where the protocol has none
	Proto    string         // tcp, udp, icmp, icmp6, else the protocol's number
	Out      bool           // sent by site
	Head     []byte         // the first bytes, from the IP header on
}

// Capture watches the cable from site's side. It passes over what the cable
// itself causes: ARP, neighbour discovery and multicast membership.
type Capture struct {
	lab  *Lab
	file *os.File
	seen record[Packet]

	mu  sync.Mutex // one reader at a time, so that packets stay in order
	buf []byte
}

// Capture begins to watch. What was sent before is not seen.
func (l *Lab) Capture() *Capture {
	l.t.Helper()
	c := &Capture{lab: l, buf: make([]byte, maxBody)}
	l.must(l.Do(Site, c.open), "watching the cable")
	raw, err := c.file.SyscallConn()
	l.must(err, "watching the cable")
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw.Read(func(fd uintptr) bool { c.drain(int(fd)); return false }) // until the file is closed
	}()
	l.t.Cleanup(func() {
		c.file.Close()
		<-done
	})
	return c
}

// open makes the socket. It runs inside site.
func (c *Capture) open() error {
	link, err := net.InterfaceByName(cable)
	if err != nil {
		return err
	}
	const everything = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	// The protocol comes with the bind: nothing of another interface may get in before.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	c.file = os.NewFile(uintptr(fd), "packets of "+cable)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue); err != nil {
		return errors.Join(os.NewSyscallError("setsockopt", err), c.file.Close())
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: link.Index}); err != nil {
		return errors.Join(os.NewSyscallError("bind", err), c.file.Close())
	}
	return nil
}

// drain reads what waits.
func (c *Capture) drain(fd int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		n, from, err := unix.Recvfrom(fd, c.buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok {
			continue
		}
		if p, ok := parse(c.buf[:n]); ok {
			p.Out = link.Pkttype == unix.PACKET_OUTGOING
			c.seen.add(p)
		}
	}
}

// Packets lists what was on the cable until now: what a program sent before is
// in it. It fails the test if the kernel had to drop any.
func (c *Capture) Packets() []Packet {
	c.lab.t.Helper()
	raw, err := c.file.SyscallConn()
	c.lab.must(err, "reading the packets")
	var dropped uint32
	inner := raw.Control(func(fd uintptr) {
		c.drain(int(fd))
		var stats *unix.TpacketStats
		if stats, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			dropped = stats.Drops
		}
	})
	c.lab.must(errors.Join(inner, err), "reading the packets")
	if dropped > 0 {
		c.lab.t.Errorf("the kernel dropped %d packets of the capture", dropped)
	}
	return c.seen.all(func(p Packet) Packet { p.Head = slices.Clone(p.Head); return p })
}

// Total counts the packets, also those that were not kept.
func (c *Capture) Total() int {
	c.lab.t.Helper()
	c.Packets()
	return c.seen.count()
}

// The numbers of the protocols that are named here.
var protocols = map[byte]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_ICMPV6: "icmp6"}

// parse reads the headers of an IP packet; false for what is none, and for what
// the cable causes.
func parse(b []byte) (Packet, bool) {
	var src, dst netip.Addr
	var proto byte
	var rest []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		src, dst, proto = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[9]
		rest = b[min(len(b), int(b[0]&15)*4):]
	case len(b) >= 40 && b[0]>>4 == 6:
		src, dst, proto = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[6]
		rest = b[40:]
		if proto == 0 && len(rest) >= 8 { // hop-by-hop options, RFC 8200 section 4.3
			proto, rest = rest[0], rest[min(len(rest), int(rest[1])*8+8):]
		}
	default:
		return Packet{}, false
	}
	if proto == unix.IPPROTO_ICMPV6 && len(rest) > 0 && housekeeping(rest[0]) {
		return Packet{}, false
	}
	name, ok := protocols[proto]
	if !ok {
		name = strconv.Itoa(int(proto))
	}
	p := Packet{Src: netip.AddrPortFrom(src, 0), Dst: netip.AddrPortFrom(dst, 0), Proto: name, Head: slices.Clone(b[:min(len(b), maxHead)])}
	if (name == "tcp" || name == "udp") && len(rest) >= 4 {
		p.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(rest))
		p.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(rest[2:]))
	}
	return p, true
}

// housekeeping are the ICMPv6 types of neighbour discovery (RFC 4861) and
// multicast membership (RFC 2710, RFC 3810).
func housekeeping(kind byte) bool {
	return kind >= 130 && kind <= 137 || kind == 143
}
