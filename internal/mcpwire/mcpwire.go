// Package mcpwire reads and writes the lines of MCP over stdio: framing,
// JSON-RPC messages, ids and the parameters of a tool call.
//
// A line from outside becomes a Message or an *Error, nothing in between. What a
// Message holds was written anew by strictjson; the bytes that came in are never
// passed on, so that what was judged is what the other side reads.
//
// It does no I/O but for the io.Reader of a Reader, and it knows no policy: which
// methods, tools and arguments are allowed, who may answer which id, how many
// messages may come and how long one may take are for its callers to decide.
package mcpwire

// MaxRequestLine bounds a line from a client. Arguments are written by a model:
// 4 MiB is more than a million tokens, and what a human could still review is
// far smaller.
const MaxRequestLine = 4 << 20

// MaxResponseLine bounds a line from a server. Results carry files and images in
// base64: 16 MiB is a 12 MiB image, more than any model takes, and a hundred
// servers that send one each at the same time still fit into memory.
const MaxResponseLine = 16 << 20
