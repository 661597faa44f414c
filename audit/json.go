package audit

import "bytes"

// JSON is the record as its line in the log has it, without the newline.
func (e *Entry) JSON() ([]byte, error) {
	line, err := appendBody(appendHead(nil, e.Record.Seq, e.Prev, e.Record.Time), &e.Record)
	return bytes.TrimSuffix(line, []byte("\n")), err
}
