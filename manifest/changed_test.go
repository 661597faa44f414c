package manifest_test

import (
	"reflect"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/manifest"
)

// A reload puts in force what Changed does not name, so a key that it forgets
// would be changed on a running server without a word.
func TestChangedNamesEveryKey(t *testing.T) {
	fields := reflect.TypeFor[manifest.Server]()
	named := map[string]bool{}
	for i := range fields.NumField() {
		if fields.Field(i).Name == "Notes" { // what they are about is in the other fields
			continue
		}
		var a, b manifest.Server
		set(reflect.ValueOf(&b).Elem().Field(i))
		keys := manifest.Changed(&a, &b)
		if len(keys) != 1 || named[keys[0]] {
			t.Errorf("a change of %s is named %q", fields.Field(i).Name, keys)
			continue
		}
		named[keys[0]] = true
	}
	if keys := manifest.Changed(&manifest.Server{}, &manifest.Server{}); keys != nil {
		t.Errorf("no change is named %q", keys)
	}
}

// set gives a field a value that is not its zero.
func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[mcprun.ToolName]manifest.Tool{"a": {}}))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Struct:
		set(v.Field(0))
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8:
		v.SetUint(1)
	case reflect.Bool:
		v.SetBool(true)
	}
}
