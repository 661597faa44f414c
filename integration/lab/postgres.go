package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startIn bounds the start of a program of the lab on a busy machine.
const startIn = 30 * time.Second

// Postgres is a database server without TLS that asks for a password by
// SCRAM-SHA-256.
type Postgres struct {
	Addr                     netip.AddrPort
	User, Password, Database string

	lab      *Lab
	dir      string // its data
	programs string
}

// Postgres starts Debian's PostgreSQL at an address and port of net, as an
// unprivileged user, with its data in the lab's folder.
func (l *Lab) Postgres(addr string) *Postgres {
	l.t.Helper()
	p := &Postgres{Addr: l.addrPort(addr), User: "lab", Password: "lab-password", Database: "postgres", lab: l}
	p.programs = newest("/usr/lib/postgresql/*/bin")
	if p.programs == "" {
		l.t.Fatal("there is no PostgreSQL: install postgresql")
	}
	p.dir = filepath.Join(l.Dir, "postgres-"+strconv.Itoa(int(p.Addr.Port())))
	drop := p.prepare()
	log, err := os.Create(filepath.Join(p.dir, "log"))
	l.must(err, "making the log of PostgreSQL")
	defer log.Close()
	cmd := exec.Command(drop[0], append(drop[1:], filepath.Join(p.programs, "postgres"), "-D", filepath.Join(p.dir, "data"),
		"-c", "listen_addresses="+p.Addr.Addr().String(), "-p", strconv.Itoa(int(p.Addr.Port())),
		"-c", "unix_socket_directories=", "-c", "ssl=off", "-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap",
		"-c", "log_connections=on", "-c", "log_statement=all")...)
	l.Exec(Net, cmd)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	l.must(cmd.Start(), "starting PostgreSQL")
	l.t.Cleanup(func() { l.end(cmd, syscall.SIGINT) }) // ends the sessions too, in order
	p.await()
	return p
}

// newest is the last of the folders that match.
func newest(pattern string) string {
	found, _ := filepath.Glob(pattern)
	slices.Sort(found)
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// prepare makes the data folder, and returns the words before a command that
// make it run as the user that owns it.
func (p *Postgres) prepare() []string {
	l := p.lab
	l.t.Helper()
	owner, err := user.Lookup("postgres")
	if err != nil {
		owner, err = user.Lookup("nobody")
	}
	l.must(err, "looking for a user for PostgreSQL")
	uid, err := strconv.Atoi(owner.Uid)
	l.must(err, "reading the id of %s", owner.Username)
	l.must(os.Mkdir(p.dir, 0o700), "making the folder of PostgreSQL")
	password := filepath.Join(p.dir, "password")
	l.must(os.WriteFile(password, []byte(p.Password+"\n"), 0o600), "writing the password of PostgreSQL")
	for _, path := range []string{p.dir, password} {
		l.must(os.Chown(path, uid, -1), "giving away %s", path)
	}
	drop := []string{"setpriv", "--reuid=" + owner.Uid, "--regid=" + owner.Gid, "--clear-groups", "--no-new-privs", "--"}
	data := filepath.Join(p.dir, "data")
	cmd := exec.Command(drop[0], append(drop[1:], filepath.Join(p.programs, "initdb"), "--pgdata="+data, "--username="+p.User,
		"--pwfile="+password, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")...)
	cmd.Dir = p.dir
	l.output(cmd)
	rules, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	l.must(err, "opening the rules of PostgreSQL")
	_, err = rules.WriteString("host all all all scram-sha-256\n")
	l.must(err, "writing the rules of PostgreSQL")
	l.must(rules.Close(), "writing the rules of PostgreSQL")
	return drop
}

// sslRequest asks whether the server does TLS; any that is up answers with one
// letter. See "SSLRequest" in PostgreSQL's documentation of its messages.
var sslRequest = []byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}

func (p *Postgres) await() {
	p.lab.t.Helper()
	for end := time.Now().Add(startIn); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		conn, err := p.lab.Dial(context.Background(), Net, "tcp", p.Addr.String())
		if err != nil {
			continue
		}
		answer := answerTo(conn, sslRequest)
		conn.Close()
		if answer == "N" {
			return
		}
	}
	p.lab.t.Fatalf("PostgreSQL does not answer within %v:\n%s", startIn, p.Log())
}

func answerTo(conn net.Conn, request []byte) string {
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(request); err != nil {
		return ""
	}
	answer := make([]byte, 1)
	n, _ := conn.Read(answer)
	return string(answer[:n])
}

// URL is how a client names the database; host is a name or an address of the
// server.
func (p *Postgres) URL(host string) string {
	return fmt.Sprintf("postgresql://%s:%s@%s/%s?sslmode=disable", p.User, p.Password, net.JoinHostPort(host, strconv.Itoa(int(p.Addr.Port()))), p.Database)
}

// SQL runs statements on the server's side and returns what psql prints, without
// headings.
func (p *Postgres) SQL(text string) string {
	p.lab.t.Helper()
	cmd := exec.Command(filepath.Join(p.programs, "psql"), "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--command="+text, p.URL(p.Addr.Addr().String()))
	p.lab.Exec(Net, cmd)
	return strings.TrimSpace(p.lab.output(cmd))
}

// Log is what the server wrote: connections and statements among it.
func (p *Postgres) Log() string {
	p.lab.t.Helper()
	raw, err := os.ReadFile(filepath.Join(p.dir, "log"))
	p.lab.must(err, "reading the log of PostgreSQL")
	return string(raw)
}
