package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

func TestExternalBridge(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.MustCommand(t, "ip", "link", "add", "hostbr", "type", "bridge")
		atEnd(t, "ip", "link", "del", "hostbr")
		testenv.MustCommand(t, "ip", "address", "add", "172.17.200.1/24", "dev", "hostbr")
		testenv.MustCommand(t, "ip", "link", "set", "hostbr", "up")
		const file = `
nodes: {a: {}, b: {}}
bridges: {hostbr: {external: true, address: 172.17.200.1/24}}
links:
  - endpoints: ["a:eth0", "hostbr"]
  - endpoints: ["b:eth0", "hostbr"]
`
		r := startText(t, file)
		r.ping("a", "b")
		r.ping("b", "172.17.200.1")
		pingFromHost(t, "172.17.200.2")
		testenv.MustCommand(t, "ip", "link", "del", "hostbr")
		again := writeFile(t, t.TempDir(), "lab.yaml", file)
		if got := testenv.Run(t, "plan", again, "--name", r.name); got.Code != 10 || !strings.Contains(got.Stdout, "is not a port of hostbr") || !strings.Contains(got.Stdout, "the host's bridge is gone") {
			t.Errorf("plan without the host's bridge: %+v", got)
		}
		if got := testenv.Run(t, "up", again, "--name", r.name); got.Code != 4 || !strings.Contains(got.Stderr, "create it") {
			t.Errorf("up without the host's bridge: %+v", got)
		}
		testenv.MustCommand(t, "ip", "link", "add", "hostbr", "type", "bridge")
		testenv.MustCommand(t, "ip", "address", "add", "172.17.200.1/24", "dev", "hostbr")
		testenv.MustCommand(t, "ip", "link", "set", "hostbr", "up")
		testenv.Must(t, "up", again, "--name", r.name)
		r.ping("a", "b")
		testenv.Must(t, "down", r.name)
		if got := testenv.MustCommand(t, "ip", "-o", "link", "show", "master", "hostbr"); got != "" {
			t.Errorf("after down the host's bridge has ports: %s", got)
		}
		testenv.MustCommand(t, "ip", "link", "show", "hostbr")
		missing := writeFile(t, t.TempDir(), "lab.yaml", strings.ReplaceAll(file, "hostbr", "nobr"))
		alike := func(what string, code int) {
			t.Helper()
			up := testenv.Run(t, "up", missing, "--name", r.name)
			if up.Code != code || !strings.Contains(up.Stderr, "nobr") {
				t.Errorf("up with a bridge %s: exit code %d, %s", what, up.Code, up.Stderr)
			}
			for _, args := range [][]string{{"plan"}, {"up", "--dry-run"}} {
				if got := testenv.Run(t, append(args, missing, "--name", r.name)...); got.Code != up.Code || got.Stderr == "" || !strings.HasSuffix(up.Stderr, got.Stderr) || got.Stdout != "" {
					t.Errorf("%v with a bridge %s: %+v, and up: %s", args, what, got, up.Stderr)
				}
			}
		}
		alike("that the host has not", 4)
		testenv.MustCommand(t, "ip", "link", "add", "nobr", "type", "bridge")
		atEnd(t, "ip", "link", "del", "nobr")
		alike("that is down", 1)
	})
}

func TestBindsAndTmpfs(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, d := range []string{"ro", "rw", "idmap"} {
			if err := os.Mkdir(dir+"/"+d, 0o755); err != nil {
				t.Fatal(err)
			}
			writeFile(t, dir+"/"+d, "file", d)
			if err := os.Chmod(dir+"/"+d, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		r := start(t, writeFile(t, dir, "lab.yaml", `
nodes:
  n:
    binds: ["./ro:/b/ro", "./rw:/b/rw:rw", "./idmap:/b/idmap:rw,idmap", "./ro/file:/etc/e2e.conf"]
    tmpfs: [/cache, "/small:size=64KiB,mode=0700"]
`))
		if got := r.sh("n", "cat /b/ro/file /b/rw/file /b/idmap/file /etc/e2e.conf"); got != "rorwidmapro" {
			t.Errorf("bound files: %q", got)
		}
		r.refused("n", "echo x >/b/ro/file")
		r.refused("n", "touch /b/ro/new")
		r.sh("n", "echo x >/b/rw/new && echo x >/b/idmap/new")
		if uid := owner(t, dir+"/idmap/new"); uid != 0 {
			t.Errorf("/idmap/new belongs to uid %d of the host, not 0", uid)
		}
		if uid := owner(t, dir+"/rw/new"); uid < 1<<31 { // where no process's are
			t.Errorf("/rw/new belongs to uid %d of the host", uid)
		}
		if got := r.sh("n", "stat -c %u /b/ro/file /b/rw/file /b/idmap/file /b/idmap/new"); got != "0\n65534\n0\n0" {
			t.Errorf("owners inside: %q", got)
		}
		if got := r.sh("n", "stat -f -c %T /cache /small; stat -c %a /cache /small"); got != "tmpfs\ntmpfs\n1777\n700" {
			t.Errorf("tmpfs: %q", got)
		}
		r.refused("n", "head -c 1000000 /dev/zero >/small/big")
	})
}

func TestSysctls(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  n:
    sysctls:
      net.ipv4.ip_forward: 1
      net.ipv4.conf.eth0.rp_filter: 2
      net.ipv6.conf.eth0.hop_limit: 33
      net.ipv4.conf.all.log_martians: 1
  other: {}
bridges: {lan0: {subnet: 10.3.0.0/24}}
links: [{endpoints: ["n:eth0", "lan0"]}, {endpoints: ["other:eth0", "lan0"]}]
`)
		const read = "cd /proc/sys/net; cat ipv4/ip_forward ipv4/conf/eth0/rp_filter ipv6/conf/eth0/hop_limit ipv4/conf/all/log_martians"
		if got := r.sh("n", read); got != "1\n2\n33\n1" {
			t.Errorf("sysctls of n: %q", got)
		}
		if got := r.sh("other", "cat /proc/sys/net/ipv6/conf/eth0/hop_limit"); got != "64" {
			t.Errorf("hop limit of other: %s", got)
		}
	})
}

func TestUserOfTheCommand(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, `
nodes:
  n: {user: "nobody:daemon", env: {A: "1"}, workdir: /tmp, command: "id -un; id -gn; pwd; echo $A; touch /etc/x || exec sleep infinity"}
`)
		testenv.Eventually(t, 5e9, "the command has printed", func() bool {
			return strings.Contains(testenv.Must(t, "logs", r.name+"/n"), "Permission denied")
		})
		if got := testenv.Must(t, "logs", r.name+"/n"); !strings.HasPrefix(got, "nobody\ndaemon\n/tmp\n1\n") {
			t.Errorf("the command printed:\n%s", got)
		}
	})
}
