package result

import (
	"bytes"
)

const (
	// maxAlt is how far behind the beginning of a picture its address is looked for.
	maxAlt = 512

	// maxAddress is how much of an address is looked at; more is data in itself.
	maxAddress = 2048

	// longAddress is more than an address of a picture needs. What is longer
	// carries something.
	longAddress = 256

	// maxReferences bounds the searches for the definitions of pictures that only
	// name theirs; each search goes through the whole text.
	maxReferences = 8
)

// pictures calls found with the address of each picture that a client may fetch
// from a host and that carries data: in Markdown, by reference, or in HTML.
// A client that shows such a picture sends what is written into its address.
func pictures(b []byte, found func(string)) {
	references := 0
	for i := 0; ; {
		n := bytes.Index(b[i:], []byte("!["))
		if n < 0 {
			break
		}
		i += n + len("![")
		address, reference := pictureAt(b[i:])
		if reference != nil && references < maxReferences {
			references++
			address = definition(b, reference)
		}
		if carries(address) {
			found(string(address))
		}
	}
	htmlPictures(b, found)
}

// pictureAt reads what follows "![": a text and an address in parentheses, or a
// reference in brackets.
func pictureAt(b []byte) (address, reference []byte) {
	b = b[:min(len(b), maxAlt+maxAddress)]
	if next := bytes.Index(b, []byte("![")); next >= 0 { // so that no byte is read often
		b = b[:next]
	}
	end := bytes.IndexByte(b[:min(len(b), maxAlt)], ']')
	if end < 0 {
		return nil, nil
	}
	alt, rest := b[:end], bytes.TrimLeft(b[end+1:], " ")
	switch {
	case bytes.HasPrefix(rest, []byte("(")):
		return addressAt(rest[1:]), nil
	case bytes.HasPrefix(rest, []byte("[]")):
		return nil, alt
	case bytes.HasPrefix(rest, []byte("[")):
		name, _, ok := bytes.Cut(rest[1:], []byte("]"))
		if ok {
			return nil, name
		}
	}
	return nil, alt
}

// addressAt returns the address that b starts with.
func addressAt(b []byte) []byte {
	b = bytes.TrimLeft(b[:min(len(b), maxAddress)], " \n\t<\"'")
	if end := bytes.IndexAny(b, " \n\t\"'>)"); end >= 0 {
		b = b[:end]
	}
	return b
}

// definition returns the address that a line such as "[name]: address" gives.
func definition(b, name []byte) []byte {
	if len(name) == 0 {
		return nil
	}
	line := append(append([]byte("["), name...), "]:"...)
	i := bytes.Index(b, line)
	if i < 0 {
		return nil
	}
	return addressAt(b[i+len(line):])
}

// htmlPictures finds the sources of img elements.
func htmlPictures(b []byte, found func(string)) {
	for {
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			return
		}
		b = b[i+1:]
		if len(b) < 4 || !bytes.EqualFold(b[:3], []byte("img")) {
			continue
		}
		element := b[:min(len(b), maxAlt+maxAddress)]
		if end := bytes.IndexByte(element, '<'); end >= 0 { // so that no byte is read often
			element = element[:end]
		}
		src := bytes.Index(bytes.ToLower(element), []byte("src="))
		if src < 0 {
			continue
		}
		if address := addressAt(element[src+len("src="):]); carries(address) {
			found(string(address))
		}
	}
}

// carries reports whether an address leads to a host and has a query, room for
// data as instructions write it, or is too long for its purpose.
func carries(address []byte) bool {
	head := bytes.ToLower(address[:min(len(address), len("https://"))])
	if !bytes.HasPrefix(head, []byte("http://")) && !bytes.HasPrefix(head, []byte("https://")) && !bytes.HasPrefix(head, []byte("//")) {
		return false
	}
	_, query, _ := bytes.Cut(address, []byte("?"))
	return len(query) > 0 || bytes.ContainsAny(address, "{}[]<$|") || len(address) > longAddress
}
