package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/accept"
)

// requestDeadline bounds how long a peer may take to send its request, so that
// idle connections do not pile up.
const requestDeadline = 10 * time.Second

// maxConnections bounds the connections at a time, sessions of clients included.
const maxConnections = 1024

// Peer is who asks, as the kernel says.
type Peer struct {
	Pid      int32
	UID, GID uint32
	Groups   []uint32
	Operator bool
}

// Principal is the peer's name in the record.
func (p Peer) Principal() mcprun.Principal { return mcprun.Principal(fmt.Sprintf("uid:%d", p.UID)) }

// Access says who has which role. The zero value admits root alone, as operator.
type Access struct {
	OperatorUIDs, OperatorGIDs []uint32
	ClientUIDs, ClientGIDs     []uint32
}

// admit returns whether a peer has any role and whether it is an operator.
func (a Access) admit(p Peer) (operator, client bool) {
	in := func(uids, gids []uint32) bool {
		return slices.Contains(uids, p.UID) || slices.Contains(gids, p.GID) ||
			slices.ContainsFunc(p.Groups, func(g uint32) bool { return slices.Contains(gids, g) })
	}
	operator = p.UID == 0 || in(a.OperatorUIDs, a.OperatorGIDs)
	return operator, operator || in(a.ClientUIDs, a.ClientGIDs)
}

// Call is one admitted request with its connection.
type Call struct {
	Request
	Peer     Peer
	Conn     *net.UnixConn
	Received []*os.File // sent with a connect request: stdin, stdout; the handler closes them
	mu       sync.Mutex
}

// Progress sends one progress line; a peer that is gone does not matter.
func (c *Call) Progress(text string) { c.send(Reply{Progress: text}) }

// Log sends one line of a server's log.
func (c *Call) Log(line string) error { return c.send(Reply{Log: line}) }

// Ready tells a connect request's peer that MCP may begin.
func (c *Call) Ready() error { return c.send(Reply{Done: &Result{}}) }

func (c *Call) send(r Reply) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Conn.SetWriteDeadline(time.Now().Add(requestDeadline))
	defer c.Conn.SetWriteDeadline(time.Time{})
	_, err = c.Conn.Write(append(raw, '\n'))
	return err
}

// Handler does what an admitted request asks. A nil Result without an error
// means that the handler has sent all there is to send.
type Handler func(ctx context.Context, c *Call) (*Result, error)

// Denied is called for each refused peer or request.
type Denied func(p Peer, op Op, why string)

// Server accepts requests on a unix socket.
type Server struct {
	ln     *net.UnixListener
	access Access
	handle Handler
	denied Denied
	slots  chan struct{}
	wg     sync.WaitGroup
}

// Listen opens the socket at path. Everybody may connect; who may ask what is
// decided by the peer's credentials.
func Listen(path string, access Access, handle Handler, denied Denied) (*Server, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		ln.Close()
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	return &Server{ln: ln, access: access, handle: handle, denied: denied, slots: make(chan struct{}, maxConnections)}, nil
}

