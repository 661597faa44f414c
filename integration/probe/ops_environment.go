package main

import (
	"os"
	"slices"
	"strings"
)

// environmentOps report names of variables, never a value.
func environmentOps() []op {
	named := func(name string, severe bool, match func(key, value string) bool) op {
		return op{name: "environment." + name, severe: severe, run: func() outcome { return allowedList(variables(match), "none") }}
	}
	return []op{
		named("secrets", true, func(k, v string) bool {
			return v != "" && containsAny(k, "TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "CREDENTIAL", "PRIVATE_KEY")
		}),
		named("cloud", true, func(k, _ string) bool { return hasAnyPrefix(k, "AWS_", "AZURE_", "GOOGLE_", "GCP_", "ALIBABA_") }),
		named("agents", true, func(k, _ string) bool {
			return slices.Contains([]string{"SSH_AUTH_SOCK", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS", "XAUTHORITY", "DISPLAY", "WAYLAND_DISPLAY"}, k)
		}),
		named("orchestrator", false, func(k, _ string) bool {
			return hasAnyPrefix(k, "KUBERNETES_", "DOCKER_", "CONTAINERD_", "NOTIFY_SOCKET", "LISTEN_FDS")
		}),
		named("session", false, func(k, _ string) bool { return hasAnyPrefix(k, "SSH_", "SUDO_", "XDG_", "LOGNAME", "MAIL") }),
		named("host-paths", false, func(k, v string) bool {
			return k != "HOME" && containsAny(v, "/home/", "/Users/", "/var/lib/docker", "/var/lib/containerd")
		}),
		named("credentials-in-urls", true, func(_, v string) bool {
			_, rest, ok := strings.Cut(v, "://")
			user, _, at := strings.Cut(rest, "@")
			return ok && at && strings.Contains(user, ":") && !strings.Contains(user, "/")
		}),
		named("loader", false, func(k, _ string) bool {
			return hasAnyPrefix(k, "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "NODE_OPTIONS", "PYTHONPATH")
		}),
	}
}

func variables(match func(key, value string) bool) []string {
	var found []string
	for _, kv := range os.Environ() {
		if k, v, _ := strings.Cut(kv, "="); match(k, v) {
			found = append(found, k)
		}
	}
	return found
}

func containsAny(s string, subs ...string) bool {
	return slices.ContainsFunc(subs, func(sub string) bool { return strings.Contains(s, sub) })
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}
