package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/internal/outbox"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/netpolicy"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/profiles/bpf"
)

// handle does what one admitted request asks. What policy refuses is recorded, as
// a refused call is: who tried to run or reach what.
func (d *Daemon) handle(ctx context.Context, c *control.Call) (*control.Result, error) {
	res, err := d.do(ctx, c)
	var e *mcprun.Error
	if errors.As(err, &e) && e.Class == mcprun.Denied {
		rec := &audit.Record{Type: audit.TypeRefuse, Server: c.Server, Principal: c.Peer.Principal(), Method: "mcprun " + string(c.Op), Rule: "request.denied", Reason: e.Error()}
		if rerr := d.record.Append(rec); rerr != nil {
			d.opts.Log.Error("recording a refusal", "op", c.Op, "err", rerr)
		}
	}
	return res, err
}

func (d *Daemon) do(ctx context.Context, c *control.Call) (*control.Result, error) {
	switch c.Op {
	case control.OpVersion:
		return &control.Result{Version: &control.Version{Version: d.opts.Version, Pid: os.Getpid(), Parts: d.versions(), Audit: d.opts.Dirs.Audit()}}, nil
	case control.OpStart:
		return d.start(ctx, c)
	case control.OpRun:
		return d.runForeground(ctx, c)
	case control.OpReload:
		return d.reload(c)
	case control.OpStop:
		return d.stopOne(ctx, c)
	case control.OpKill:
		return d.kill(c)
	case control.OpDrill:
		return d.drill(ctx, c)
	case control.OpRevive:
		return d.revive(c)
	case control.OpKillKey:
		return d.makeKillKey(c)
	case control.OpList:
		res := &control.Result{Servers: []control.ServerStatus{}}
		for _, s := range d.all() {
			res.Servers = append(res.Servers, s.status())
		}
		for _, k := range d.switches.All() {
			res.Kills = append(res.Kills, fmt.Sprintf("%s by %s at %s: %s%s", k.Target, k.Who, k.When.Format(time.RFC3339), k.Why, d.wouldRevive(k, plain)))
		}
		return res, nil
	case control.OpInspect:
		return d.inspect(c)
	case control.OpLogs:
		return d.logs(ctx, c)
	case control.OpLock:
		return d.lock(ctx, c)
	case control.OpApprovals:
		return d.approvals(), nil
	case control.OpDecide:
		return d.decide(c)
	case control.OpEnroll:
		return d.enroll(c)
	case control.OpAuthenticators:
		return d.authenticators(d.factors.List()...), nil
	case control.OpConfirm:
		return d.confirm(c)
	case control.OpRemove:
		return d.removeFactor(c)
	case control.OpPage:
		return d.pageAddress(c)
	case control.OpWebhook:
		return d.tryWebhook(ctx, c)
	case control.OpEgress:
		return d.egress(c)
	case control.OpLearn:
		return d.learn(ctx, c)
	case control.OpCompile:
		return compile(c)
	case control.OpDenials:
		return d.denials(c)
	case control.OpSetResources:
		return d.setResources(c)
	case control.OpPause:
		return d.pause(c)
	case control.OpResume:
		return d.resume(c)
	case control.OpLimits:
		return d.shownLimits(c)
	case control.OpResetLimits:
		return d.resetLimits(c)
	case control.OpConnect:
		return d.connect(c)
	case control.OpCeilings:
		return &control.Result{Ceilings: d.shownCeilings()}, nil
	case control.OpReloadCeilings:
		shown, err := d.reloadCeilings(c.Peer.Principal())
		if err != nil {
			return nil, err
		}
		return &control.Result{Ceilings: shown}, nil
	case control.OpShutdown:
		d.stop()
		return &control.Result{}, nil
	}
	return nil, &mcprun.Error{Class: mcprun.Usage, What: fmt.Sprintf("the daemon knows no request %q", c.Op), Hint: "mcprun version (client and daemon may be of different versions)"}
}

