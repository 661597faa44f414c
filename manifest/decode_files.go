package manifest

import "fmt"

// tmpPath is the path of the size of /tmp, which is an entry of files in the
// file and a field of its own in the value.
const tmpPath = "tmp"

func decodeFiles(o object, s *Server) {
	sawTmp := false
	for i, n := range o.list("files", "[{from: ./data, to: /data}]") {
		path, isTmp := fmt.Sprintf("files[%d]", len(s.Files)), resizesTmp(n)
		if isTmp {
			path = tmpPath
		}
		if isTmp && sawTmp {
			path = fmt.Sprintf("%s[%d]", tmpPath, i)
		}
		o.r.where[path] = place{n.pos, fmt.Sprintf("files[%d]", i)}
		if isTmp && sawTmp {
			o.r.fail(path, "keep one of the two", "sets the size of /tmp again")
			continue
		}
		f := decodeFile(o.r, path, n)
		if isTmp {
			sawTmp, s.Tmp = true, f.Size
			continue
		}
		s.Files = append(s.Files, f)
	}
}

// resizesTmp says whether an entry is the one for /tmp.
func resizesTmp(n node) bool {
	for _, p := range n.pairs {
		if p.key.text == "tmpfs" && p.value.kind == scalarKind && p.value.text == "/tmp" {
			return true
		}
	}
	return false
}

func decodeFile(r *report, path string, n node) File {
	var f File
	o := openObject(r, "files[]", path, n)
	_, hasFrom := o.fields["from"]
	_, hasTmpfs := o.fields["tmpfs"]
	switch {
	case n.kind != mapKind:
	case hasFrom == hasTmpfs:
		r.fail(path, "write {from: ./data, to: /data} or {tmpfs: /cache, size: 64MiB}", "needs either from or tmpfs")
	case hasTmpfs:
		f.Tmpfs = true
		o.need("size", "say how much memory it may take, e.g. size: 64MiB")
		o.refuse("to", "tmpfs itself names the target; take this out")
		o.refuse("access", "a tmpfs can always be written; take this out")
		o.text("tmpfs", "/cache", &f.To)
		o.size("size", &f.Size)
	default:
		o.need("to", "say where the server sees it, e.g. to: /data")
		o.refuse("size", "only a tmpfs has a size; take this out")
		o.text("from", "./data", &f.From)
		o.text("to", "/data", &f.To)
		set(o, "access", &f.Access, readAccess)
	}
	return f
}

// refuse reports a key that is known and has no meaning in this entry.
func (o object) refuse(name, fix string) {
	if _, path, ok := o.take(name); ok {
		o.r.fail(path, fix, "has no meaning here")
	}
}

func readAccess(n node) (Access, problem) {
	text, p := readText(n, "read")
	switch {
	case !p.none():
		return Read, p
	case text == "read":
		return Read, problem{}
	case text == "write":
		return Write, problem{}
	}
	return Read, problem{show(text) + " is not an access", "write read or write"}
}
