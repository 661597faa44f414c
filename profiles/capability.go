package profiles

// capabilities are what the kernel asks for before it does these calls at all, whatever a
// filter says (capabilities(7)). Calls that need one for some arguments only are left out:
// of them nothing can be said by name.
var capabilities = map[string]string{
	"mount": "CAP_SYS_ADMIN", "umount2": "CAP_SYS_ADMIN", "pivot_root": "CAP_SYS_ADMIN", "move_mount": "CAP_SYS_ADMIN", "mount_setattr": "CAP_SYS_ADMIN",
	"fsopen": "CAP_SYS_ADMIN", "fsmount": "CAP_SYS_ADMIN", "fspick": "CAP_SYS_ADMIN",
	"setns": "CAP_SYS_ADMIN", "sethostname": "CAP_SYS_ADMIN", "setdomainname": "CAP_SYS_ADMIN", "swapon": "CAP_SYS_ADMIN", "swapoff": "CAP_SYS_ADMIN",
	"chroot": "CAP_SYS_CHROOT", "open_by_handle_at": "CAP_DAC_READ_SEARCH", "acct": "CAP_SYS_PACCT", "vhangup": "CAP_SYS_TTY_CONFIG",
	"init_module": "CAP_SYS_MODULE", "finit_module": "CAP_SYS_MODULE", "delete_module": "CAP_SYS_MODULE",
	"reboot": "CAP_SYS_BOOT", "kexec_load": "CAP_SYS_BOOT", "kexec_file_load": "CAP_SYS_BOOT",
	"settimeofday": "CAP_SYS_TIME", "clock_settime": "CAP_SYS_TIME",
}

// Needs is the capability without which the kernel refuses a call even where a profile lets
// it through; empty if there is none. No server has any.
func Needs(call string) string { return capabilities[call] }
