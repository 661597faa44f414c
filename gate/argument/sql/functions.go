package sql

import "strings"

// set makes a set of words.
func set(words string) map[string]bool {
	s := map[string]bool{}
	for _, w := range strings.Fields(words) {
		s[w] = true
	}
	return s
}

// harmless says whether a built-in function of this folded name only computes
// from its arguments, or tells what a read may know. The lists are short of
// complete on purpose: what they lack is held, not refused.
func harmless(d Dialect, name string) bool {
	if d == SQLite {
		return sqliteHarmless[name]
	}
	return postgresHarmless[name]
}

// dangerous says whether a function of this folded name reaches files, other
// machines, other sessions or the server's settings, or runs SQL or code that its
// argument holds. Its schema does not matter: an extension can be anywhere.
func dangerous(d Dialect, name string) bool {
	if d == SQLite {
		return sqliteDangerous[name] || sqliteModules[name] || hasPrefix(name, sqliteDangerousPrefixes)
	}
	return dangerousColumn(name) || hasPrefix(name, postgresExtensionPrefixes)
}

// dangerousColumn says it of a name that stands where a column can stand. The
// functions of extensions are left out: columns are often named so.
func dangerousColumn(name string) bool {
	return postgresDangerous[name] || hasPrefix(name, postgresDangerousPrefixes)
}

// elsewhere are functions of other engines that read files, run programs or wait.
var elsewhere = set(`load_file sleep benchmark sys_exec sys_eval sys_get sys_set xp_cmdshell xp_dirtree xp_fileexist
	openrowset opendatasource openquery utl_http utl_file dbms_pipe read_csv read_csv_auto read_text read_blob read_parquet
	read_json file url s3 executable`)

// dangerousElsewhere says that a name is dangerous in some other dialect. Who
// calls it here means harm, or means another database than the spec does; so it
// is refused and not held, unless the spec names it.
func dangerousElsewhere(name string) bool {
	return elsewhere[name] || dangerous(Postgres, name) || dangerous(SQLite, name)
}

func hasPrefix(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// sequenceClass is the class of a function that moves a sequence, 0 of any other.
func sequenceClass(name string) Class {
	switch name {
	case "nextval":
		return Insert
	case "setval":
		return Update
	}
	return 0
}
