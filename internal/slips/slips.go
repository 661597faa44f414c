// Package slips counts how far what was typed is from what is known, for errors that say
// what was most likely meant. It suggests nothing itself, and decides nothing.
package slips

// Between counts the insertions, deletions and changes of bytes from a to b. It takes time
// and memory by the product of their lengths: bound them first where they come from outside.
func Between(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
