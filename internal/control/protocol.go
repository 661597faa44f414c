// Package control is the daemon's own socket: typed requests, each with the
// kernel's word on who asks.
//
// One connection carries one request: a line of JSON from the client, then lines
// from the daemon: any number of progress lines and one that ends it. A connect
// request turns the connection, or the pair of files sent with it, into an MCP
// session. Two roles exist: operators may do everything, clients may list
// servers and connect to them. Anybody else is refused.
package control

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
)

// Op names a request.
type Op string

const (
	OpVersion   Op = "version"
	OpStart     Op = "start"
	OpRun       Op = "run"    // start, and kill when the connection ends
	OpReload    Op = "reload" // put the changed rules of server.yaml in force
	OpStop      Op = "stop"
	OpKill      Op = "kill"
	OpRevive    Op = "revive"
	OpKillKey   Op = "kill-key" // make or remove the key for kills over HTTP
	OpList      Op = "list"
	OpInspect   Op = "inspect"
	OpLogs      Op = "logs"
	OpLock      Op = "lock"
	OpApprovals Op = "approvals" // which calls wait for a human
	OpDecide    Op = "decide"    // approve or deny one
	OpEnroll    Op = "enroll"    // set up an authenticator
	OpPage      Op = "page"      // an address of the approval page
	OpWebhook   Op = "webhook"   // a trial message to approval.webhook
	OpEgress    Op = "egress"    // what a server reached or tried to reach
	OpLearn     Op = "learn"     // start a server and watch it until the client ends its side of the connection
	OpCompile   Op = "compile"   // the filter of a profile, for the client to try
	OpDenials   Op = "denials"   // what a server's profile refused
	OpConnect   Op = "connect"
	OpPause     Op = "pause" // have a server's processes stand still
	OpResume    Op = "resume"
	OpDrill     Op = "drill"  // kill a decoy in every way, and measure it
	OpLimits    Op = "limits" // what was used of each limit

	// OpSetResources changes what the container of a running server may use.
	OpSetResources Op = "set-resources"
	OpResetLimits  Op = "reset-limits" // give it back

	OpAuthenticators Op = "authenticators"       // who has which
	OpConfirm        Op = "confirm"              // have one count
	OpRemove         Op = "remove-authenticator" // have one count no more

	OpCeilings       Op = "ceilings"        // what the operator's policy.yaml allows
	OpReloadCeilings Op = "reload-ceilings" // read it again
	OpShutdown       Op = "shutdown"
)

// forClients are the requests that the client role may make.
var forClients = map[Op]bool{OpVersion: true, OpList: true, OpConnect: true}

// maxRequest bounds a request: server.yaml and server.lock with room around them.
const maxRequest = 24 << 20

// ProgressLearning is told when a server that is watched can be called.
const ProgressLearning = "learning"

// Request is what a client asks; which fields count depends on Op.
type Request struct {
	Op        Op                `json:"op"`
	Server    mcprun.ServerName `json:"server,omitzero"`
	Tool      mcprun.ToolName   `json:"tool,omitzero"`
	All       bool              `json:"all,omitzero"`       // kill, revive: everything
	Label     mcprun.Label      `json:"label,omitzero"`     // kill, revive: all servers with it
	Client    mcprun.Principal  `json:"client,omitzero"`    // kill, revive: all calls of one client
	Why       string            `json:"why,omitzero"`       // kill, revive
	Preserve  bool              `json:"preserve,omitzero"`  // kill: keep what ends
	Remove    bool              `json:"remove,omitzero"`    // kill-key
	Rounds    int               `json:"rounds,omitzero"`    // drill
	Servers   int               `json:"servers,omitzero"`   // drill: how many are killed at once
	Manifest  []byte            `json:"manifest,omitzero"`  // start, run, lock, reload: server.yaml
	File      string            `json:"file,omitzero"`      // its absolute path: for messages, and for relative paths in it
	Lock      []byte            `json:"lock,omitzero"`      // start, run, reload: server.lock
	Profile   []byte            `json:"profile,omitzero"`   // start, run, lock, reload: the profile in a file that server.yaml names
	ID        string            `json:"id,omitzero"`        // decide: of the approval; confirm, remove: of the authenticator
	Yes       bool              `json:"yes,omitzero"`       // decide
	Code      string            `json:"code,omitzero"`      // decide, confirm, remove: of an authenticator of who asks
	NewCode   string            `json:"newCode,omitzero"`   // confirm: of the new one
	Lines     int               `json:"lines,omitzero"`     // logs: how many of the last
	Follow    bool              `json:"follow,omitzero"`    // logs
	Resources map[string]string `json:"resources,omitzero"` // set-resources: as in server.yaml
	Files     bool              `json:"files,omitzero"`     // connect: stdin and stdout come with the request

	Path         string `json:"path,omitzero"`         // inspect: explain what the server finds there
	RealInternet bool   `json:"realInternet,omitzero"` // learn: what the rules allow leaves; a fake internet else
}

