package gate

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// instructions are phrases that speak to a model about what to do, not to a
// reader about what a tool does. They only raise a risk: naive lists miss a
// quarter of published poisonings and hit some honest text, so nothing may
// depend on them alone.
var instructions = regexp.MustCompile(strings.Join([]string{
	`\b(?:ignore|disregard|forget|override)\b (?:\w+ ){0,3}?(?:previous|prior|above|earlier|preceding|other|system) (?:\w+ ){0,2}?(?:instructions?|prompts?|rules|messages|directions|guidelines)`,
	`\b(?:ignore|disregard|forget) (?:all|everything) (?:above|before|previous)`,
	`</?(?:important|system|instructions?|secret|critical|hidden|admin|assistant)\b[^<>]{0,40}>`,
	`<\|(?:im_start|im_end|system|assistant|user|endoftext)\|>|\[/?inst\]|<</?sys>>`,
	`(?:do not|don't|never|must not|should not|without) (?:\w+ ){0,2}?(?:tell|telling|mention|mentioning|inform|informing|notify|notifying|reveal|revealing|show|showing|alert|alerting|ask|asking)\b(?: \w+){0,4}? (?:the|this to the|to the) (?:user|human|operator)`,
	`(?:the )?(?:user|human) (?:must|should|need|may|does|will)(?:n't| not) (?:to )?(?:know|see|notice|be told|be informed|be notified)`,
	`(?:hide|conceal|keep) (?:this|it|that)(?: \w+){0,2} from (?:the )?(?:user|human)`,
	`\b(?:read|cat|open|send|include|attach|pass|upload|copy|paste|append|contents? of|access)\b[^.]{0,60}(?:~/\.|\.ssh\b|id_rsa|id_ed25519|/etc/(?:passwd|shadow)|\.aws/|\.env\b|\.netrc|\.kube/|mcp\.json|private key)`,
	`\b(?:system prompt|conversation history|chat history|previous messages|entire conversation)\b[^.]{0,60}\b(?:in|as|into|to|with) (?:the|this|a|an)\b`,
	`\b(?:include|send|pass|attach|forward|append|provide)\b[^.]{0,60}\b(?:system prompt|conversation history|chat history|entire conversation)`,
	`\byou are now\b (?:a|an|in|the)\b|\bnew instructions?:|\bact as (?:the )?(?:system|admin|root)\b`,
}, "|"))

// instruction returns the phrase of s that addresses the model, or "". Case,
// width, spacing and compatibility forms do not hide it.
func instruction(s string) string {
	return instructions.FindString(strings.Join(strings.FieldsFunc(strings.ToLower(norm.NFKC.String(s)), unicode.IsSpace), " "))
}
