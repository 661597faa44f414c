// Package nft holds the one nftables rule set of a container's network namespace:
// every TCP connection is handed to one listener of the daemon's, names are asked
// of the daemon's stub, and everything else is refused at once and seen.
//
// Rules is pure; Apply is the only user of nftables. Without Apply nothing passes
// either: the namespace has no way out (see netpolicy/netns). The rules make
// programs that ignore proxies work, they are not what holds them back.
package nft

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	// TableName is our only table.
	TableName = "mcprun"
	// LogGroup is the nflog group that what was refused is reported to.
	LogGroup = 7
	// logBytes of a packet are enough for its addresses and ports.
	logBytes = 80
	// logPerSecond and logBurst bound the reports, not the refusals: a flood must
	// cost its sender, not the daemon.
	logPerSecond, logBurst = 20, 100

	// DNSPort is where names are asked, over UDP and TCP.
	DNSPort = 53
)

// Rule is one rule: what it is for, and its expressions.
type Rule struct {
	Name  string
	Exprs []expr.Any
}

// Rules returns the rule set that hands TCP connections to the transparent
// listeners on the given port, in order. The chain's policy is drop.
func Rules(proxyPort uint16) []Rule {
	newTCP := append(protocol(unix.IPPROTO_TCP), synOnly()...)
	return []Rule{
		{"the server's own loopback", append(family(unix.NFPROTO_IPV4), loopback4()...)},
		{"the server's own loopback, IPv6", append(family(unix.NFPROTO_IPV6), loopback6()...)},
		{"names over TCP", accept(join(protocol(unix.IPPROTO_TCP), port(toPort, DNSPort)))},
		{"a new connection", join(family(unix.NFPROTO_IPV4), newTCP, tproxy(unix.NFPROTO_IPV4, proxyPort))},
		{"a new connection, IPv6", join(family(unix.NFPROTO_IPV6), newTCP, tproxy(unix.NFPROTO_IPV6, proxyPort))},
		// What belongs to a connection finds its socket: every address is local.
		{"the rest of a connection", accept(protocol(unix.IPPROTO_TCP))},
		{"names over UDP", accept(join(protocol(unix.IPPROTO_UDP), port(toPort, DNSPort)))},
		{"answers to names", accept(join(protocol(unix.IPPROTO_UDP), port(fromPort, DNSPort)))},
		// The refusals of the rules below are such messages themselves.
		{"refusals", accept(join(protocol(unix.IPPROTO_ICMP), icmpType(icmpUnreachable)))},
		{"refusals, IPv6", accept(join(protocol(unix.IPPROTO_ICMPV6), icmpType(icmp6Unreachable)))},
		{"see what is refused", []expr.Any{
			&expr.Limit{Type: expr.LimitTypePkts, Rate: logPerSecond, Unit: expr.LimitTimeSecond, Burst: logBurst},
			&expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN, Group: LogGroup, Snaplen: logBytes},
		}},
		{"refuse at once", []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH}}},
	}
}

// Apply puts the rules into the namespace netns, in one transaction.
func Apply(netns int, rules []Rule) error {
	c, err := nftables.New(nftables.WithNetNSFd(netns))
	if err != nil {
		return fmt.Errorf("opening nftables: %w", err)
	}
	table := c.AddTable(&nftables.Table{Name: TableName, Family: nftables.TableFamilyINet})
	drop := nftables.ChainPolicyDrop
	chain := c.AddChain(&nftables.Chain{
		Name: "out", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting,
		Priority: nftables.ChainPriorityMangle, Policy: &drop,
	})
	for _, r := range rules {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: r.Exprs, UserData: []byte(r.Name)})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("setting the rules of the container's network: %w", err)
	}
	return nil
}

func join(parts ...[]expr.Any) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func accept(match []expr.Any) []expr.Any {
	return append(match, &expr.Verdict{Kind: expr.VerdictAccept})
}

func equal(load expr.Any, data []byte) []expr.Any {
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data}}
}

func family(f byte) []expr.Any {
	return equal(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, []byte{f})
}

func protocol(p byte) []expr.Any {
	return equal(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, []byte{p})
}

// Offsets in a TCP or UDP header.
const (
	fromPort, toPort = 0, 2
	tcpFlags         = 13
)

func port(offset uint32, n uint16) []expr.Any {
	return equal(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}, binaryutil.BigEndian.PutUint16(n))
}

// synOnly matches the first packet of a connection: SYN without ACK, RST and FIN.
func synOnly() []expr.Any {
	const fin, syn, rst, ack = 0x01, 0x02, 0x04, 0x10
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{fin | syn | rst | ack}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{syn}},
	}
}

func tproxy(f byte, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.TProxy{Family: f, TableFamily: unix.NFPROTO_INET, RegPort: 1},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// loopback4 matches 127.0.0.0/8: a server's own programs talk to each other there.
func loopback4() []expr.Any {
	const destination = 16
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: destination, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{127}},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// loopback6 matches ::1.
func loopback6() []expr.Any {
	const destination = 24
	one := make([]byte, 16)
	one[15] = 1
	return accept(equal(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: destination, Len: 16}, one))
}

const (
	icmpUnreachable  = 3 // RFC 792
	icmp6Unreachable = 1 // RFC 4443
)

func icmpType(t byte) []expr.Any {
	return equal(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1}, []byte{t})
}