// define reads what a start or lock request brought. The client has read it
// too; what counts is what the daemon reads.
func define(c *control.Call, locked bool) (*definition, error) {
	if !filepath.IsAbs(c.File) {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading server.yaml", Why: "its path is not absolute"}
	}
	m, _, err := manifest.ParseUnder(c.File, c.Manifest, c.Profile)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading server.yaml", Err: err, Hint: "mcprun check " + c.File}
	}
	c.Server = m.Name // whoever records this request names it
	def := &definition{file: c.File, m: m}
	if def.profile, err = profileOf(c, m); err != nil {
		return nil, err
	}
	if !locked {
		return def, nil
	}
	if len(c.Lock) == 0 {
		return nil, &mcprun.Error{Class: mcprun.Denied, What: "starting " + string(m.Name), Why: "its tools are not pinned: there is no server.lock beside " + filepath.Base(c.File), Hint: "mcprun lock " + c.File}
	}
	if def.lock, err = lock.Parse(c.Lock); err != nil {
		return nil, &mcprun.Error{Class: mcprun.Denied, What: "reading server.lock", Err: err, Hint: "mcprun lock " + c.File}
	}
	if def.lock.Server != m.Name {
		return nil, &mcprun.Error{Class: mcprun.Denied, What: "reading server.lock", Why: fmt.Sprintf("it is for server %s, not %s", def.lock.Server, m.Name), Hint: "mcprun lock " + c.File}
	}
	return def, nil
}

// profileOf is the profile that server.yaml names: a built-in one, or the file that the
// request brought.
func profileOf(c *control.Call, m *manifest.Server) (*profiles.Profile, error) {
	const doing = "reading the profile"
	if !m.OwnProfile() {
		p, err := profiles.Load(m.Profile)
		if err != nil {
			return nil, &mcprun.Error{Class: mcprun.Usage, What: doing, Err: err}
		}
		return p, nil
	}
	file := m.Profile
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(c.File), file)
	}
	if len(c.Profile) == 0 {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: doing, Why: "the request did not bring " + file, Hint: "mcprun version (client and daemon may be of different versions)"}
	}
	p, err := manifest.ParseProfile(file, c.Profile)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: doing, Err: err, Hint: "mcprun profile check " + file}
	}
	return p, nil
}

// own is the profile in a file; nil where it is a built-in one.
func (def *definition) own() *profiles.Profile {
	if def.profile != nil && def.profile.Own() {
		return def.profile
	}
	return nil
}

func (d *Daemon) start(ctx context.Context, c *control.Call) (*control.Result, error) {
	def, err := define(c, true)
	if err != nil {
		return nil, err
	}
	s, err := d.startDefined(ctx, c, def)
	if err != nil {
		return nil, err
	}
	st := s.status()
	return &control.Result{Server: &st}, nil
}

func (d *Daemon) startDefined(ctx context.Context, c *control.Call, def *definition) (*server, error) {
	s, err := d.server(def.m.Name, true)
	if err != nil {
		return nil, err
	}
	return s, s.start(ctx, def, c.Peer.Principal(), c.Op == control.OpRun, c.Progress)
}

// runForeground starts a server that lives as long as the request's connection.
func (d *Daemon) runForeground(ctx context.Context, c *control.Call) (*control.Result, error) {
	def, over := d.drills.asks(c)
	if def != nil {
		defer over()
		c.Server = def.m.Name
	} else {
		var err error
		if def, err = define(c, true); err != nil {
			return nil, err
		}
	}
	s, err := d.startDefined(ctx, c, def)
	if err != nil {
		return nil, err
	}
	c.Progress("running")
	s.mu.Lock()
	run := s.run
	s.mu.Unlock()
	if run == nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: "running " + string(s.name), Why: s.status().Why}
	}
	lines, next, cancel := s.log.last(20, true)
	defer cancel()
	for _, l := range lines {
		c.Log(l)
	}
	gone := connectionEnd(c)
	for {
		select {
		case l := <-next:
			c.Log(l)
		case <-run.done:
			return &control.Result{}, nil
		case <-gone:
			d.throw(newKill(limits.Target{Server: s.name}, string(c.Peer.Principal()), "mcprun run was interrupted", wayRun))
			return nil, nil
		}
	}
}

