// Package netpolicy decides where a server may connect: (destination, tools in
// flight) → Decision. It is pure: it resolves nothing, opens nothing and reads no
// clock, so that the same question always has the same answer.
//
// A destination is allowed when one rule names its host and port, one of the
// rule's tools is in flight (a rule without tools serves all), and the rule's
// grant opens the address that the name resolved to. Where the traffic is
// readable, the same rule must also name the method and the path. Nothing else
// allows anything, and a Policy without rules denies everything.
//
// Outside text becomes a value in one way only: ParseHost gives one spelling of a
// host, CanonicalPath one spelling of a path. What was judged must be what is
// sent, so callers send these values and never the text they came from.
//
// Not protected:
//
//   - Domain fronting. Without inspection only the name in the TLS handshake is
//     seen; a front (a CDN) may serve another site of its own behind an allowed
//     name. Inspection closes this: host, method and path of each request count.
//   - An allowed host that relays: a proxy, a DNS-over-HTTPS resolver, a gist, an
//     issue tracker. Whoever may write to such a host may write through it.
//   - Covert channels: when, how often and how much is sent, and which of the
//     allowed names is asked for.
//   - Public addresses that a site uses inside (squatted or routed privately), and
//     IPv4 behind an operator's own NAT64 or 6rd prefix: an address does not tell.
//     CheckAddress takes the host's own addresses from its caller.
//   - Names that look alike to a person. Patterns are printed as xn-- for that.
//   - What an upstream makes of a canonical path: some fold case, some drop
//     ";parameters", some map unusual Unicode onto dots and slashes.
//   - The query of a request: it is not part of any rule.
package netpolicy
