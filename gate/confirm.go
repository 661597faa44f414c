package gate

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/lock"
)

// To confirm a call is less than to approve it: the client asks the person at it, and
// the answer is the client's, which may be the agent itself. So it is for calls that
// would go ahead anyway; whatever makes one high takes it to an operator.

// maxQuestion bounds what a person is asked to confirm. It is shown whole or not at
// all: what stands behind a cut would be confirmed unread.
const maxQuestion = 4 << 10

// confirm takes what server.yaml says of asking the person at the client.
func (s *sheet) confirm(c Call) {
	if !s.grant.Confirm {
		return
	}
	_, whole := Question(c)
	switch {
	case !c.Elicits:
		s.add(RuleConfirm, 0, mcprun.High, "somebody must confirm it, and the client cannot ask the person at it", "")
	case !whole:
		s.add(RuleConfirm, 0, mcprun.High, fmt.Sprintf("somebody must confirm it, and it is too long to be shown at the client: at most %d bytes are", maxQuestion), "send less at once")
	default:
		s.asks = true
	}
}

// Question is a call as the person at the client is asked about it, and whether that is
// all of it. Each argument stands on one line of its own, indented, with all that
// would not show made visible: none can look like another line of the question, and a
// client that reads Markdown shows them as they are.
func Question(c Call) (text string, whole bool) {
	if len(c.Arguments) > maxQuestion {
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "mcprun asks: may the tool %s of the server %s be called with these arguments?\n\n", c.Tool, c.Server)
	line := func(name, value []byte) {
		if b.Len() <= maxQuestion { // enough to know that it is too long
			fmt.Fprintf(&b, "    %s: %s\n", lock.Visible(string(name)), lock.Visible(string(value)))
		}
	}
	n := 0
	for name, value := range strictjson.Members(c.Arguments) {
		line(name, value)
		n++
	}
	if n == 0 {
		b.WriteString("    (none)\n")
	}
	if j := c.Stated; j != (mcprun.Justification{}) {
		b.WriteString("\nThe model says of it:\n\n")
		line([]byte("intent"), []byte(j.Intent))
		line([]byte("target"), []byte(j.Target))
		line([]byte("afterwards"), []byte(j.Effect))
	}
	b.WriteString("\nEverything that is indented comes from the model.")
	return b.String(), b.Len() <= maxQuestion && utf8.ValidString(b.String())
}
