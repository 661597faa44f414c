package result

import (
	"strconv"
	"strings"
)

// The words that phrases share.
const (
	ignoring    = "ignore|ignoring|disregard|disregarding|forget|override|overrides|bypass|discard"
	orders      = "instruction|instructions|prompt|prompts|rules|messages|directions|guidelines|directives|commands|constraints|restrictions|guardrails"
	person      = "user|users|human|humans|operator|person"
	models      = "ai|ais|llm|llms|chatbot|chatbots|assistant|assistants|agent|agents|claude|chatgpt|gpt|copilot|gemini"
	telling     = "tell|telling|mention|mentioning|inform|informing|notify|notifying|reveal|revealing|show|showing|alert|alerting|ask|asking|warn|warning"
	sending     = "send|include|including|forward|append|provide|attach|pass|upload|post|exfiltrate|leak|submit|email|encode|embed"
	printing    = sending + "|reveal|print|repeat|output|show|display|quote|summarize|paste|copy|dump"
	reading     = "read|cat|open|get|fetch|load|copy|access|find|collect|contents|content"
	secretFiles = ".ssh|id_rsa|id_ed25519|etc/passwd|etc/shadow|.aws|.env|.netrc|.kube|.npmrc|.pypirc|.gnupg|mcp.json"
	asTag       = "<important|</important|<system|</system|<instruction|<instructions|</instruction|</instructions|<secret|<critical|<hidden|<admin|<assistant|</assistant"
	asMarker    = "<|im|<|system|<|assistant|<|user|<|endoftext|<|start|<|eot"
	asRole      = "[inst|[/inst|<<sys|<</sys"
)

// phrases speak to a model about what to do, not to a reader about what there is.
// A phrase is sets of words with, between them, how many other words may stand
// there. A word can ask for the signs before it, as ".ssh" does; a colon at the
// end asks for one behind the phrase.
//
// They overlap with those that gate looks for in definitions. These are matched
// word by word in one pass, since results are a thousand times as long; and
// some that no honest definition has are common in honest results, so that they
// ask for more here.
var phrases = compile([]string{
	ignoring + " 3 previous|prior|above|earlier|preceding|foregoing|other|system|original|all|any|your|existing|initial 2 " + orders,
	"ignore|disregard|forget 0 everything|anything 1 above|before|previous|previously|prior|said",
	"ignore|disregard|forget 0 all 0 above|before|said",
	"do|must|should|may|can|will|shall 0 not 2 " + telling + " 4 " + person,
	"dont|never|without|shouldnt|mustnt|cannot 2 " + telling + " 4 " + person,
	person + " 0 must|should|need|may|does|will|can 0 not 2 know|see|notice|told|informed|notified|aware",
	person + " 0 mustnt|shouldnt|neednt|doesnt|wont|cant|cannot 2 know|see|notice|told|informed|notified|aware",
	"hide|conceal|keep 0 this|it|that 2 from 1 " + person,
	reading + " 10 " + secretFiles + " 12 " + sending,
	sending + " 8 " + secretFiles,
	printing + " 8 system|conversation|chat|hidden|initial 0 prompt|history|prompts",
	printing + " 8 entire|full|whole|previous|above 0 conversation|conversations|messages|chat|context",
	"you 0 are 0 now 0 a|an|in|the|my|no|dan|free|acting",
	"from 0 now 0 on 0 you|your|act|respond|only|always",
	"new|updated|revised|additional|real|actual 0 instruction|instructions|task|objective|directive :",
	"your 0 new|real|actual|true|only|next 0 task|goal|instructions|role|objective|purpose|mission",
	"act|behave 0 as 1 system|admin|root|administrator|developer|dan",
	"if 0 you 0 are 0 a|an|the 2 " + models + "|model",
	"note|attention|message|instructions|instruction|reminder|notice 1 to|for 1 all|any|the|every|ai|llm|language 0 " + models + "|model|models",
	"attention|important|dear|hey 0 " + models,
	"you 1 " + "must|need|shall 2 call|invoke|run|execute|use 5 tool|tools",
	"before 2 answering|responding|continuing|proceeding|replying 4 call|invoke|run|execute|use|read|send|fetch",
	"developer|god|debug|jailbreak|maintenance|dan 0 mode 1 enabled|activated|active|on",
	asTag,
	asMarker,
	asRole,
})

// use is a place of a word in the phrases.
type use struct {
	phrase, step uint8
	gap          int    // words that may stand before it in its phrase
	before       string // what must stand directly before it
	last, colon  bool
	closed       bool // a tag, which ends or goes on with a space
}

const (
	maxWord  = 15 // the longest word in phrases has fewer letters
	maxSteps = 5
	hashBits = 12 // a table of 4 KiB; the phrases fill a tenth of it
)

// dictionary is the phrases by their words, in a hash table with chains: nearly
// every word of a text is passed after one look at it.
type dictionary struct {
	slots   [1 << hashBits]uint16 // the first entry of a chain; 0 is none
	entries []entry               // the first is not used
	phrases int
}

type entry struct {
	word string
	uses []use
	next uint16
}

func compile(list []string) *dictionary {
	d := &dictionary{entries: make([]entry, 1), phrases: len(list)}
	for i, p := range list {
		p, colon := strings.CutSuffix(p, " :")
		parts := strings.Fields(p)
		steps := (len(parts) + 1) / 2
		for k := range steps {
			u := use{phrase: uint8(i), step: uint8(k), last: k == steps-1, colon: colon && k == steps-1}
			if k > 0 {
				u.gap, _ = strconv.Atoi(parts[2*k-1])
			}
			for w := range strings.SplitSeq(strings.ReplaceAll(parts[2*k], "<|", "<\x00"), "|") {
				d.add(strings.ReplaceAll(w, "\x00", "|"), u)
			}
		}
	}
	return d
}

// add enters a word, whose signs and what is before them ask for the text before it.
func (d *dictionary) add(w string, u use) {
	cut := strings.LastIndexAny(w, "./_<|[") + 1
	u.before, w = w[:cut], w[cut:]
	u.closed = u.before == "<" || u.before == "</"
	var h uint32
	for _, c := range []byte(w) {
		h = addHash(h, c)
	}
	e := d.find(h, []byte(w))
	if e == nil {
		slot := &d.slots[h>>(32-hashBits)]
		d.entries = append(d.entries, entry{word: w, next: *slot})
		*slot = uint16(len(d.entries) - 1)
		e = &d.entries[*slot]
	}
	// Later steps first: one word cannot be two steps of the same phrase.
	e.uses = append([]use{u}, e.uses...)
}

// find returns the entry of a word with its hash, or nil.
func (d *dictionary) find(h uint32, word []byte) *entry {
	for i := d.slots[h>>(32-hashBits)]; i != 0; i = d.entries[i].next {
		if d.entries[i].word == string(word) {
			return &d.entries[i]
		}
	}
	return nil
}

// addHash goes on with the hash of a word.
func addHash(h uint32, c byte) uint32 { return (h + uint32(c)) * 0x9E3779B1 }
