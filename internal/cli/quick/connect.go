package quick

import (
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/internal/control"
)

func (a *App) connectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "connect NAME", Short: "speak MCP with a server on stdin and stdout",
		Long: "The command that an MCP client is configured with. Pipes and sockets are handed to the daemon,\nso that this command adds nothing to the time of a call.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := a.NameOf(args[0])
			if err != nil {
				return err
			}
			c, err := control.Dial(a.Dirs.Socket())
			if err != nil {
				return err
			}
			defer c.Close()
			out, isFile := a.Out.(*os.File)
			if isFile && isStream(a.In) && isStream(out) {
				if _, err := c.Do(control.Request{Op: control.OpConnect, Server: name, Files: true}, a.Events(), a.In, out); err != nil {
					return err
				}
				// Ours must go, or the client would never see the end of the stream.
				a.In.Close()
				out.Close()
				io.Copy(io.Discard, c.Stream())
				return nil
			}
			if _, err := c.Do(control.Request{Op: control.OpConnect, Server: name}, a.Events()); err != nil {
				return err
			}
			return bridge(c, a.In, a.Out)
		},
	}
}

// isStream reports whether f can be handed to the daemon: a pipe or a socket.
func isStream(f *os.File) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	kind := st.Mode & unix.S_IFMT
	return kind == unix.S_IFIFO || kind == unix.S_IFSOCK
}

// bridge copies both ways until the daemon's side ends; the end of the input is
// passed on, so that answers still under way arrive.
func bridge(c *control.Conn, in io.Reader, out io.Writer) error {
	go func() {
		io.Copy(c.UnixConn, in)
		c.CloseWrite()
	}()
	_, err := io.Copy(out, c.Stream())
	return err
}
