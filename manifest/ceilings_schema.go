package manifest

import (
	"fmt"
	"github.com/mcprun/mcprun/limits"
	"slices"
)

// Bounds on the lists of policy.yaml: longer ones are generated, and nobody reads
// them.
const (
	maxCeilingList = 1024
	maxFloors      = 256
)

// ceilingKeys is every key of policy.yaml. docs/policy-yaml.md shows this table.
func ceilingKeys() []key {
	return slices.Concat(baseCeilingKeys(), []key{
		{"limits.server", "mapping", "none", "", "calls of each server; what its server.yaml says can only be stricter"},
	}, setKeys("limits.server", limits.Set{}), []key{
		{"limits.principal", "mapping", "none", "", "calls of each principal, over all servers; keys as above"},
	}, setKeysAs("limits.principal", "limits.server"), []key{
		{"limits.all", "mapping", "none", "", "all calls of all servers together; keys as above"},
	}, setKeysAs("limits.all", "limits.server"),
		killKeys(allLevels, "server; principal for what clients do", key{"kill[].label", "text", "required with level: label", "the key of a label, e.g. team", "which servers belong together; one without it is killed alone"}))
}

func baseCeilingKeys() []key {
	return []key{
		{"version", "number", "required", "1", "a later format gets another number, and an old mcprun refuses it instead of guessing"},
		{"images", "mapping", "all that are named by a digest, and archives", "", "which images may run"},
		{"images.allow", "list of text", "all", rangeForm, "a registry or a repository stands for all below it; only these may run"},
		{"images.archives", "true or false", "true without images.allow, false with it", "", "image: ./file.tar, which no registry vouches for"},
		{"files", "mapping", "all but what is always refused", "absolute clean paths", "which files and folders of the host may be mounted"},
		{"files.allow", "list of text", "all", "absolute clean paths", "only these and what is in them"},
		{"files.forbid", "list of text", "none", "absolute clean paths; / is all", "neither these, nor what is in them, nor a folder that holds them"},
		{"files.read-only", "list of text", "none", "absolute clean paths; / is all", "as files.forbid, for access: write alone"},
		{"egress", "mapping", "all hosts", "", "which hosts egress rules may name"},
		{"egress.allow", "list of text", "all", "as egress[].host of server.yaml", "a rule may only name hosts that are all among these"},
		{"egress.forbid", "list of text", "none", "a name, *.name (at any depth, public suffixes too), an address, or \"*\" for all", "a rule must not be able to reach any of these"},
		{"egress.private", "true or false", "true", "", "whether rules may have private: true or networks"},
		{"risk", "mapping", "low", "", "the least class of tools; their server.yaml, or what they say of themselves, can only raise it"},
		{"risk.default", "text", "low", "low, medium, high or block", "the least class of every tool that is granted"},
		{"risk.tools", "list of mappings", "none", fmt.Sprintf("at most %d", maxFloors), "of all that match, the strictest counts"},
		{"risk.tools[].name", "text", "required", "a name; * is any number of characters, case does not matter", "e.g. \"*delete*\""},
		{"risk.tools[].server", "text", "every server", "a name; * as above", "where the tools of one server are meant"},
		{"risk.tools[].risk", "text", "required", "medium, high or block", "low would demand nothing"},
		{"limits", "mapping", "the largest that server.yaml can say", "", "no server takes more, whatever its file says"},
		{"limits.memory", "size", sizeString(MaxMemory), between(sizeString(MinMemory), sizeString(MaxMemory)), "resources.memory"},
		{"limits.cpu", "number", milliString(MaxMilliCPU), between(milliString(MinMilliCPU), milliString(MaxMilliCPU)), "resources.cpu"},
		{"limits.pids", "number", fmt.Sprint(MaxPids), between(MinPids, MaxPids), "resources.pids"},
		{"limits.tmp", "size", sizeString(MaxTmpfsTotal), between(sizeString(MinTmpfs), sizeString(MaxTmpfsTotal)), "all tmpfs of a server together, /tmp included"},
		{"limits.call", "duration", durationString(MaxCall), between(durationString(MinCall), durationString(MaxCall)), "timeouts.call"},
		{"limits.approval", "duration", durationString(MaxApproval), between(durationString(MinApproval), durationString(MaxApproval)), "timeouts.approval"},
		{"grants", "mapping", "all true", "", "which requests from servers to clients may be granted"},
		{"grants.sampling", "true or false", "true", "", "whether a server may be given the client's model"},
		{"grants.elicitation", "true or false", "true", "", "whether a server may be let ask the user"},
		{"grants.roots", "true or false", "true", "", "whether a server may be told the client's folders"},
		{"profiles", "list of text", "all", oneOf(Profiles()), "which profiles of system calls may be used; one in a file must stand on one of these"},
		{"own-profiles", "all, none or list of text", "all without profiles, none with it", "digests, as mcprun profile check prints them", "whether a server may bring a profile in a file; a digest covers all that it enforces"},
		{"never-calls", "list of text", "none", "call or call(argument=VALUE)", "what no profile may allow, built in or own, e.g. \"socket(family=AF_NETLINK)\""},
		{"credentials", "mapping", "all", "", "where secrets may come from, and where they may be"},
		{"credentials.sources", "list of text", "all", oneOf(SourceKinds()), "kinds of sources; those inside others count as well"},
		{"credentials.in-container", "true or false", "true", "", "whether exposure: container may hand a secret itself to a server"},
		{"approval", "mapping", "any operator, one yes", "", "who may let a call go ahead that waits for a human"},
		{"approval.approvers", "list of text", "every operator", "uid:N", "who the kernel says has asked; others are refused"},
		{"approval.needs", "number", "1", between(1, MaxApprovers), "how many different people must say yes"},
		{"approval.four-eyes", "true or false", "false", "", "nobody approves a call of their own, even with an authenticator"},
		{"approval.proof", "true or false", "false", "", "each yes needs an authenticator's proof, also where nobody set one up yet"},
		{"approval.webhook", "mapping", "none", "one of url and source", "who is told that a call waits"},
		{"approval.webhook.url", "text", "one of the two is required", "https, or http to loopback", "for addresses that are no secret"},
		{"approval.webhook.source", "text", "one of the two is required", "env:NAME or file:/path", "chat programs give addresses that let anyone post: those are secrets"},
		{"approval.webhook.settled", "true or false", "false", "", "whether it is told as well what became of a call"},
		{"approval.webhook.arguments", "true or false", "false", "", "whether it is told why a call waits, and the beginning of each argument; they may hold what is nobody else's business"},
		{"revive", "mapping", "one operator", "", "who may take back a kill switch"},
		{"revive.approvers", "number", "1", between(1, MaxApprovers), "how many different operators must say yes, each with a reason"},
		{"minimum-isolation", "runc, gvisor or mapping", "runc", "one word is for all servers", "behind which [wall](isolation.md) servers run at least"},
		{"minimum-isolation.all", "text", "runc", "runc or gvisor", "every server"},
		{"minimum-isolation.high", "text", "runc", "runc or gvisor", "servers with a tool of class high; a tool that is raised to it when the server runs cannot be called"},
		{"minimum-isolation.untrusted", "text", "runc", "runc or gvisor", "servers whose image is not in minimum-isolation.trusted; an archive on disk never is"},
		{"minimum-isolation.trusted", "list of text", "none", rangeForm, "images that need no more than others"},
	}
}