// Reply is one line from the daemon.
type Reply struct {
	Progress string        `json:"progress,omitzero"`
	Log      string        `json:"log,omitzero"`
	Error    *mcprun.Error `json:"error,omitzero"`
	Done     *Result       `json:"done,omitzero"`
}

// Result ends a request that was done.
type Result struct {
	Version *Version      `json:"version,omitzero"`
	Server  *ServerStatus `json:"server,omitzero"`
	Changed *RuleChange   `json:"changed,omitzero"`

	Approvals []Approval     `json:"approvals,omitzero"`
	Enrolled  string         `json:"enrolled,omitzero"` // otpauth: URL, shown once; Authenticators has which
	Page      string         `json:"page,omitzero"`     // an address that is good once
	Servers   []ServerStatus `json:"servers,omitzero"`
	Kills     []string       `json:"kills,omitzero"` // thrown switches, as text
	Killed    *KillReport    `json:"killed,omitzero"`
	Revived   *Revival       `json:"revived,omitzero"`
	Drill     *Drill         `json:"drill,omitzero"`
	KillKey   *KillKey       `json:"killKey,omitzero"`
	Inspect   *Inspection    `json:"inspect,omitzero"`
	Lock      []byte         `json:"lock,omitzero"`
	Egress    *Egress        `json:"egress,omitzero"`
	Denials   *Denials       `json:"denials,omitzero"`
	Filter    *Filter        `json:"filter,omitzero"`
	Learned   jsontext.Value `json:"learned,omitzero"` // learned.Seen: the small client is not to link it
	Ceilings  *Ceilings      `json:"ceilings,omitzero"`

	Authenticators []Authenticator `json:"authenticators,omitzero"`
	Limits         []Limit         `json:"limits,omitzero"`
	Resources      *ResourceChange `json:"resources,omitzero"`
}

// The states of an authenticator.
const (
	AuthenticatorWaits  = "waiting" // to be confirmed
	AuthenticatorCounts = "counts"
	AuthenticatorCopied = "copied" // its counter went back
)

// Authenticator is one with which somebody proves that they are there.
type Authenticator struct {
	ID        string           `json:"id"`
	Person    mcprun.Principal `json:"person"`
	Name      string           `json:"name"`  // of the person, as people call them
	Kind      string           `json:"kind"`  // code or passkey
	State     string           `json:"state"` // as below
	Added     time.Time        `json:"added"`
	Until     time.Time        `json:"until,omitzero"` // waiting: when it is forgotten
	Confirmed time.Time        `json:"confirmed,omitzero"`
	By        mcprun.Principal `json:"by,omitzero"` // who confirmed it
	Used      time.Time        `json:"used,omitzero"`
	Synced    bool             `json:"synced,omitzero"` // a passkey that its owner's devices share
}

// Limit is one limit and what was used of it.
type Limit struct {
	Server    mcprun.ServerName `json:"server,omitzero"` // none: all together
	Tool      mcprun.ToolName   `json:"tool,omitzero"`
	Principal mcprun.Principal  `json:"principal,omitzero"`
	Session   string            `json:"session,omitzero"`
	Scope     string            `json:"scope"` // the same in words
	Kind      string            `json:"kind"`  // rate, concurrency, or what a budget counts
	Limit     string            `json:"limit"`
	Used      string            `json:"used"`
	Max       int64             `json:"max"` // the same as numbers: calls, bytes, microseconds, or millionths of the unit of costs
	Amount    int64             `json:"amount"`
	Share     float64           `json:"share"` // 1 is all of it
	Period    string            `json:"period,omitzero"`
	Frees     time.Time         `json:"frees,omitzero"` // when its period ends
}

