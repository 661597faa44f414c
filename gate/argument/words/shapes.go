package words

import "github.com/mcprun/mcprun/gate/argument"

// shape is one kind of secret: a prefix that its maker gave it so that it can be
// found, and what follows.
type shape struct {
	rule, what string
	prefix     string
	word       bool // the prefix is short, and counts only at the start of a word
	body       body
	find       func(s string, at int) bool // in place of body; at is where the prefix stands
	joins      bool                        // find is strict enough for text whose spaces were taken out
	verdict    argument.Verdict            // Refuse if not set
}

// shapes come from the makers' documentation and from what scanners that are in
// wide use look for (gitleaks, GitHub secret scanning). A body's minimum is below
// the documented length where makers have changed it.
var shapes = []shape{
	// Source hosts and package registries.
	{rule: "secret.github", what: "a GitHub token", prefix: "ghp_", body: body{of: alnum, min: 30, digits: 1}},
	{rule: "secret.github", what: "a GitHub token", prefix: "gho_", body: body{of: alnum, min: 30, digits: 1}},
	{rule: "secret.github", what: "a GitHub token", prefix: "ghu_", body: body{of: alnum, min: 30, digits: 1}},
	{rule: "secret.github", what: "a GitHub token", prefix: "ghs_", body: body{of: withDots, min: 30, digits: 1}},
	{rule: "secret.github", what: "a GitHub token", prefix: "ghr_", body: body{of: alnum, min: 30, digits: 1}},
	{rule: "secret.github", what: "a GitHub token", prefix: "github_pat_", body: body{of: letters(digits + lower + upper + "_"), min: 30, digits: 2}},
	{rule: "secret.gitlab", what: "a GitLab token", prefix: "glpat-", body: body{of: withDots, min: 20, digits: 1}},
	{rule: "secret.gitlab", what: "a GitLab token", prefix: "gldt-", body: body{of: urlSafe, min: 20, digits: 1}},
	{rule: "secret.gitlab", what: "a GitLab token", prefix: "glrt-", body: body{of: urlSafe, min: 20, digits: 1}},
	{rule: "secret.gitlab", what: "a GitLab token", prefix: "glptt-", body: body{of: urlSafe, min: 20, digits: 1}},
	{rule: "secret.gitlab", what: "a GitLab token", prefix: "glcbt-", body: body{of: urlSafe, min: 20, digits: 1}},
	{rule: "secret.gitlab", what: "a GitLab token", prefix: "glsoat-", body: body{of: urlSafe, min: 20, digits: 1}},
	{rule: "secret.gitlab", what: "a GitLab token", prefix: "gloas-", body: body{of: urlSafe, min: 40, digits: 1}},
	{rule: "secret.npm", what: "an npm token", prefix: "npm_", body: body{of: alnum, min: 36, digits: 1}},
	{rule: "secret.pypi", what: "a PyPI token", prefix: "pypi-", body: body{of: urlSafe, min: 50, mixed: true}},
	{rule: "secret.rubygems", what: "a RubyGems token", prefix: "rubygems_", body: body{of: hexLower, min: 48, digits: 4}},
	{rule: "secret.docker", what: "a Docker token", prefix: "dckr_pat_", body: body{of: urlSafe, min: 20, digits: 1}},
	{rule: "secret.docker", what: "a Docker token", prefix: "dckr_oat_", body: body{of: urlSafe, min: 20, digits: 1}},
	{rule: "secret.atlassian", what: "an Atlassian token", prefix: "ATATT3x", body: body{of: letters(digits + lower + upper + "-_="), min: 40, mixed: true}},

	// Clouds.
	{rule: "secret.aws", what: "the id of an AWS access key", prefix: "AKIA", word: true, body: body{of: upperAlnum, min: 16, max: 16, digits: 1}, verdict: argument.Hold},
	{rule: "secret.aws", what: "the id of an AWS access key", prefix: "ASIA", word: true, body: body{of: upperAlnum, min: 16, max: 16, digits: 1}, verdict: argument.Hold},
	{rule: "secret.aws", what: "an AWS access key", prefix: "AKIA", word: true, find: besideAWSKey},
	{rule: "secret.aws", what: "an AWS access key", prefix: "ASIA", word: true, find: besideAWSKey},
	{rule: "secret.aws", what: "an AWS secret key", prefix: "aws_secret", find: assignedAWSKey},
	{rule: "secret.aws", what: "an AWS secret key", prefix: "AWS_SECRET", find: assignedAWSKey},
	{rule: "secret.aws", what: "an AWS secret key", prefix: "SecretAccessKey", find: assignedAWSKey},
	{rule: "secret.aws", what: "an AWS secret key", prefix: "secretAccessKey", find: assignedAWSKey},
	{rule: "secret.google", what: "a Google API key", prefix: "AIza", word: true, body: body{of: urlSafe, min: 35, digits: 1}},
	{rule: "secret.google", what: "a Google client secret", prefix: "GOCSPX-", body: body{of: urlSafe, min: 24, mixed: true}},
	{rule: "secret.google", what: "a Google access token", prefix: "ya29.", word: true, body: body{of: urlSafe, min: 30, mixed: true}},
	{rule: "secret.azure", what: "an Azure storage key", prefix: "AccountKey=", body: body{of: standard, min: 80, mixed: true}},
	{rule: "secret.azure", what: "an Azure access key", prefix: "SharedAccessKey=", body: body{of: standard, min: 40, mixed: true}},
	{rule: "secret.azure", what: "an Azure shared access signature", prefix: "sig=", word: true, find: sharedSignature},
	{rule: "secret.digitalocean", what: "a DigitalOcean token", prefix: "dop_v1_", body: body{of: hexLower, min: 60, digits: 4}},
	{rule: "secret.digitalocean", what: "a DigitalOcean token", prefix: "doo_v1_", body: body{of: hexLower, min: 60, digits: 4}},
	{rule: "secret.digitalocean", what: "a DigitalOcean token", prefix: "dor_v1_", body: body{of: hexLower, min: 60, digits: 4}},
	{rule: "secret.supabase", what: "a Supabase token", prefix: "sbp_", word: true, body: body{of: hexLower, min: 40, digits: 3}},
	{rule: "secret.tailscale", what: "a Tailscale key", prefix: "tskey-", body: body{of: urlSafe, min: 24, digits: 1}},
	{rule: "secret.vault", what: "a Vault token", prefix: "hvs.", word: true, body: body{of: urlSafe, min: 24, mixed: true}},
	{rule: "secret.vault", what: "a Vault token", prefix: "hvb.", word: true, body: body{of: urlSafe, min: 24, mixed: true}},
	{rule: "secret.pulumi", what: "a Pulumi token", prefix: "pul-", word: true, body: body{of: hexLower, min: 40, max: 40, digits: 3}},
	{rule: "secret.doppler", what: "a Doppler token", prefix: "dp.pt.", word: true, body: body{of: alnum, min: 40, digits: 1}},
	{rule: "secret.onepassword", what: "a 1Password token", prefix: "ops_eyJ", body: body{of: urlSafe, min: 60, mixed: true}},

	// Models.
	{rule: "secret.anthropic", what: "an Anthropic key", prefix: "sk-ant-", word: true, body: body{of: urlSafe, min: 20, digits: 1}},
	{rule: "secret.openai", what: "an OpenAI key", prefix: "sk-proj-", word: true, body: body{of: urlSafe, min: 30, mixed: true}},
	{rule: "secret.openai", what: "an OpenAI key", prefix: "sk-svcacct-", word: true, body: body{of: urlSafe, min: 30, mixed: true}},
	{rule: "secret.openai", what: "an OpenAI key", prefix: "sk-admin-", word: true, body: body{of: urlSafe, min: 30, mixed: true}},
	{rule: "secret.openai", what: "an OpenAI key", prefix: "sk-None-", word: true, body: body{of: urlSafe, min: 30, mixed: true}},
	{rule: "secret.openrouter", what: "an OpenRouter key", prefix: "sk-or-v1-", word: true, body: body{of: hexLower, min: 48, digits: 4}},
	{rule: "secret.openai", what: "an OpenAI key", prefix: "sk-", word: true, body: body{of: alnum, min: 20, digits: 1}},
	{rule: "secret.huggingface", what: "a Hugging Face token", prefix: "hf_", word: true, body: body{of: alnum, min: 30}},
	{rule: "secret.groq", what: "a Groq key", prefix: "gsk_", word: true, body: body{of: alnum, min: 40, mixed: true}},
	{rule: "secret.replicate", what: "a Replicate token", prefix: "r8_", word: true, body: body{of: alnum, min: 36, mixed: true}},
	{rule: "secret.xai", what: "an xAI key", prefix: "xai-", word: true, body: body{of: alnum, min: 60, mixed: true}},
	{rule: "secret.perplexity", what: "a Perplexity key", prefix: "pplx-", word: true, body: body{of: alnum, min: 40, mixed: true}},

	// Payment, mail, chat and other services.
	{rule: "secret.stripe", what: "a Stripe key", prefix: "sk_live_", body: body{of: alnum, min: 16, digits: 1}},
	{rule: "secret.stripe", what: "a Stripe key", prefix: "rk_live_", body: body{of: alnum, min: 16, digits: 1}},
	{rule: "secret.stripe", what: "a Stripe signing secret", prefix: "whsec_", body: body{of: standard, min: 24, digits: 1}},
	{rule: "secret.slack", what: "a Slack token", prefix: "xoxb-", body: body{of: urlSafe, min: 16, digits: 6}},
	{rule: "secret.slack", what: "a Slack token", prefix: "xoxp-", body: body{of: urlSafe, min: 16, digits: 6}},
	{rule: "secret.slack", what: "a Slack token", prefix: "xoxa-", body: body{of: urlSafe, min: 16, digits: 6}},
	{rule: "secret.slack", what: "a Slack token", prefix: "xoxr-", body: body{of: urlSafe, min: 16, digits: 6}},
	{rule: "secret.slack", what: "a Slack token", prefix: "xoxs-", body: body{of: urlSafe, min: 16, digits: 6}},
	{rule: "secret.slack", what: "a Slack token", prefix: "xoxo-", body: body{of: urlSafe, min: 16, digits: 6}},
	{rule: "secret.slack", what: "a Slack token", prefix: "xoxc-", body: body{of: urlSafe, min: 16, digits: 6}},
	{rule: "secret.slack", what: "a Slack token", prefix: "xoxe-", body: body{of: urlSafe, min: 16, mixed: true}},
	{rule: "secret.slack", what: "a Slack token", prefix: "xoxe.xox", body: body{of: urlSafe, min: 16, mixed: true}},
	{rule: "secret.slack", what: "a Slack cookie", prefix: "xoxd-", body: body{of: letters(digits + lower + upper + "+/%"), min: 24, mixed: true}},
	{rule: "secret.slack", what: "a Slack app token", prefix: "xapp-", body: body{of: urlSafe, min: 24, digits: 6}},
	{rule: "secret.slack", what: "a Slack web hook", prefix: "hooks.slack.com/services/T", body: body{of: letters(digits + upper + lower + "/"), min: 30, mixed: true}},
	{rule: "secret.discord", what: "a Discord web hook", prefix: "discord.com/api/webhooks/", body: body{of: letters(digits + upper + lower + "-_/"), min: 60, mixed: true}},
	{rule: "secret.telegram", what: "a Telegram bot token", prefix: ":AA", find: telegramToken},
	{rule: "secret.twilio", what: "a Twilio key", prefix: "SK", word: true, body: body{of: hexLower, min: 32, max: 32, digits: 3}},
	{rule: "secret.twilio", what: "a Twilio account with its token", prefix: "AC", word: true, find: besideTwilioAccount},
	{rule: "secret.sendgrid", what: "a SendGrid key", prefix: "SG.", word: true, find: sendGridKey, joins: true},
	{rule: "secret.mailgun", what: "a Mailgun key", prefix: "key-", word: true, body: body{of: hexLower, min: 32, max: 32, digits: 3}},
	{rule: "secret.brevo", what: "a Brevo key", prefix: "xkeysib-", body: body{of: letters(digits + lower + upper + "-"), min: 64, digits: 4}},
	{rule: "secret.shopify", what: "a Shopify token", prefix: "shpat_", body: body{of: alnum, min: 32, digits: 2}},
	{rule: "secret.shopify", what: "a Shopify token", prefix: "shpss_", body: body{of: alnum, min: 32, digits: 2}},
	{rule: "secret.shopify", what: "a Shopify token", prefix: "shpca_", body: body{of: alnum, min: 32, digits: 2}},
	{rule: "secret.square", what: "a Square token", prefix: "sq0csp-", body: body{of: urlSafe, min: 40, mixed: true}},
	{rule: "secret.grafana", what: "a Grafana token", prefix: "glsa_", body: body{of: letters(digits + lower + upper + "_"), min: 32, mixed: true}},
	{rule: "secret.sentry", what: "a Sentry token", prefix: "sntrys_", body: body{of: letters(digits + lower + upper + "_+/="), min: 40, mixed: true}},
	{rule: "secret.linear", what: "a Linear key", prefix: "lin_api_", body: body{of: alnum, min: 36, mixed: true}},
	{rule: "secret.notion", what: "a Notion token", prefix: "ntn_", word: true, body: body{of: alnum, min: 40, mixed: true}},
	{rule: "secret.notion", what: "a Notion token", prefix: "secret_", word: true, body: body{of: alnum, min: 43, max: 43, mixed: true}},
	{rule: "secret.figma", what: "a Figma token", prefix: "figd_", body: body{of: urlSafe, min: 36, mixed: true}},
	{rule: "secret.postman", what: "a Postman key", prefix: "PMAK-", body: body{of: letters(digits + "abcdef-"), min: 50, digits: 6}},
	{rule: "secret.newrelic", what: "a New Relic key", prefix: "NRAK-", body: body{of: upperAlnum, min: 26, digits: 1}},

	// Keys and what grants access by itself.
	{rule: "secret.jwt", what: "a signed token (JWT)", prefix: "eyJ", find: webToken, joins: true},
	{rule: "secret.privatekey", what: "a private key", prefix: "-----BEGIN", find: pemKey},
	{rule: "secret.privatekey", what: "a private SSH key", prefix: "b3BlbnNzaC1rZXktdjE", body: body{of: standard, min: 24}},
	{rule: "secret.privatekey", what: "a private key of PuTTY", prefix: "Private-Lines: ", find: puttyKey},
	{rule: "secret.age", what: "a secret key of age", prefix: "AGE-SECRET-KEY-", body: body{of: letters(digits + upper + "-"), min: 50, digits: 3}},
	{rule: "secret.connection", what: "an address with a password", prefix: "://", find: addressPassword},
	{rule: "secret.connection", what: "a connection string with a password", prefix: "Password=", find: connectionPassword},
	{rule: "secret.connection", what: "a connection string with a password", prefix: "password=", find: connectionPassword},
	{rule: "secret.connection", what: "a connection string with a password", prefix: "PASSWORD=", find: connectionPassword},
	{rule: "secret.connection", what: "a connection string with a password", prefix: "Pwd=", find: connectionPassword},
	{rule: "secret.connection", what: "a connection string with a password", prefix: "pwd=", find: connectionPassword},
	{rule: "secret.connection", what: "a connection string with a password", prefix: "PWD=", find: connectionPassword},
}

// index finds the shapes by their first bytes: most of a text opens none.
type index struct {
	byFirst [256][]*shape
	pairs   [1 << 10]uint64 // a bit for each two bytes
}

var table = newIndex(shapes)

func newIndex(list []shape) *index {
	var t index
	for i := range list {
		c := &list[i]
		t.byFirst[c.prefix[0]] = append(t.byFirst[c.prefix[0]], c)
		pair := uint(c.prefix[0])<<8 | uint(c.prefix[1])
		t.pairs[pair>>6] |= 1 << (pair & 63)
	}
	return &t
}

// opens reports whether some shape begins with the two bytes.
func opens(a, b byte) bool {
	pair := uint(a)<<8 | uint(b)
	return table.pairs[pair>>6]&(1<<(pair&63)) != 0
}
