package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sniff opens a socket that sees every packet of its network namespace.
func sniff(context.Context, []string) (any, error) {
	const everything = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, everything)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return nil, unix.Close(fd)
}

// change tries to rebuild the network that this process is in.
func change(_ context.Context, args []string) (any, error) {
	switch args[0] {
	case "routes":
		return nil, flushRoutes()
	case "nft":
		return nil, flushRules()
	case "veth":
		return nil, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "out0"}, PeerName: "out1"})
	case "namespace":
		return nil, os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNET))
	}
	return nil, fmt.Errorf("%q is not routes, nft, veth or namespace", args[0])
}

// flushRoutes deletes the routes of every table.
func flushRoutes() error {
	all, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("there is no route")
	}
	for _, r := range all {
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) { // one may go with another
			return err
		}
	}
	return nil
}

func flushRules() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.FlushRuleset()
	return c.Flush()
}
