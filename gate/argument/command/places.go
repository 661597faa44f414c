package command

import (
	"path"
	"strings"
)

// place says why a file is out of bounds.
type place uint8

const (
	nowhere place = iota
	private       // may hold keys: a human has to look
	startup       // obeyed by other programs when they start: not to be written
	secret        // holds keys or passwords
	device        // the machine's disks and memory
)

// names below any folder. A name of two parts is a file in a folder of that name.
// In lower case, since file systems of other machines fold it.
var names = func() map[string]place {
	m := map[string]place{}
	for _, n := range strings.Fields(`.ssh .netrc _netrc .git-credentials .pgpass .my.cnf .mylogin.cnf .vault-token .htpasswd .gnupg .password-store
		.aws .docker/config.json .dockercfg .kube .config/gcloud .azure .config/gh .config/op .config/rclone .config/hub .boto .s3cfg
		.cargo/credentials .cargo/credentials.toml .gem/credentials .terraform.d .terraformrc .m2/settings.xml .bash_history .zsh_history .sh_history .mysql_history .psql_history
		.python_history .node_repl_history .sqlite_history .lesshst .viminfo id_rsa id_dsa id_ecdsa id_ed25519 id_ecdsa_sk id_ed25519_sk identity.pem login.keychain-db keychains
		logins.json key4.db key3.db signons.sqlite cookies.sqlite wallet.dat .electrum .ethereum .bitcoin .config/solana claude_desktop_config.json .claude.json .claude/.credentials.json
		.cursor/mcp.json .codex/auth.json .pypirc shadow.bak ntds.dit .config/filezilla .remmina`) {
		m[n] = secret
	}
	for _, n := range strings.Fields(`.bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .zshrc .zshenv .zprofile .zlogin .zlogout .kshrc .cshrc .tcshrc .login
		.config/fish .xinitrc .xprofile .xsession .xsessionrc .config/autostart .config/systemd .local/share/systemd .pam_environment .inputrc .vimrc .exrc .emacs .gdbinit .gitconfig .config/git
		.envrc .git/hooks .git/config .husky authorized_keys authorized_keys2 launchagents launchdaemons .config/environment.d .rhosts .forward .tmux.conf .screenrc
		sitecustomize.py usercustomize.py .pythonstartup .mcp.json .vscode/tasks.json .claude/settings.json`) {
		m[n] = startup
	}
	m[".env"], m[".npmrc"], m[".yarnrc.yml"], m["credentials.json"], m["service-account.json"] = private, private, private, private, private
	return m
}()

// roots are absolute paths and all below them.
var roots = func() map[string]place {
	m := map[string]place{}
	// /etc/passwd holds no passwords nowadays. It is in the list because nothing but
	// an attack asks for it by name, and because it says whom to attack next.
	for _, n := range strings.Fields(`/etc/shadow /etc/shadow- /etc/gshadow /etc/gshadow- /etc/passwd /etc/passwd- /etc/master.passwd /etc/security/opasswd /etc/sudoers /etc/sudoers.d /etc/krb5.keytab
		/etc/ssl/private /etc/pki/tls/private /etc/letsencrypt /etc/kubernetes /etc/rancher /etc/ppp/chap-secrets /etc/wireguard /etc/openvpn /etc/networkmanager/system-connections /etc/wpa_supplicant
		/etc/ipsec.secrets /etc/mysql/debian.cnf /var/run/secrets /run/secrets /var/lib/kubelet /var/lib/docker /var/lib/containerd /var/lib/rancher /var/spool/cron /var/db/dslocal
		/proc/kcore /proc/kmsg /proc/kallsyms /proc/sysrq-trigger /etc/docker/key.json /private/etc/master.passwd`) {
		m[n] = secret
	}
	for _, n := range strings.Fields(`/etc /bin /sbin /lib /lib32 /lib64 /usr /boot /proc /sys /run/systemd /var/spool/at /var/spool/anacron /root/.config /library/launchdaemons /system /efi`) {
		m[n] = startup
	}
	return m
}()

// disks are the beginnings of names in /dev that stand for a disk or for memory.
var disks = strings.Fields("sd hd vd xvd nvme mmcblk dm- mapper loop md disk mem kmem port sr fd0 nbd zd mtd bus/usb raw kmsg zvol rdisk")

// canonical spells a path in one way: $HOME is ~, ../ at the beginning leads to
// the root, /proc/1/root is the root too.
func canonical(p string) string {
	for _, home := range []string{"${HOME}", "$HOME"} {
		if rest, ok := strings.CutPrefix(p, home); ok {
			p = "~" + rest
		}
	}
	if p == "" {
		return ""
	}
	p = path.Clean(p)
	for cut := false; ; cut = true {
		rest, ok := strings.CutPrefix(p, "../")
		if !ok {
			if cut {
				p = "/" + p
			}
			break
		}
		p = rest
	}
	for strings.HasPrefix(p, "/proc/") {
		_, rest, ok := strings.Cut(p[len("/proc/"):], "/")
		inner, isRoot := strings.CutPrefix(rest, "root")
		if !ok || !isRoot || inner != "" && inner[0] != '/' {
			break
		}
		p = path.Clean("/" + inner)
	}
	return strings.TrimPrefix(p, "/private")
}

