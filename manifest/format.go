package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Size writes bytes as server.yaml does: 64MiB.
func Size(n int64) string { return sizeString(n) }

// CPU writes thousandths of one CPU as server.yaml does: 0.5.
func CPU(milli int64) string { return milliString(milli) }

// sizeString writes a size as server.yaml does, in its largest whole unit.
func sizeString(n int64) string {
	switch {
	case n == 0 || n%kib != 0:
		return fmt.Sprintf("%d bytes", n)
	case n%gib == 0:
		return fmt.Sprintf("%dGiB", n/gib)
	case n%mib == 0:
		return fmt.Sprintf("%dMiB", n/mib)
	}
	return fmt.Sprintf("%dKiB", n/kib)
}

// milliString writes thousandths as a decimal number without trailing zeros.
func milliString(n int64) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%03d", n/1000, n%1000), "0"), ".")
}

// durationString writes a duration as server.yaml does, in its largest whole unit.
func durationString(d time.Duration) string {
	switch {
	case d == 0 || d%time.Millisecond != 0:
		return d.String()
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return fmt.Sprintf("%dms", d/time.Millisecond)
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