// Version is what the daemon is made of.
type Version struct {
	Version string            `json:"version"`
	Pid     int               `json:"pid"`
	Parts   map[string]string `json:"parts"` // containerd, runc, libseccomp, cgroups
	Audit   string            `json:"audit"` // folder of the record
}

// ServerStatus is one line of mcprun ps.
type ServerStatus struct {
	Name     mcprun.ServerName `json:"name"`
	State    string            `json:"state"` // running, ready, frozen, crashed, stopped, killed, failed
	Why      string            `json:"why,omitzero"`
	Instance string            `json:"instance,omitzero"`
	Pid      int               `json:"pid,omitzero"`
	Since    time.Time         `json:"since,omitzero"`
	Labels   []mcprun.Label    `json:"labels,omitzero"`
	Image    mcprun.Digest     `json:"image,omitzero"`
	Profile  string            `json:"profile,omitzero"`
	Landlock string            `json:"landlock,omitzero"` // its version, or none: and why
	Tools    int               `json:"tools"`             // shown to clients
	Withheld int               `json:"withheld"`          // pinned or offered, and not shown
	Clients  int               `json:"clients"`
	InFlight int               `json:"inFlight"`
	Crashes  int               `json:"crashes,omitzero"`                // that count now
	Retry    time.Time         `json:"retry,omitzero"`                  // when a crashed one may come back
	Held     []string          `json:"credentialsInContainer,omitzero"` // secrets that the container holds itself
}

// Inspection is all that the daemon can say of one server.
type Inspection struct {
	ServerStatus
	File      string            `json:"file"`
	Command   []string          `json:"command,omitzero"`
	HostIDs   string            `json:"hostIds,omitzero"`
	Cgroup    string            `json:"cgroup,omitzero"`
	Syscalls  int               `json:"syscalls"`
	Filter    int               `json:"filterInstructions"`
	Enclosure []string          `json:"landlockRules,omitzero"` // what Landlock allows where
	Resources map[string]string `json:"resources"`
	Uses      []ContainerUse    `json:"uses,omitzero"`   // of these, while it runs
	Denied    []DeniedCall      `json:"denied,omitzero"` // system calls that the profile refused
	Unseen    string            `json:"unseen,omitzero"` // as in Denials
	Mounts    []string          `json:"mounts"`
	Path      *PathAnswer       `json:"path,omitzero"` // that was asked about
	Network   string            `json:"network"`
	Egress    []string          `json:"egress,omitzero"`      // the rules, as server.yaml has them
	Secrets   []string          `json:"credentials,omitzero"` // what each is for; never its value
	Policy    []ToolPolicy      `json:"tools_policy"`
	Kills     []string          `json:"kills,omitzero"`
	ByItself  []string          `json:"byItself,omitzero"` // what would kill it, or its clients, by itself
	Notes     []string          `json:"notes,omitzero"`
}

// PathAnswer is what a server finds at a path, and what would give it what it does not.
type PathAnswer struct {
	Path string `json:"path"`
	Says string `json:"says"`
	Hint string `json:"hint,omitzero"`
}

// ResourceChange is what the container of a running server may use from now on.
type ResourceChange struct {
	Server   mcprun.ServerName `json:"server"`
	Instance string            `json:"instance"` // for which it holds
	File     string            `json:"file"`     // where it would hold for the next one
	Changes  []ValueChange     `json:"changes"`
}

// ValueChange is one value, as it is written in a file.
type ValueChange struct {
	Key string `json:"key"`
	Old string `json:"old"`
	New string `json:"new"`
}

// ContainerUse is what a container uses of one of its limits.
type ContainerUse struct {
	Limit string `json:"limit"` // memory, pids
	Now   string `json:"now"`
	Peak  string `json:"peak"`
	Max   string `json:"max"`
	Hits  int64  `json:"hits"` // processes that were ended or refused for it
	High  int64  `json:"high"` // Peak as a number: bytes, or processes and threads
}

