package limits

import (
	"fmt"
	"strconv"
	"strings"
)

// String writes what is not zero, for the record: calls=1 results=4096.
func (u Use) String() string {
	var parts []string
	for unit, n := range u {
		if n != 0 {
			parts = append(parts, Unit(unit).String()+"="+strconv.FormatInt(n, 10))
		}
	}
	return strings.Join(parts, " ")
}

func (u *Use) add(o Use, times int64) {
	for unit, n := range o {
		u[unit] += times * n
	}
}

// ParseUse reads what String wrote.
func ParseUse(text string) (Use, error) {
	var u Use
	for part := range strings.FieldsSeq(text) {
		name, number, _ := strings.Cut(part, "=")
		n, err := strconv.ParseInt(number, 10, 64)
		unit, ok := unitNames[name]
		if err != nil || !ok || n < 0 {
			return Use{}, fmt.Errorf("%q is no use of anything", part)
		}
		u[unit] = n
	}
	return u, nil
}

var unitNames = func() map[string]Unit {
	m := map[string]Unit{}
	for u := range units {
		m[u.String()] = u
	}
	return m
}()
