package redact

import "fmt"

// maxNodes bounds the memory of one Set, 16 bytes a node: 128 MiB. A token of
// 40 bytes needs about 350 nodes, a PEM key of 3 KiB about 64,000.
const maxNodes = 8 << 20

// node is a beginning of a pattern: what is read on the way from the root.
type node struct {
	fail  uint32 // the longest proper suffix that is a node too
	depth uint32 // the length of this beginning
	out   uint32 // the length of the longest pattern that ends here; 0 is none
	row   uint16 // where the children are, if there are more than one; 0 is none
	label byte   // the last byte of this beginning
}

// automaton is that of Aho and Corasick. Most nodes have one child, and that one
// is always the next in the list; only the few others have a table.
type automaton struct {
	nodes []node
	rows  [][256]uint32 // row 0 is not used, row 1 is the root's; fewer than patterns + 2
}

// newAutomaton builds the automaton of patterns, which are sorted and distinct.
func newAutomaton(patterns []string) (*automaton, error) {
	const rootAndEnd = 2
	total := rootAndEnd
	for _, p := range patterns {
		total += len(p)
	}
	if total > maxNodes {
		return nil, fmt.Errorf("the secrets and their encodings are %d bytes; at most %d", total, maxNodes)
	}
	a := &automaton{nodes: make([]node, 1, total), rows: make([][256]uint32, 2)}
	a.nodes[0].row = 1
	a.addAll(patterns)
	a.nodes = append(a.nodes, node{}) // child may look at the node after the last one
	a.linkFails()
	return a, nil
}

// addAll adds the patterns. Since they are sorted, a new node is the first child
// of the node before it or a further child of a node on the last path.
func (a *automaton) addAll(patterns []string) {
	path := []uint32{0} // path[i] is the node of the first i bytes
	last := ""
	for _, p := range patterns {
		common := commonPrefix(last, p)
		path = path[:common+1]
		for i := common; i < len(p); i++ {
			path = append(path, a.add(path[i], p[i]))
		}
		a.nodes[path[len(p)]].out = uint32(len(p))
		last = p
	}
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// add appends a child of parent.
func (a *automaton) add(parent uint32, label byte) uint32 {
	id := uint32(len(a.nodes))
	a.nodes = append(a.nodes, node{depth: a.nodes[parent].depth + 1, label: label})
	n := &a.nodes[parent]
	if n.row == 0 && id == parent+1 {
		return id
	}
	if n.row == 0 {
		n.row = uint16(len(a.rows))
		a.rows = append(a.rows, [256]uint32{})
		a.rows[n.row][a.nodes[parent+1].label] = parent + 1
	}
	a.rows[n.row][label] = id
	return id
}

// linkFails sets fail and out of every node, the shorter ones first.
func (a *automaton) linkFails() {
	queue := make([]uint32, 1, len(a.nodes))
	for i := 0; i < len(queue); i++ {
		parent := queue[i]
		for _, id := range a.children(parent) {
			n := &a.nodes[id]
			if parent != 0 {
				n.fail = a.step(a.nodes[parent].fail, n.label)
			}
			n.out = max(n.out, a.nodes[n.fail].out)
			queue = append(queue, id)
		}
	}
}

func (a *automaton) children(parent uint32) []uint32 {
	row := a.nodes[parent].row
	if row == 0 {
		if id := a.child(parent, a.nodes[parent+1].label); id != 0 {
			return []uint32{id}
		}
		return nil
	}
	var list []uint32
	for _, id := range a.rows[row] {
		if id != 0 {
			list = append(list, id)
		}
	}
	return list
}

// child returns the child of parent that label leads to, or 0.
func (a *automaton) child(parent uint32, label byte) uint32 {
	n := &a.nodes[parent]
	if n.row != 0 {
		return a.rows[n.row][label]
	}
	if next := &a.nodes[parent+1]; next.label == label && next.depth == n.depth+1 {
		return parent + 1
	}
	return 0
}

// step returns the longest suffix of "at, then label" that is a node.
func (a *automaton) step(at uint32, label byte) uint32 {
	for {
		if id := a.child(at, label); id != 0 || at == 0 {
			return id
		}
		at = a.nodes[at].fail
	}
}