// ToolPolicy is what would happen to a call of one tool.
type ToolPolicy struct {
	Tool  mcprun.ToolName `json:"tool"`
	Risk  string          `json:"risk"`
	State string          `json:"state"` // granted, withheld, not granted, killed
	Why   string          `json:"why,omitzero"`
}

// Filter is a compiled profile: see bpf.Program.
type Filter struct {
	Program []byte `json:"program"`
	Newest  int    `json:"newest"`
}

// Denials are the system calls that one server's profile refused.
type Denials struct {
	Server  mcprun.ServerName `json:"server"`
	Profile string            `json:"profile,omitzero"`
	File    string            `json:"file,omitzero"`    // of the profile, if it is an own one
	Instead string            `json:"instead,omitzero"` // a built-in profile that allows all of them that can be
	Calls   []DeniedCall      `json:"calls"`
	Unseen  string            `json:"unseen,omitzero"` // why calls that are refused are not seen, where they are not
}

// DeniedCall is one kind of refusal: a call with the arguments that tell what was tried,
// by one program, since the daemon started or the profile was changed. Beyond some hundreds
// of kinds it is a call with whatever arguments, by whatever program.
type DeniedCall struct {
	Call       string            `json:"call"`
	Args       string            `json:"args,omitzero"`
	PointingTo string            `json:"pointingTo,omitzero"` // strings, as the first one had them in its memory
	Program    string            `json:"program,omitzero"`
	Rule       string            `json:"rule"`
	Why        string            `json:"why"`
	Add        string            `json:"add,omitzero"` // an entry for allow: of an own profile
	Count      int64             `json:"count"`
	First      time.Time         `json:"first"`
	Last       time.Time         `json:"last"`
	Tools      []mcprun.ToolName `json:"tools,omitzero"` // that were being called
}

// Egress is where one server went and tried to go.
type Egress struct {
	Server       mcprun.ServerName `json:"server"`
	Rules        []string          `json:"rules"`
	Destinations []Destination     `json:"destinations"`
}

// Destination is one place that a server reached or tried to reach since the
// daemon started.
type Destination struct {
	Host     string    `json:"host"`
	Port     uint16    `json:"port,omitzero"`
	Protocol string    `json:"protocol,omitzero"`
	Allowed  bool      `json:"allowed"`
	Reason   string    `json:"reason,omitzero"` // of a refusal, from a closed set
	Why      string    `json:"why,omitzero"`    // the same as a sentence
	Count    int64     `json:"count"`
	Sent     int64     `json:"sent,omitzero"`     // bytes from the server
	Received int64     `json:"received,omitzero"` // bytes to it
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Add      string    `json:"add,omitzero"` // lines of server.yaml that would allow it
}

// KillReport is what a kill did, each step in the order of the ladder.
type KillReport struct {
	Target   string     `json:"target"`
	Argument string     `json:"argument"` // the target as mcprun kill and mcprun revive take it
	Who      string     `json:"who"`
	Why      string     `json:"why"`
	When     time.Time  `json:"when"`
	Servers  []string   `json:"servers,omitzero"` // whose processes are gone
	Sessions int        `json:"sessions"`         // of a client, that were ended
	Failed   int        `json:"failedCalls"`
	Steps    []KillStep `json:"steps"`
	Kept     []Kept     `json:"kept,omitzero"`     // with preserve
	Problems []string   `json:"problems,omitzero"` // what was not done; it is killed all the same
}

// Kept is what was kept of one server that was killed.
type Kept struct {
	Server  mcprun.ServerName `json:"server"`
	Folder  string            `json:"folder,omitzero"`
	Files   []KeptFile        `json:"files,omitzero"`
	Missing []string          `json:"missing,omitzero"` // what could not be kept, and why
}

// KeptFile is one file of it.
type KeptFile struct {
	Name   string        `json:"name"`
	Size   int64         `json:"size"`
	Digest mcprun.Digest `json:"digest"`
}

// Revival is what became of a request to take back a switch.
type Revival struct {
	Target   string      `json:"target"`
	Argument string      `json:"argument"` // the target as mcprun revive takes it
	Done     bool        `json:"done"`     // it was taken back; else others have to say yes as well
	Needs    int         `json:"needs"`    // how many different people
	Yes      []ReviveYes `json:"yes"`
	Until    time.Time   `json:"until,omitzero"` // when the first yes ends
}