// connectionEnd is closed when the peer's side of a request is.
func connectionEnd(c *control.Call) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		io.Copy(io.Discard, c.Conn)
	}()
	return gone
}

func (d *Daemon) stopOne(ctx context.Context, c *control.Call) (*control.Result, error) {
	s, err := d.server(c.Server, false)
	if err != nil {
		return nil, err
	}
	if err := s.stop(context.WithoutCancel(ctx), "asked by "+string(c.Peer.Principal()), c.Peer.Principal()); err != nil {
		return nil, err
	}
	st := s.status()
	return &control.Result{Server: &st}, nil
}

func (d *Daemon) logs(ctx context.Context, c *control.Call) (*control.Result, error) {
	s, err := d.server(c.Server, false)
	if err != nil {
		return nil, err
	}
	lines, next, cancel := s.log.last(c.Lines, c.Follow)
	defer cancel()
	for _, l := range lines {
		if err := c.Log(l); err != nil {
			return nil, nil
		}
	}
	if !c.Follow {
		return &control.Result{}, nil
	}
	gone := connectionEnd(c)
	for {
		select {
		case l := <-next:
			if err := c.Log(l); err != nil {
				return nil, nil
			}
		case <-gone:
			return nil, nil
		case <-ctx.Done():
			return &control.Result{}, nil
		}
	}
}

// lock starts the server once, as it is, and reports what it is. Nobody can call
// it meanwhile, and it has no network at all.
func (d *Daemon) lock(ctx context.Context, c *control.Call) (*control.Result, error) {
	def, err := define(c, false)
	if err != nil {
		return nil, err
	}
	doing := "locking " + string(def.m.Name)
	s, err := d.server(def.m.Name, true)
	if err != nil {
		return nil, err
	}
	if k, killed := s.killed(def); killed {
		return nil, killedError(doing, k)
	}
	if err := d.within(doing, def); err != nil {
		return nil, err
	}
	pins, err := s.pin(ctx, def, c.Peer.Principal(), c.Progress)
	if err != nil {
		return nil, err
	}
	raw, err := lock.Marshal(pins)
	if err != nil {
		return nil, withContext(doing, err)
	}
	return &control.Result{Lock: raw}, nil
}

// pin starts the server once, without any network, and says what it is.
func (s *server) pin(ctx context.Context, def *definition, who mcprun.Principal, progress func(string)) (*lock.File, error) {
	doing := "locking " + string(def.m.Name)
	s.acquire()
	defer s.release()
	ctx, cancel := context.WithTimeout(ctx, imageTimeout+def.m.Timeouts.Start)
	defer cancel()
	s.setCancel(cancel, def.m.Labels)
	defer s.setCancel(nil, nil)
	if k, killed := s.killed(def); killed {
		return nil, killedError(doing, k)
	}
	image, err := s.d.rt.Image(ctx, def.m.Image, filepath.Dir(def.file), progress)
	if err != nil {
		return nil, withContext(doing, err)
	}
	id := newInstanceID(def.m.Name)
	rec := &audit.Record{Type: audit.TypeLock, Server: def.m.Name, Instance: id, Principal: who, Detail: map[string]string{"image": string(image.Digest), "file": def.file}}
	if err := s.d.record.AppendDurable(rec); err != nil {
		return nil, fmt.Errorf("%s: it cannot be recorded: %w", doing, err)
	}
	progress("starting the server without any network to see its tools")
	run, _, current, err := s.launch(ctx, id, def, image, false)
	if err != nil {
		return nil, withContext(doing, err)
	}
	s.d.end(s, run, errStopped)
	return current, nil
}