// placeOf says what a path leads to. It knows names, not what is on the disk.
func placeOf(p string) place {
	if strings.IndexByte(p, '.') < 0 && strings.IndexByte(p, '/') < 0 && !strings.HasPrefix(p, "id_") && !strings.HasPrefix(p, "~") {
		return names[p]
	}
	p = strings.ToLower(canonical(p))
	found := nowhere
	if strings.HasPrefix(p, "/") {
		found = absolute(p)
	}
	before := ""
	for rest := strings.TrimPrefix(p, "/"); rest != ""; {
		name, after, _ := strings.Cut(rest, "/")
		kind := names[name]
		if before != "" {
			kind = max(kind, names[before+"/"+name])
		}
		if name == ".ssh" {
			kind = max(kind, inSSH(after))
			if isPublicKey(after) {
				kind = startup
			}
		}
		if strings.HasPrefix(name, ".env.") && !isTemplate(name) || strings.HasSuffix(name, ".pem") && strings.Contains(name, "key") {
			kind = max(kind, private)
		}
		found, before, rest = max(found, kind), name, after
	}
	return found
}

func isTemplate(name string) bool {
	return name == ".env.example" || name == ".env.sample" || name == ".env.template" || name == ".env.dist"
}

// isPublicKey: what lies beside the keys and may be read.
func isPublicKey(name string) bool {
	return strings.HasSuffix(name, ".pub") || strings.HasPrefix(name, "known_hosts")
}

func inSSH(name string) place {
	if isPublicKey(name) {
		return startup
	}
	return secret
}

func absolute(p string) place {
	if name, ok := strings.CutPrefix(p, "/dev/"); ok {
		return inDev(name)
	}
	if rest, ok := strings.CutPrefix(p, "/proc/"); ok {
		if _, name, ok := strings.Cut(rest, "/"); ok {
			switch first, _, _ := strings.Cut(name, "/"); first {
			case "environ", "mem", "maps", "auxv", "fd", "map_files", "cwd", "task":
				if !strings.HasPrefix(p, "/proc/self/fd/") {
					return secret
				}
			}
		}
	}
	if strings.HasPrefix(p, "/etc/ssh/ssh_host_") && !strings.HasSuffix(p, ".pub") {
		return secret
	}
	if strings.HasPrefix(p, "/etc/cron") || strings.HasPrefix(p, "/etc/ld.so") {
		return startup
	}
	found := nowhere
	for i := 1; i <= len(p); i++ {
		if i == len(p) || p[i] == '/' {
			found = max(found, roots[p[:i]])
		}
	}
	return found
}

func inDev(name string) place {
	for _, d := range disks {
		if strings.HasPrefix(name, d) {
			return device
		}
	}
	return nowhere
}

// samples are what patterns are held against: one file for each kind of secret.
var samples = strings.Fields(`/etc/shadow /etc/gshadow /etc/passwd /etc/sudoers /proc/self/environ /proc/1/environ ~/.ssh/id_rsa ~/.ssh/id_ed25519 ~/.ssh/authorized_keys
	~/.aws/credentials ~/.netrc ~/.git-credentials ~/.docker/config.json ~/.kube/config ~/.bash_history ~/.gnupg/secring.gpg ~/.pgpass /run/secrets/token /var/run/secrets/token
	~/.config/gcloud/credentials.db ~/.env ~/.bashrc /dev/sda /dev/nvme0n1 /dev/mem /etc/ssh/ssh_host_rsa_key /var/spool/cron/root`)

// patternPlace says what a pattern may select. Unknown parts match anything.
func patternPlace(p string) place {
	p = strings.ToLower(canonical(strings.ReplaceAll(p, mark, "*")))
	for _, home := range []string{"/root/", "/home/*/", "/users/*/", "/home/?*/"} {
		if rest, ok := strings.CutPrefix(p, home); ok {
			p = "~/" + rest
		}
	}
	parts := strings.Split(p, "/")
	anchored := parts[0] == "" || parts[0] == "~"
	if !anchored && strings.Trim(parts[len(parts)-1], "*?.[]") == "" {
		return nowhere // says nothing about which file
	}
	found := nowhere
	for _, s := range samples {
		if matches(parts, strings.Split(s, "/"), anchored) {
			found = max(found, placeOf(s))
		}
	}
	return found
}

func matches(pattern, sample []string, anchored bool) bool {
	if anchored && len(pattern) != len(sample) || len(pattern) > len(sample) {
		return false
	}
	sample = sample[len(sample)-len(pattern):]
	for i, p := range pattern {
		if strings.HasPrefix(sample[i], ".") && !strings.HasPrefix(p, ".") && !strings.HasPrefix(p, "[") {
			return false // a pattern does not select hidden names
		}
		if ok, err := path.Match(p, sample[i]); err == nil && !ok {
			return false
		}
	}
	return true
}
