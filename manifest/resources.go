package manifest

import (
	"errors"
	"fmt"
)

// With returns r with one of memory, cpu and pids as it would stand in server.yaml. It
// checks how the value is written, not how much it is: see Validate.
func (r Resources) With(key, text string) (Resources, error) {
	n := node{kind: scalarKind, text: text}
	var p problem
	switch key {
	case "memory":
		r.Memory, p = readSize(n)
	case "cpu":
		r.MilliCPU, p = readMilli(n, "0.5")
	case "pids":
		r.Pids, p = readInt(n, "64")
	default:
		return r, fmt.Errorf("%s cannot be changed while a server runs", show(key))
	}
	if !p.none() {
		return r, errors.New(key + ": " + p.what + "; " + p.fix)
	}
	return r, nil
}

// Live are the resources that can be changed while a server runs, by their keys in
// server.yaml and as they are written there.
func (r Resources) Live() map[string]string {
	return map[string]string{"memory": sizeString(r.Memory), "cpu": milliString(r.MilliCPU), "pids": decimal(r.Pids)}
}