// connect makes the request's connection, or the files that came with it, an MCP session.
func (d *Daemon) connect(c *control.Call) (*control.Result, error) {
	s, err := d.server(c.Server, false)
	if err != nil {
		return nil, err
	}
	doing := "connecting to " + string(c.Server)
	if err := s.mayJoin(doing, c.Peer.Principal()); err != nil {
		return nil, err
	}
	if c.Files && len(c.Received) != 2 {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: doing, Why: "stdin and stdout did not come along"}
	}
	in, out := io.ReadCloser(c.Conn), outbox.Conn(c.Conn)
	if c.Files {
		in, out = c.Received[0], c.Received[1]
	}
	past, leave := d.pasts.join(c.Peer)
	defer leave()
	session, err := s.join(doing, c.Peer.Principal(), past, in, out)
	if err != nil {
		return nil, err
	}
	if err := c.Ready(); err != nil {
		session.Close()
	}
	if c.Files {
		// The bridge holds its connection for as long as it lives; without it the
		// client is gone, whatever became of the pipes.
		gone := connectionEnd(c)
		go func() { <-gone; session.Close() }()
	}
	session.Serve()
	return nil, nil
}

// mayJoin refuses a client that a switch or the ceilings keep out.
func (s *server) mayJoin(doing string, who mcprun.Principal) error {
	if k, killed := s.front.Killed("", who); killed {
		return killedError(doing, k)
	}
	s.mu.Lock()
	def := s.spec
	s.mu.Unlock()
	if def != nil {
		return s.d.within(doing, def)
	}
	return nil
}

// join makes two streams a client's session; its caller serves it.
func (s *server) join(doing string, who mcprun.Principal, past *front.Past, in io.ReadCloser, out outbox.Conn) (*front.Session, error) {
	session, err := s.front.NewSession("s-"+newInstanceID("")[1:], who, past, in, out)
	if err != nil {
		return nil, err
	}
	if k, killed := s.front.Killed("", who); killed {
		session.Close() // thrown meanwhile, it may not have found the session
		session.Serve()
		return nil, killedError(doing, k)
	}
	return session, nil
}

func (d *Daemon) inspect(c *control.Call) (*control.Result, error) {
	s, err := d.server(c.Server, false)
	if err != nil {
		return nil, err
	}
	in := &control.Inspection{ServerStatus: s.status(), Network: "a namespace of its own with only lo; no way out but the rules below"}
	s.mu.Lock()
	def, run := s.spec, s.run
	s.mu.Unlock()
	for _, k := range d.switches.All() {
		if k.Server == s.name || k.Principal != "" || k.Has(s.front.Subject("", "")) {
			in.Kills = append(in.Kills, fmt.Sprintf("%s by %s: %s%s", k.Target, k.Who, k.Why, d.wouldRevive(k, plain)))
		}
	}
	if def == nil {
		return &control.Result{Inspect: in}, nil
	}
	describe(in, def)
	if c.Path != "" {
		says, hint := def.m.ExplainPath(filepath.Dir(def.file), c.Path)
		in.Path = &control.PathAnswer{Path: c.Path, Says: says, Hint: hint}
	}
	in.ByItself = append(killsOf(def.m.Kill, "server.yaml"), killsOf(d.ceilings().Kill, "policy.yaml")...)
	filter, err := def.profile.Seccomp(goruntime.GOARCH)
	if err != nil {
		return nil, err
	}
	info, err := bpf.Compile(filter)
	if err != nil {
		return nil, err
	}
	if len(info.Unknown) > 0 {
		in.Notes = append(in.Notes, fmt.Sprintf("the profile allows %s, which libseccomp %s of this host does not know: they stay refused", strings.Join(info.Unknown, ", "), bpf.LibraryVersion()))
	}
	in.Syscalls, in.Filter = len(def.profile.Calls(goruntime.GOARCH)), info.Instructions
	s.mu.Lock()
	if s.denied != nil {
		in.Denied = deniedCalls(s.denied)
	}
	in.Unseen = unseen(def)
	s.mu.Unlock()
	if run != nil {
		in.HostIDs = fmt.Sprintf("%d-%d", run.inst.IDBase, run.inst.IDBase+65535)
		in.Policy = d.toolPolicies(s, run)
		in.Uses = uses(run)
		in.Enclosure = run.inst.Landlock.Lines()
		if changed := changedNow(def, run); changed != "" {
			in.Notes = append(in.Notes, changed)
		}
	}
	return &control.Result{Inspect: in}, nil
}

