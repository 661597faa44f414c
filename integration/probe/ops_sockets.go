package main

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

// familyNames are the address families by number, 0 to 45.
func familyNames() []string {
	return []string{
		"unspec", "unix", "inet", "ax25", "ipx", "appletalk", "netrom", "bridge", "atmpvc", "x25", "inet6", "rose", "decnet",
		"netbeui", "security", "key", "netlink", "packet", "ash", "econet", "atmsvc", "rds", "sna", "irda", "pppox", "wanpipe",
		"llc", "ib", "mpls", "can", "tipc", "bluetooth", "iucv", "rxrpc", "isdn", "phonet", "ieee802154", "caif", "alg", "nfc",
		"vsock", "kcm", "qipcrtr", "smc", "xdp", "mctp",
	}
}

// netlinkNames are the netlink protocols by number.
func netlinkNames() []string {
	return []string{
		"route", "unused", "usersock", "firewall", "sock-diag", "nflog", "xfrm", "selinux", "iscsi", "audit", "fib-lookup",
		"connector", "netfilter", "ip6-fw", "dnrtmsg", "kobject-uevent", "generic", "dm", "scsitransport", "ecryptfs", "rdma",
		"crypto", "smc",
	}
}

func socketOps() []op {
	var ops []op
	for n, name := range familyNames() {
		// A vsock is in no network namespace: it leads to the hypervisor.
		ops = append(ops, op{name: "sockets.family." + name, severe: n == unix.AF_VSOCK, run: func() outcome { return family(n) }})
	}
	for n, name := range netlinkNames() {
		ops = append(ops, op{name: "sockets.netlink." + name, run: func() outcome { return socket(unix.AF_NETLINK, unix.SOCK_RAW, n) }})
	}
	return append(ops,
		op{name: "sockets.raw.icmp", run: func() outcome { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) }},
		op{name: "sockets.raw.ip", run: func() outcome { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW) }},
		op{name: "sockets.raw.tcp", run: func() outcome { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP) }},
		op{name: "sockets.raw.icmp6", run: func() outcome { return socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6) }},
		op{name: "sockets.raw.packet-all", run: func() outcome { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0x0300) }}, // ETH_P_ALL in network order
		op{name: "sockets.raw.packet-dgram", run: func() outcome { return socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0x0300) }},
		op{name: "sockets.ping", run: func() outcome { return socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP) }},
		op{name: "sockets.sctp", run: func() outcome { return socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP) }},
		op{name: "sockets.mptcp", run: func() outcome { return socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP) }},
		op{name: "sockets.dccp", run: func() outcome { return socket(unix.AF_INET, unix.SOCK_DCCP, unix.IPPROTO_DCCP) }},
		op{name: "sockets.udplite", run: func() outcome { return socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE) }},
		op{name: "sockets.alg-bind", run: algBind},
		op{name: "sockets.low-port", run: lowPort},
		op{name: "sockets.option.mark", run: func() outcome {
			return option(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 1) })
		}},
		op{name: "sockets.option.transparent", run: func() outcome {
			return option(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1) })
		}},
		op{name: "sockets.option.bind-to-device", run: func() outcome {
			return option(func(fd int) error { return unix.BindToDevice(fd, "lo") })
		}},
		op{name: "sockets.option.receive-buffer-force", run: func() outcome {
			return option(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4096) })
		}},
		op{name: "sockets.option.iptables-replace", run: func() outcome {
			const replace = 64 // IPT_SO_SET_REPLACE; its argument cannot be read
			return option(func(fd int) error {
				err := call(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_IP, replace, badPointer, 0)
				if e, ok := errnoOf(err); ok && !isRefusal(e) && !isAbsence(e) {
					return nil
				}
				return err
			})
		}},
		op{name: "sockets.interface-flags", run: interfaceFlags},
		op{name: "sockets.interface-address", run: interfaceAddress},
		op{name: "sockets.scm-credentials", severe: true, run: forgeCredentials},
	)
}

func socket(family, kind, protocol int) outcome {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err == nil {
		unix.Close(fd)
	}
	o := effect(err)
	if o.errno == "EINVAL" {
		o.verdict = result.Absent
	}
	return o
}

// family tries every type of socket of a family; the worst outcome counts.
func family(n int) outcome {
	out := absent("")
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET, unix.SOCK_RAW, unix.SOCK_RDM} {
		o := socket(n, kind, 0)
		o.detail = fmt.Sprintf("type %d", kind)
		if out = firstOf(o, out); out.verdict == result.Allowed {
			break
		}
	}
	return out
}

func algBind() outcome {
	fd, err := unix.Socket(unix.AF_ALG, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	return effect(unix.Bind(fd, &unix.SockaddrALG{Type: "hash", Name: "sha256"}))
}

func lowPort() outcome {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	return effect(unix.Bind(fd, &unix.SockaddrInet4{Port: 81, Addr: [4]byte{127, 0, 0, 1}}))
}

func option(set func(fd int) error) outcome {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	defer unix.Close(fd)
	return effect(set(fd))
}

// interfaceFlags sets the flags of lo to what they are.
func interfaceFlags() outcome {
	return option(func(fd int) error {
		ifr, err := unix.NewIfreq("lo")
		if err != nil {
			return err
		}
		if err := call(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFFLAGS, uintptr(unsafe.Pointer(ifr))); err != nil {
			return err
		}
		return call(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(ifr)))
	})
}

// interfaceAddress gives lo the address that it has.
func interfaceAddress() outcome {
	return option(func(fd int) error { return setAddress(fd, "lo", net.IPv4(127, 0, 0, 1)) })
}

func setAddress(fd int, name string, ip net.IP) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := ifr.SetInet4Addr(ip.To4()); err != nil {
		return err
	}
	return call(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(ifr)))
}

// forgeCredentials says that it is process 1 of user 0 when it is not: the
// daemon believes what the kernel lets through here.
func forgeCredentials() outcome {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return effect(err)
	}
	forged := unix.UnixCredentials(&unix.Ucred{Pid: 1, Uid: 0, Gid: 0})
	return effect(unix.Sendmsg(pair[0], []byte{0}, forged, nil, 0))
}

func interfaceUp(fd int, name string) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return call(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(ifr)))
}
