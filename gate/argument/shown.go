package argument

import (
	"fmt"
	"strings"
)

// maxShown is how much of a value a reason repeats: enough to find it, too little
// to carry a secret or a page of text into the record.
const maxShown = 64

// Shown quotes at most 64 bytes of a value in ASCII, every other character as an
// escape.
func Shown(s string) string {
	if len(s) <= maxShown {
		return fmt.Sprintf("%+q", s)
	}
	return fmt.Sprintf("%+q…", strings.ToValidUTF8(s[:maxShown], ""))
}
