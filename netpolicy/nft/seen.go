package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Refused is one packet that the last rule refused.
type Refused struct {
	Protocol string // udp, icmp, … or the number
	To       netip.AddrPort
}

// Watcher reports refused packets of one namespace. Packets over the rate of the
// rule are refused and not reported.
type Watcher struct{ conn *netlink.Conn }

// Numbers of linux/netfilter/nfnetlink_log.h.
const (
	subsysLog   = 4 << 8
	msgPacket   = subsysLog | 0
	msgConfig   = subsysLog | 1
	cfgCommand  = 1
	cfgMode     = 2
	cfgQueue    = 5 // NFULA_CFG_QTHRESH
	commandBind = 1
	copyPacket  = 2
	attrPayload = 9
)

// Watch binds to the log group of the namespace netns.
func Watch(netns int) (*Watcher, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("opening the log of refused packets: %w", err)
	}
	mode := make([]byte, 6)
	binary.BigEndian.PutUint32(mode, logBytes)
	mode[4] = copyPacket
	// Each packet is reported at once: the kernel else gathers them for a second, and
	// by then the call that sent it has ended.
	one := binary.BigEndian.AppendUint32(nil, 1)
	for _, attr := range []netlink.Attribute{{Type: cfgCommand, Data: []byte{commandBind}}, {Type: cfgMode, Data: mode}, {Type: cfgQueue, Data: one}} {
		body, err := netlink.MarshalAttributes([]netlink.Attribute{attr})
		if err == nil {
			group := []byte{unix.AF_UNSPEC, 0, LogGroup >> 8, LogGroup}
			_, err = conn.Execute(netlink.Message{Header: netlink.Header{Type: msgConfig, Flags: netlink.Request | netlink.Acknowledge}, Data: append(group, body...)})
		}
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("binding to the log of refused packets: %w", err)
		}
	}
	return &Watcher{conn}, nil
}

// Next waits for refused packets. An error is final: Close was called, or the
// namespace's log is gone. Packets that were lost on the way are not an error.
func (w *Watcher) Next() ([]Refused, error) {
	msgs, err := w.conn.Receive()
	if errors.Is(err, unix.ENOBUFS) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Refused
	for _, m := range msgs {
		if uint16(m.Header.Type) != msgPacket || len(m.Data) < 4 {
			continue
		}
		attrs, err := netlink.UnmarshalAttributes(m.Data[4:])
		if err != nil {
			continue
		}
		for _, a := range attrs {
			if a.Type == attrPayload {
				if r, ok := parsePacket(a.Data); ok {
					out = append(out, r)
				}
			}
		}
	}
	return out, nil
}

// Close ends Next.
func (w *Watcher) Close() error { return w.conn.Close() }

// parsePacket reads the first bytes of an IP packet that a container sent.
func parsePacket(b []byte) (Refused, bool) {
	if len(b) < 1 {
		return Refused{}, false
	}
	var addr netip.Addr
	var proto byte
	var rest []byte
	switch size := int(b[0]&0x0f) * 4; {
	case b[0]>>4 == 4 && size >= 20 && len(b) >= size:
		addr, proto, rest = netip.AddrFrom4([4]byte(b[16:20])), b[9], b[size:]
	case b[0]>>4 == 6 && len(b) >= 40:
		addr, proto, rest = netip.AddrFrom16([16]byte(b[24:40])), b[6], b[40:]
	default:
		return Refused{}, false
	}
	var port uint16
	switch proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_UDPLITE, unix.IPPROTO_DCCP:
		if len(rest) >= 4 {
			port = binary.BigEndian.Uint16(rest[2:4])
		}
	}
	return Refused{protocolName(proto), netip.AddrPortFrom(addr, port)}, true
}

func protocolName(p byte) string {
	switch p {
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		return "icmp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	return fmt.Sprintf("protocol %d", p)
}
