package result

import "unicode"

// otherLetter is what fold makes of letters that look like none of ASCII.
const otherLetter = 0x80

// twinsFrom are letters and signs that look like the ASCII ones in twinsTo, in
// common fonts (from Unicode TR39's confusables, the close shapes only).
const (
	twinsFrom = "асеорхуіјѕһԁԛԝӏАВЕКМНОРСТХІЈЅԌԚԜӀοαιυνκρτΑΒΕΖΗΙΚΜΝΟΡΤΥΧօոսɡɑʼ"
	twinsTo   = "aceopxyijshdqwlabekmhopctxijsgqwloaiuvkptabezhikmnoptyxonuga'"
)

// accents are the base letters of U+00C0 to U+017F; a dot is no single letter.
const accents = "aaaaaaaceeeeiiiidnooooo.ouuuuypsaaaaaaaceeeeiiiidnooooo.ouuuuypy" +
	"aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii..jjkkkllllllllllnnnnnnnnnoooooo..rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs"

const lowEnd = 0x590 // Latin, Greek, Cyrillic and Armenian are below

// lowFold is fold for the alphabets that have twins of ASCII letters.
var lowFold = func() (t [lowEnd]byte) {
	for r := range rune(lowEnd) {
		switch {
		case 'A' <= r && r <= 'Z':
			t[r] = byte(r) + 'a' - 'A'
		case r < 0x80:
			t[r] = byte(r)
		case 0xC0 <= r && r <= 0x17F && accents[r-0xC0] != '.':
			t[r] = accents[r-0xC0]
		case unicode.In(r, unicode.L, unicode.M):
			t[r] = otherLetter
		default:
			t[r] = ' '
		}
	}
	i := 0
	for _, r := range twinsFrom {
		t[r] = twinsTo[i]
		i++
	}
	return t
}()

// fold returns the small ASCII letter, digit or sign that r is or looks like,
// otherLetter for other letters, and a space for all else. Ideographs are spaces:
// they stand beside Latin words without being part of them.
func fold(r rune) byte {
	switch {
	case r < lowEnd:
		return lowFold[r]
	case r < 0x2000:
		return otherLetter
	case r == 0x2018, r == 0x2019: // typographic apostrophes
		return '\''
	case 0x24B6 <= r && r <= 0x24E9: // in circles
		return 'a' + byte((r-0x24B6)%26)
	case 0x249C <= r && r <= 0x24B5: // in parentheses
		return 'a' + byte(r-0x249C)
	case 0xFF01 <= r && r <= 0xFF5E: // full width
		return fold(r - 0xFF01 + '!')
	case 0x1D400 <= r && r < 0x1D6A4: // mathematical alphabets, capitals and small letters in turn
		return 'a' + byte((r-0x1D400)%26)
	case 0x1D7CE <= r && r <= 0x1D7FF: // mathematical digits
		return '0' + byte((r-0x1D7CE)%10)
	case 0x1F130 <= r && r <= 0x1F189 && (r-0x1F130)%32 < 26: // in squares
		return 'a' + byte((r-0x1F130)%32)
	}
	return ' '
}
