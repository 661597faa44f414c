package manifest

import "time"

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// Bounds on the file itself.
const (
	// MaxSize is 256 KiB: 1024 tools at 64 bytes a line use a quarter of it.
	MaxSize = 256 << 10

	// MaxTokens keeps the YAML parser, which takes quadratic time over one long
	// mapping, under half a second. The largest legal file (1024 tools, 256
	// variables, 64 files, 256 words) has 11,000.
	MaxTokens = 16384

	// MaxDepth is above the deepest key that is designed (8), and far below what
	// costs a recursive reader anything.
	MaxDepth = 16

	// MaxErrors is how many errors are listed: more than anyone mends at once,
	// few enough that a hostile file does not flood a terminal.
	MaxErrors = 100
)

// Bounds on how many of each there may be.
const (
	// MaxTools: the largest servers known have under 200 tools.
	MaxTools = 1024

	// MaxApprovers is approval.MaxNeeds: a third one reads what two have read.
	MaxApprovers = 2

	// MaxFiles: each is a mount, and mount name spaces slow down with hundreds.
	MaxFiles = 64

	// MaxEnvironment and MaxValue together stay far under the kernel's limit for
	// arguments and environment (2 MiB; 128 KiB for one string).
	MaxEnvironment = 256
	MaxValue       = 32 << 10

	// MaxLabels: more are generated, and nobody stops servers by them.
	MaxLabels = 16

	// MaxCommand words: a command line that a human can still review.
	MaxCommand = 256

	// MaxPath is PATH_MAX less the final NUL: the kernel takes no longer path.
	MaxPath = 4095

	// MaxRef is twice what a registry takes for a repository name (255).
	MaxRef = 512
)

// Bounds on resources. A floor is what a server needs to start at all, so that a
// slip of the unit is caught here and not as a strange crash; a ceiling is the
// largest single server that is plausible on one machine.
const (
	MinMemory     = 32 * mib // a static Go server uses 10 MiB, node 50
	MaxMemory     = 64 * gib
	DefaultMemory = 512 * mib // the heaviest server measured uses 142 MiB

	MinMilliCPU     = 50 // below that, starting node takes longer than the start timeout
	MaxMilliCPU     = 64_000
	DefaultMilliCPU = 1000

	MinPids     = 16   // node alone has 11 threads
	MaxPids     = 4096 // an eighth of the kernel's default for the whole machine
	DefaultPids = 128  // room for a few child processes, none for a fork bomb

	MinFileSize     = mib
	MaxFileSize     = 64 * gib
	DefaultFileSize = gib // a runaway log stops here, not when the disk is full

	MinOpenFiles     = 64
	MaxOpenFiles     = 65536
	DefaultOpenFiles = 1024 // the usual soft limit, which select(2) relies on
)

// Bounds on memory-backed folders.
const (
	MinTmpfs   = mib
	MaxTmpfs   = 8 * gib
	DefaultTmp = 64 * mib

	// MaxTmpfsTotal bounds all tmpfs of a server, /tmp included: two of the
	// largest. Their pages count against memory as well.
	MaxTmpfsTotal = 16 * gib
)

// Bounds on time. A floor keeps a slip (5ms for 5m) from looking like a crash of
// the server; zero never means "for ever".
const (
	MinStart     = time.Second
	MaxStart     = 10 * time.Minute
	DefaultStart = 30 * time.Second // the slowest server measured needs 0.7 s

	MinCall     = 100 * time.Millisecond
	MaxCall     = time.Hour // a call that is held longer is a stuck one
	DefaultCall = 60 * time.Second

	MinStop     = 100 * time.Millisecond
	MaxStop     = time.Minute // a server that ignores SIGTERM must not hold up a shutdown
	DefaultStop = 5 * time.Second

	MinApproval     = 100 * time.Millisecond
	MaxApproval     = 10 * time.Minute // longer than a human who is there needs
	DefaultApproval = 45 * time.Second // below the minute after which clients give up

	MinIdle     = time.Second // a shorter one would stop a server between two calls of one task
	MaxIdle     = 24 * time.Hour
	DefaultIdle = 10 * time.Minute
)
