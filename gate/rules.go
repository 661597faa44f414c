package gate

// The rules that decide calls; Decision.Rule is one of these, or that of a check of
// an argument, as "path.outside".
const (
	// RuleServerMismatch denies a call for a server that the policy is not for.
	RuleServerMismatch = "server.mismatch"
	// RuleUnknownTool denies a tool that is not pinned.
	RuleUnknownTool = "tool.unknown"
	// RuleNotGranted denies a pinned tool that server.yaml does not list.
	RuleNotGranted = "tool.not-granted"
	// RuleWithheld denies a tool whose definition was judged hostile or cannot be compiled, or that was taken away at run time.
	RuleWithheld = "tool.withheld"
	// RuleChanged denies a tool that is not what was pinned: changed, new, or gone.
	RuleChanged = "tool.changed"
	// RuleSchemaInvalid denies arguments that break the pinned schema.
	RuleSchemaInvalid = "schema.invalid"
	// RuleUndeclared denies arguments with a name that the pinned schema does not declare.
	RuleUndeclared = "schema.undeclared"
	// RuleTooCostly denies arguments that would take too long to hold against the schema.
	RuleTooCostly = "schema.too-costly"
	// RuleUnjustified denies a call without the justification that server.yaml demands.
	RuleUnjustified = "justification.missing"
	// RuleJustification denies a call whose justification nobody could read, or says nothing.
	RuleJustification = "justification.invalid"
	// RuleConfirm holds a call until the person at the client has said yes, or an operator where the client cannot ask.
	RuleConfirm = "confirm"
	// RuleRiskLow allows a call that only reads.
	RuleRiskLow = "risk.low"
	// RuleRiskMedium allows a call that changes something of low impact.
	RuleRiskMedium = "risk.medium"
	// RuleRiskHigh denies a call until a human approves it.
	RuleRiskHigh = "risk.high"
	// RuleCondition is a rule of server.yaml whose condition holds.
	RuleCondition = "rule"
	// RuleScore holds a call, or makes it medium, for the sum of what speaks against it.
	RuleScore = "risk.score"
	// RuleRiskBlock denies a tool that server.yaml or policy.yaml blocks.
	RuleRiskBlock = "risk.block"
)

// The rules that judge definitions; Finding.Rule is one of these.
const (
	// LintJSON: not one strict JSON value, or deeper or larger than can be judged.
	LintJSON = "lint.json"
	// LintName: a name outside the alphabet of the specification.
	LintName = "lint.name"
	// LintConfusable: two tools of one server that a reader takes for each other.
	LintConfusable = "lint.confusable"
	// LintShape: a field of a type that the specification does not allow.
	LintShape = "lint.shape"
	// LintText: characters that are not seen, or that change how others are shown.
	LintText = "lint.text"
	// LintPadding: text pushed out of sight by white space.
	LintPadding = "lint.padding"
	// LintSchema: an input or output schema that is missing, broken or too intricate.
	LintSchema = "lint.schema"
	// LintDialect: a $schema other than draft-07, 2019-09 and 2020-12.
	LintDialect = "lint.dialect"
	// LintRef: a reference that leaves the schema or leads nowhere.
	LintRef = "lint.ref"
	// LintPattern: a pattern on which a backtracking matcher runs forever.
	LintPattern = "lint.pattern"
	// LintPatternUnchecked: a pattern that this gate cannot run, so a human must look.
	LintPatternUnchecked = "lint.pattern-unchecked"
	// LintHeader: an x-mcp-header that would break or shadow an HTTP header.
	LintHeader = "lint.header"
	// LintInstruction: text that addresses the model rather than describes the tool.
	LintInstruction = "lint.instruction"
)
