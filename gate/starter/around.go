package starter

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/paths"
	"github.com/mcprun/mcprun/gate/argument/sql"
	"github.com/mcprun/mcprun/gate/argument/urls"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/netpolicy"
)

// around is what is known of a server before any of its tools is looked at.
type around struct {
	server   *manifest.Server
	roots    []string // folders that are mounted, as the server sees them
	writable []string // those of them that it may write
	said     []string // words of the operator about the server: name, image, command, environment
	title    []string // words of the server about itself
	dialect  sql.Dialect
}

func survey(s *manifest.Server, pins *lock.File) around {
	a := around{server: s}
	for _, f := range s.Files {
		if f.To == "/" {
			continue
		}
		a.roots = append(a.roots, f.To)
		if f.Tmpfs || f.Access == manifest.Write {
			a.writable = append(a.writable, f.To)
		}
	}
	text := []string{string(s.Name), s.Image.Path, s.Image.Ref}
	text = append(text, s.Command...)
	for _, v := range s.Environment {
		text = append(text, v.Name, v.Value)
	}
	a.said = wordsOf(text...)
	var info struct{ Name, Title string }
	if json.Unmarshal(pins.ServerInfo, &info) == nil {
		a.title = wordsOf(info.Name, info.Title)
	}
	a.dialect = a.speaks()
	return a
}

// wordsOf splits free text as names are split.
func wordsOf(texts ...string) []string {
	var out []string
	for _, t := range texts {
		for _, part := range strings.FieldsFunc(t, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-')
		}) {
			out = append(out, gate.Words(part)...)
		}
	}
	return out
}

// speaks is the dialect of SQL that the server's database takes: what the operator
// wrote counts before what the server says of itself. None if it is neither of those
// that can be judged, or could be several.
func (a around) speaks() sql.Dialect {
	if d, known := dialectIn(a.said); known {
		return d
	}
	for _, r := range a.server.Egress {
		switch {
		case r.Protocol == netpolicy.TCP && r.Port == 5432:
			return sql.Postgres
		case r.Protocol == netpolicy.TCP:
			return 0
		}
	}
	d, _ := dialectIn(a.title)
	return d
}

// databases are the words by which people name them; 0 stands for one whose SQL the
// gate does not read.
var databases = map[string]sql.Dialect{
	"sqlite": sql.SQLite, "sqlite3": sql.SQLite, "postgres": sql.Postgres, "postgresql": sql.Postgres, "pg": sql.Postgres, "psql": sql.Postgres, "pgsql": sql.Postgres,
	"mysql": 0, "mariadb": 0, "mssql": 0, "sqlserver": 0, "oracle": 0, "duckdb": 0, "clickhouse": 0, "snowflake": 0, "bigquery": 0, "redshift": 0, "cockroachdb": 0, "trino": 0,
}

// dialectIn returns the one dialect that the words name.
func dialectIn(words []string) (d sql.Dialect, known bool) {
	for _, w := range words {
		one, ok := databases[w]
		switch {
		case !ok:
		case known && one != d:
			return 0, true // several
		default:
			d, known = one, true
		}
	}
	return d, known
}

// speaksOf reports whether one of the words is about the server or the tool.
func (a around) speaksOf(list string, tool []string) bool {
	return hasAny(a.said, list) != "" || hasAny(a.title, list) != "" || hasAny(tool, list) != ""
}

// wayOut is the first public host that a tool can reach, "" if there is none; if open
// is set, the first whose name is open, so that others may own what it leads to.
func (a around) wayOut(tool mcprun.ToolName, open bool) string {
	for _, r := range a.server.Egress {
		inside := r.Grant.Private || len(r.Grant.Networks) > 0
		name := r.Host.String()
		if !inside && (!open || strings.HasPrefix(name, "*")) && (len(r.Tools) == 0 || slices.Contains(r.Tools, tool)) {
			return name
		}
	}
	return ""
}

// below is the check of a path: below the folders that the tool needs.
func (a around) below(writes, relative bool) (c paths.Spec, why, decide string) {
	c = paths.Spec{Under: a.roots, Sensitive: argument.Hold}
	why = "names a file: below what files mounts"
	switch {
	case len(a.roots) == 0:
		// Nothing of this machine is there: what is named is a scratch file, or a file
		// of somewhere else by its relative name.
		c.Under, c.Relative = []string{"/tmp"}, "/tmp"
		return c, "names a file, and files mounts none: a relative one, or in /tmp", ""
	case writes && len(a.writable) > 0:
		c.Under, why = a.writable, "names a file that it may change: below what files mounts with access write"
	case writes:
		decide = "may it change files? files mounts them for reading only, so it fails until one has access: write"
	}
	if relative || belowOne(a.server.WorkDir, c.Under) {
		c.Relative = c.Under[0]
		if belowOne(a.server.WorkDir, c.Under) {
			c.Relative = a.server.WorkDir
		}
	}
	return c, why, decide
}

func belowOne(dir string, roots []string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return dir == r || strings.HasPrefix(dir, r+"/") })
}

// web is the check of an address: the hosts that egress opens for the tool.
func (a around) web(tool mcprun.ToolName, blank bool) (c urls.Spec, why, decide string) {
	ports := map[uint16]bool{}
	usual := true
	for _, r := range a.server.Egress {
		if r.Protocol == netpolicy.TCP || len(r.Tools) > 0 && !slices.Contains(r.Tools, tool) {
			continue
		}
		scheme, port := "https", uint16(443)
		if r.Protocol == netpolicy.HTTP {
			scheme, port = "http", 80
		}
		if !slices.Contains(c.Schemes, scheme) {
			c.Schemes = append(c.Schemes, scheme)
		}
		if !slices.Contains(c.Hosts, r.Host) && len(c.Hosts) < maxHosts {
			c.Hosts = append(c.Hosts, r.Host)
		}
		ports[r.Port], usual = true, usual && r.Port == port
		c.Private = c.Private || r.Grant.Private || len(r.Grant.Networks) > 0
	}
	c.Blank = blank
	if len(c.Hosts) == 0 {
		return urls.Spec{Schemes: []string{"https", "http"}, Unlisted: argument.Hold, Blank: blank}, "names an address",
			"which hosts? list them here and in egress; until then a person is asked, and nothing can be reached"
	}
	slices.Sort(c.Schemes)
	if !usual {
		for p := range ports {
			c.Ports = append(c.Ports, p)
		}
		slices.Sort(c.Ports)
	}
	return c, "names an address: of the hosts that egress opens", ""
}

// maxHosts is what one check of addresses takes.
const maxHosts = 64