func describe(in *control.Inspection, def *definition) {
	m := def.m
	in.File, in.Command = def.file, m.Command
	in.Resources = map[string]string{
		"memory": fmt.Sprintf("%d MiB", m.Resources.Memory>>20), "cpu": fmt.Sprintf("%.2f", float64(m.Resources.MilliCPU)/1000),
		"pids": fmt.Sprint(m.Resources.Pids), "file-size": fmt.Sprintf("%d MiB", m.Resources.FileSize>>20), "open-files": fmt.Sprint(m.Resources.OpenFiles),
	}
	in.Mounts = []string{"/ (read-only)", fmt.Sprintf("/tmp (tmpfs, %d MiB)", m.Tmp>>20)}
	for _, f := range m.Files {
		if f.Tmpfs {
			in.Mounts = append(in.Mounts, fmt.Sprintf("%s (tmpfs, %d MiB)", f.To, f.Size>>20))
		} else {
			in.Mounts = append(in.Mounts, fmt.Sprintf("%s from %s (%s)", f.To, f.From, f.Access))
		}
	}
	in.Egress = rules(m)
	if len(in.Egress) == 0 {
		in.Network = "none: a namespace of its own with only lo, and no egress rule"
	}
	for _, c := range m.Credentials {
		in.Secrets = append(in.Secrets, describeCredential(c))
	}
	for _, n := range m.Notes {
		in.Notes = append(in.Notes, n.Text)
	}
}

// rules are the egress rules of a server, as its file has them.
func rules(m *manifest.Server) []string {
	var out []string
	for _, r := range m.Egress {
		out = append(out, r.String())
	}
	return out
}

// describeCredential says where a credential comes from and what it is for.
func describeCredential(c manifest.Credential) string {
	if c.InContainer {
		return fmt.Sprintf("%s from %s: the container holds the secret itself", c.Name, c.Source)
	}
	text := fmt.Sprintf("%s from %s: a placeholder in the container, swapped for %s", c.Name, c.Source, netpolicy.JoinHostPort(c.Host, c.Port))
	if len(c.Methods) > 0 {
		text += fmt.Sprintf(", methods %v", c.Methods)
	}
	if len(c.Paths) > 0 {
		text += fmt.Sprintf(", paths %v", c.Paths)
	}
	if len(c.Tools) > 0 {
		text += fmt.Sprintf(", while %v is called", c.Tools)
	}
	return text
}

// egress says where a server went and tried to go.
func (d *Daemon) egress(c *control.Call) (*control.Result, error) {
	s, err := d.server(c.Server, false)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	def := s.spec
	s.mu.Unlock()
	out := &control.Egress{Server: s.name, Rules: []string{}, Destinations: []control.Destination{}}
	if def != nil {
		out.Rules = append(out.Rules, rules(def.m)...)
	}
	for _, e := range d.seen.Of(s.name) {
		to := control.Destination{Host: e.Host, Port: e.Port, Protocol: e.Protocol, Allowed: e.Allowed, Count: e.Count, Sent: e.Sent, Received: e.Received, First: e.First, Last: e.Last, Add: e.Add}
		if !e.Allowed {
			to.Reason, to.Why = string(e.Reason), e.Reason.Sentence()
		}
		out.Destinations = append(out.Destinations, to)
	}
	return &control.Result{Egress: out}, nil
}

func (d *Daemon) toolPolicies(s *server, run *running) []control.ToolPolicy {
	var out []control.ToolPolicy
	for _, t := range run.life.Policy().Summary() {
		p := control.ToolPolicy{Tool: t.Name, Risk: t.Risk.String(), State: t.State, Why: t.Why}
		if k, killed := s.front.Killed(t.Name, ""); killed {
			p.State, p.Why = "killed", k.Who+": "+k.Why
		}
		out = append(out, p)
	}
	return out
}
