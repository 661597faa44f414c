package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/miekg/dns"
)

// answer is what a name server said.
type answer struct {
	Server  string   `json:"server"`
	Code    string   `json:"code"`
	Answers []string `json:"answers"`
}

// query asks one name server one question, by itself: no resolver of this
// machine's settings stands between. An answer that is not NOERROR is an error.
func query(ctx context.Context, args []string) (any, error) {
	server, network, kind := "", "udp", dns.TypeA
	switch len(args) {
	case 4:
		var ok bool
		if kind, ok = dns.StringToType[strings.ToUpper(args[3])]; !ok {
			return nil, fmt.Errorf("%q is no record type", args[3])
		}
		fallthrough
	case 3:
		network = args[2]
		fallthrough
	case 2:
		server = args[1]
	}
	server, err := nameServer(server)
	if err != nil {
		return nil, err
	}
	question := new(dns.Msg).SetQuestion(dns.Fqdn(args[0]), kind)
	said, _, err := (&dns.Client{Net: network, Timeout: patience}).ExchangeContext(ctx, question, server)
	if err != nil {
		return answer{Server: server}, err
	}
	a := answer{Server: server, Code: dns.RcodeToString[said.Rcode]}
	for _, rr := range said.Answer {
		a.Answers = append(a.Answers, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	if said.Rcode != dns.RcodeSuccess {
		return a, fmt.Errorf("%s: %s", args[0], a.Code)
	}
	return a, nil
}

// nameServer adds the port to a server, or finds the first in resolv.conf.
func nameServer(server string) (string, error) {
	if server == "" {
		config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil {
			return "", err
		}
		if len(config.Servers) == 0 {
			return "", fmt.Errorf("/etc/resolv.conf names no server")
		}
		server = config.Servers[0]
	}
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server, nil
	}
	return net.JoinHostPort(server, "53"), nil
}