// Serve accepts until Close, whatever else happens: this is how a human kills.
func (s *Server) Serve(ctx context.Context) {
	for {
		conn, err := accept.Next(s.ln.AcceptUnix)
		if err != nil {
			return // closed
		}
		select {
		case s.slots <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		s.wg.Go(func() {
			defer func() { <-s.slots }()
			defer conn.Close()
			s.serve(ctx, conn)
		})
	}
}

// Close stops accepting; requests under way go on.
func (s *Server) Close() error { return s.ln.Close() }

// Wait returns when no request is under way.
func (s *Server) Wait() { s.wg.Wait() }

func (s *Server) serve(ctx context.Context, conn *net.UnixConn) {
	peer, err := peerOf(conn)
	if err != nil {
		return
	}
	call := &Call{Peer: peer, Conn: conn}
	operator, client := s.access.admit(peer)
	call.Peer.Operator = operator
	if !client {
		s.refuse(call, "neither an operator nor a client of this daemon")
		return
	}
	conn.SetReadDeadline(time.Now().Add(requestDeadline))
	if err := call.read(); err != nil {
		call.send(Reply{Error: &mcprun.Error{Class: mcprun.Usage, What: "reading the request", Why: err.Error()}})
		return
	}
	conn.SetReadDeadline(time.Time{})
	defer func() {
		for _, f := range call.Received {
			f.Close()
		}
	}()
	if !operator && !forClients[call.Op] {
		s.refuse(call, fmt.Sprintf("%s needs the operator role", call.Op))
		return
	}
	res, err := s.handle(ctx, call)
	if err == nil && res != nil {
		err = call.send(Reply{Done: res})
	}
	if err != nil {
		call.send(Reply{Error: asError(err)})
	}
}

func (s *Server) refuse(c *Call, why string) {
	s.denied(c.Peer, c.Op, why)
	c.send(Reply{Error: &mcprun.Error{
		Class: mcprun.Denied, What: "asking the daemon", Why: fmt.Sprintf("uid %d is %s", c.Peer.UID, why),
		Hint: "run the command as root, or let root start the daemon with --operators or --clients naming this user",
	}})
}

func asError(err error) *mcprun.Error {
	var e *mcprun.Error
	if errors.As(err, &e) {
		out := *e
		if out.Why == "" && out.Err != nil {
			out.Why = out.Err.Error()
		}
		return &out
	}
	return &mcprun.Error{Class: mcprun.Failed, What: err.Error()}
}

// read takes the request line, byte for byte up to its newline: what follows is
// the MCP session's. Files may come with the first bytes.
func (c *Call) read() error {
	oob := make([]byte, unix.CmsgSpace(2*4))
	buf := make([]byte, 64<<10)
	var line []byte
	for {
		n, oobn, flags, _, err := c.Conn.ReadMsgUnix(buf, oob)
		if err != nil {
			return err
		}
		if oobn > 0 {
			if err := c.takeFiles(oob[:oobn], flags); err != nil {
				return err
			}
		}
		if n == 0 && oobn == 0 {
			return io.ErrUnexpectedEOF
		}
		line = append(line, buf[:n]...)
		if len(line) > maxRequest {
			return fmt.Errorf("the request is over %d bytes", maxRequest)
		}
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			if i != len(line)-1 {
				return errors.New("something follows the request before it was answered")
			}
			return json.Unmarshal(line[:i], &c.Request, json.RejectUnknownMembers(true))
		}
	}
}

func (c *Call) takeFiles(oob []byte, flags int) error {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("reading the files sent: %w", err)
	}
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			f, err := streamFile(fd)
			if err != nil {
				return err
			}
			c.Received = append(c.Received, f)
		}
	}
	if flags&unix.MSG_CTRUNC != 0 || len(c.Received) > 2 {
		return errors.New("too many files were sent")
	}
	return nil
}

// streamFile takes a pipe or a unix socket, and nothing else: a read or write of
// any other file could block the daemon for as long as its sender likes.
func streamFile(fd int) (*os.File, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if kind := st.Mode & unix.S_IFMT; err == nil && kind != unix.S_IFIFO && kind != unix.S_IFSOCK {
		err = errors.New("a file that is neither a pipe nor a socket was sent")
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "client"), nil
}

func peerOf(conn *net.UnixConn) (Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	var groups []uint32
	var cerr error
	err = raw.Control(func(fd uintptr) {
		if cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); cerr == nil {
			groups = peerGroups(int(fd))
		}
	})
	if err = errors.Join(err, cerr); err != nil {
		return Peer{}, err
	}
	return Peer{Pid: cred.Pid, UID: cred.Uid, GID: cred.Gid, Groups: groups}, nil
}

// ParseAccess reads lists of users and groups: "alice,1001,@mcp".
func ParseAccess(operators, clients string, user, group func(string) (uint32, error)) (Access, error) {
	var a Access
	for _, l := range []struct {
		list       string
		uids, gids *[]uint32
	}{{operators, &a.OperatorUIDs, &a.OperatorGIDs}, {clients, &a.ClientUIDs, &a.ClientGIDs}} {
		for name := range strings.SplitSeq(l.list, ",") {
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			look, into := user, l.uids
			if g, ok := strings.CutPrefix(name, "@"); ok {
				look, into, name = group, l.gids, g
			}
			id, err := look(name)
			if err != nil {
				return Access{}, err
			}
			*into = append(*into, id)
		}
	}
	return a, nil
}

// lines reads replies; see Client.
func lines(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 64<<10) }
