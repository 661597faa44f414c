package netpolicy

// Reason says why something was denied; from a closed set. Empty where nothing
// was denied.
type Reason string

const (
	ReasonHost       Reason = "host"
	ReasonPort       Reason = "port"
	ReasonTool       Reason = "tool"
	ReasonLiteral    Reason = "literal"
	ReasonName       Reason = "name"
	ReasonAddress    Reason = "address"
	ReasonPrivate    Reason = "private"
	ReasonOwn        Reason = "own"
	ReasonMetadata   Reason = "metadata"
	ReasonLoopback   Reason = "loopback"
	ReasonProtocol   Reason = "protocol"
	ReasonSNI        Reason = "sni"
	ReasonECH        Reason = "ech"
	ReasonAuthority  Reason = "authority"
	ReasonMethod     Reason = "method"
	ReasonPath       Reason = "path"
	ReasonWebSocket  Reason = "websocket"
	ReasonCredential Reason = "credential"
	ReasonLimit      Reason = "limit"
	ReasonBudget     Reason = "budget"
	ReasonKilled     Reason = "killed"
	ReasonClosed     Reason = "closed"
	ReasonUpstream   Reason = "upstream"
	ReasonFake       Reason = "fake"
)

// sentences holds the whole set, in the order in which it is documented.
var sentences = []struct {
	reason   Reason
	sentence string
}{
	{ReasonHost, "no egress rule names this host"},
	{ReasonPort, "an egress rule names this host, but not this port"},
	{ReasonTool, "an egress rule allows this for certain tools, and none of them is being called"},
	{ReasonLiteral, "the server dialled an address without a name, and no egress rule names that address"},
	{ReasonName, "this name does not resolve: no egress rule names it, or it is not a valid host name"},
	{ReasonAddress, "the host is at an address that is not on the internet and that the rule does not open"},
	{ReasonPrivate, "the host is at a private address, and the rule does not say private: true"},
	{ReasonOwn, "the host is at an address of this machine, and the rule does not say private: true"},
	{ReasonMetadata, "the host is at the address of a cloud's metadata service, which nothing opens"},
	{ReasonLoopback, "the host is at a loopback address, which nothing opens"},
	{ReasonProtocol, "the connection does not speak the protocol that the rule names"},
	{ReasonSNI, "the name in the TLS handshake is not the host that was connected to"},
	{ReasonECH, "the TLS handshake hides its name (ECH), so it cannot be judged"},
	{ReasonAuthority, "the Host of the request is not the host that was connected to"},
	{ReasonMethod, "an egress rule allows this path, but not with this method"},
	{ReasonPath, "an egress rule names this host, but not this path"},
	{ReasonWebSocket, "the rule does not say websocket: true"},
	{ReasonCredential, "the request carries a placeholder that may not be used in it"},
	{ReasonLimit, "a limit of the rule is used up"},
	{ReasonBudget, "the server's budget of egress is used up; mcprun limits shows when it begins anew"},
	{ReasonKilled, "the server or the tool was killed"},
	{ReasonClosed, "the server's way out is closed"},
	{ReasonUpstream, "the host is allowed and could not be reached"},
	{ReasonFake, "the server is watched with a fake internet: mcprun answered itself, and nothing left this machine"},
}

// Sentence says the reason in words, for the one who has to fix it.
func (r Reason) Sentence() string {
	for _, s := range sentences {
		if s.reason == r {
			return s.sentence
		}
	}
	return "denied without a known reason, which only a bug does"
}

// Reasons returns the whole set.
func Reasons() []Reason {
	all := make([]Reason, len(sentences))
	for i, s := range sentences {
		all[i] = s.reason
	}
	return all
}