// ReviveYes is what one operator said of a switch: that it may be taken back.
type ReviveYes struct {
	Who mcprun.Principal `json:"who"`
	Why string           `json:"why"`
	At  time.Time        `json:"at"`
}

// KillKey is the key for kills over HTTP, when it was made.
type KillKey struct {
	Key  string `json:"key"`
	File string `json:"file"`         // where the daemon keeps it
	URL  string `json:"url,omitzero"` // where it is good; "" where the daemon serves no page
}

// KillStep is one step with the time since the kill began.
type KillStep struct {
	Step    string  `json:"step"`
	AfterMS float64 `json:"afterMs"` // since the request
	Note    string  `json:"note,omitzero"`
}

// RuleChange is what a reload put in force: egress rules as server.yaml has them.
type RuleChange struct {
	Server  mcprun.ServerName `json:"server"`
	Added   []string          `json:"added"`
	Removed []string          `json:"removed"`
}

// Ceilings are the operator's that are in force.
type Ceilings struct {
	File   string              `json:"file,omitzero"` // none: the defaults hold
	Reads  string              `json:"reads"`         // where the daemon looks for the file
	Digest mcprun.Digest       `json:"digest"`
	Since  time.Time           `json:"since"`
	Source []byte              `json:"source,omitzero"` // the file as it was read
	Text   string              `json:"text"`            // the same with its defaults written out
	Broken *BrokenCeilings     `json:"broken,omitzero"`
	Ended  []mcprun.ServerName `json:"ended,omitzero"` // reload: servers that asked for more
	// Webhook is how it goes with approval.webhook; nil where there is none.
	Webhook *Webhook `json:"webhook,omitzero"`
}

// Webhook is how the telling of calls that wait went since the daemon started, or since
// policy.yaml named another one.
type Webhook struct {
	Where     string    `json:"where"`     // where its address is kept
	Delivered int       `json:"delivered"` // messages
	Lost      int       `json:"lost"`      // calls that it was not told of
	Last      time.Time `json:"last,omitzero"`
	Why       string    `json:"why,omitzero"` // why the newest message could not be sent
}

// BrokenCeilings says that there is a newer policy.yaml, which is not in force.
type BrokenCeilings struct {
	Why   string    `json:"why"`
	Since time.Time `json:"since"` // when it was first seen
}

// Approval is a call that waits for a human, or waited.
type Approval struct {
	ID        string            `json:"id"`
	State     string            `json:"state"`
	Server    mcprun.ServerName `json:"server"`
	Tool      mcprun.ToolName   `json:"tool"`
	Principal mcprun.Principal  `json:"principal"`
	Session   string            `json:"session"`
	// What an approval is bound to, besides who asks and which tool.
	Image      mcprun.Digest `json:"image"`
	ToolDigest mcprun.Digest `json:"toolDigest"`
	ArgsDigest mcprun.Digest `json:"argsDigest"`

	Rule      string         `json:"rule"`
	Reason    string         `json:"reason"`
	Score     int            `json:"score"`
	Risks     []RiskPart     `json:"risks"` // what makes the score
	Arguments jsontext.Value `json:"arguments,omitzero"`
	// Stated is what the model says of the call; nil where none is demanded.
	Stated *mcprun.Justification `json:"justification,omitzero"`
	// Preview is what the tool's dry run answered, or why it failed; empty where it has none.
	Preview string             `json:"preview,omitzero"`
	Needs   int                `json:"needs"` // how many different people have to approve it
	Yes     []mcprun.Principal `json:"yes"`   // who did so far
	Asked   time.Time          `json:"asked"`
	Until   time.Time          `json:"until"`
	By      string             `json:"by,omitzero"`
	Why     string             `json:"why,omitzero"`
	Decided time.Time          `json:"decided,omitzero"`
}

// RiskPart is one named part of a call's risk.
type RiskPart struct {
	Name   string `json:"name"`
	Points int    `json:"points"`
	Least  string `json:"least"` // the class that it makes the call, at least
	Why    string `json:"why"`
}
