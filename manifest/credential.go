package manifest

import (
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/credentials"
	"github.com/mcprun/mcprun/netpolicy"
)

// Credential is a secret that the server may use without holding it, and what it
// may be used for. The zero value is bound to nothing.
type Credential struct {
	Name     string
	Source   credentials.Source
	Lifetime time.Duration // how long a fetched secret is used before it is fetched again

	Host    netpolicy.Host // the one host that it is sent to
	Port    uint16
	Place   Place
	Methods []string                // of requests; nil: every one that egress allows
	Paths   []netpolicy.PathPattern // the same
	Tools   []mcprun.ToolName       // only while one of them is being called; nil: always

	Expose Expose
	// InContainer hands the secret itself over, for protocols in which nothing can
	// be swapped. The server can then send it anywhere that egress allows.
	InContainer bool
}

// Place is where in a request the secret belongs: exactly one is set.
type Place struct {
	Header string
	Format string // of the header's value, with {} for the secret
	Basic  string // "username" or "password" of Authorization: Basic
	Query  string // a parameter of the query
}

// Expose is where the server finds the placeholder: exactly one of Env and File
// is set.
type Expose struct {
	Env   string            // an environment variable
	File  string            // a file of this name in SecretDir
	Text  string            // what stands there, with {} for the placeholder
	Shape credentials.Shape // the placeholder's form
}

// SecretDir is where the server finds files with placeholders or secrets.
const SecretDir = "/.mcprun/secrets/"

const (
	// MaxCredentials is how many placeholders the proxy searches each request for.
	MaxCredentials = 64
	// DefaultLifetime is short enough that a rotated secret is taken up while
	// somebody waits, long enough that a source is not asked for each call.
	DefaultLifetime = 5 * time.Minute
	MinLifetime     = time.Second
	MaxLifetime     = 24 * time.Hour
)
