//go:build !amd64

package main

// The calls of these groups exist on x86 alone.

func obsoleteOps() []op { return nil }
func kexecOps() []op    { return nil }
func abiOps() []op      { return nil }
