package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/internal/testenv"
)

// refusal is a machine that refuses something in the middle of an up.
type refusal struct {
	name    string
	text    string                     // topology; empty: mixed(6)
	prepare func(*testing.T, run)      // what the machine is like
	argv    func(up []string) []string // how nsnet is started; nil: as it is
	code    int
	want    []string
}

// FAULTS 5, 7, 8, 9, 14: an up that fails half-way says at what, and leaves nothing.
func TestUpFailsHalfWay(t *testing.T) {
	t.Parallel()
	prefix := func(argv ...string) func([]string) []string {
		return func(up []string) []string { return append(argv, up...) }
	}
	for _, tt := range []refusal{
		{
			name: "command not found",
			text: mixed(6) + "  - endpoints: [\"bad:eth0\", lan0]\n", code: 127,
			prepare: func(t *testing.T, r run) {
				edit(t, r.file, "nodes:\n", "nodes:\n  bad: {command: [no-such-program, -v]}\n")
			},
			want: []string{"node bad: run no-such-program: command not found", "name a program"},
		}, {
			name: "command not executable", text: "name: NAME\nnodes: {good: {}, bad: {command: [/etc/passwd]}}\n", code: 126,
			want: []string{"node bad: run /etc/passwd: it cannot be executed: permission denied; make it executable with chmod a+x, or"},
		}, {
			name: "unknown user", text: "name: NAME\nnodes: {good: {}, bad: {command: [\"true\"], user: nobody-here}}\n", code: 126,
			want: []string{`node bad: run the command: it cannot be executed: look up "nobody-here": no such user; name a user and a group`},
		}, {
			name: "no working directory", text: "name: NAME\nnodes: {good: {}, bad: {command: [\"true\"], workdir: /no/such}}\n", code: 126,
			want: []string{"node bad: run the command in /no/such: it cannot be executed: this directory does not exist; make it, or name a working directory"},
		}, {
			name: "sysctl that is not there", text: "name: NAME\nnodes: {good: {}, bad: {sysctls: {net.ipv4.no_such_thing: 1}}}\n", code: 7,
			want: []string{"node bad", "net.ipv4.no_such_thing"},
		}, {
			name: "sysctl with a wrong value", text: "name: NAME\nnodes: {good: {}, bad: {sysctls: {net.ipv4.ip_default_ttl: wat}}}\n", code: 1,
			want: []string{"node bad", "net.ipv4.ip_default_ttl", "invalid argument; give it a value that the kernel takes"},
		}, {
			name: "bind over a file of the image", text: "name: NAME\nnodes: {bad: {binds: [\".:/etc/passwd\"]}}\n", code: 1,
			want: []string{"node bad", "/etc/passwd", "not a directory"},
		}, {
			name: "published port in use", text: "name: NAME\nnodes: {web: {ports: [\"127.0.0.1:7080:80\"]}}\n", code: 5,
			prepare: func(t *testing.T, _ run) {
				l, err := net.Listen("tcp", "127.0.0.1:7080")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = l.Close() })
			},
			want: []string{"web", "127.0.0.1:7080", "in use"},
		}, {
			name: "published on an address that is not the host's", text: "name: NAME\nnodes: {web: {ports: [\"192.0.2.9:7080:80\"]}}\n", code: 1,
			want: []string{"web", "192.0.2.9:7080", "cannot assign"},
		}, {
			name: "FAULT 09 leg's name taken", code: 5,
			prepare: func(t *testing.T, r run) {
				leg := bridge.LegName(r.name, "lan1")
				testenv.MustCommand(t, "ip", "link", "add", leg, "type", "bridge")
				atEnd(t, "ip", "link", "del", leg)
			},
			want: []string{"remove the interface"},
		}, {
			name: "name of the network namespace taken", code: 5,
			prepare: func(t *testing.T, r run) {
				testenv.MustCommand(t, "ip", "netns", "add", r.name+".n3")
				atEnd(t, "umount", "/run/netns")
				atEnd(t, "ip", "netns", "del", r.name+".n3")
			},
			want: []string{"/run/netns/", ".n3", "--name"},
		}, {
			name: "resolv.conf of somebody else", code: 5,
			prepare: func(t *testing.T, r run) {
				dir := "/etc/netns/" + r.name + ".n2"
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.RemoveAll(dir) })
				writeFile(t, dir+"/resolv.conf", "nameserver 192.0.2.1\n")
			},
			want: []string{"node n2", "resolv.conf", "not made by nsnet", "--name"},
		}, {
			name: "FAULT 13 no control groups", code: 7,
			argv: prefix("unshare", "--mount", "sh", "-c", `umount --recursive --lazy /sys/fs/cgroup && exec "$@"`, "sh"),
			want: []string{"node n0: limits: not supported by this kernel", "memory controller"},
		}, {
			name: "image on a file system without idmapped mounts", text: "name: NAME\nnodes: {bad: {image: \"dir:/proc/tty\"}}\n", code: 7,
			want: []string{"node bad", "not supported by this kernel", "idmapped mounts", "/proc/tty", "Linux 6.3"},
		}, {
			name: "root of a user namespace", code: 6, argv: prefix("unshare", "--user", "--map-root-user"),
			want: []string{"needs root of the machine", "user namespace"},
		}, {
			name: "FAULT 14 read-only /run", code: 1,
			prepare: func(t *testing.T, _ run) {
				testenv.MustCommand(t, "mount", "-o", "bind", "/run", "/run")
				atEnd(t, "umount", "/run")
				testenv.MustCommand(t, "mount", "-o", "remount,bind,ro", "/run")
			},
			want: []string{"/run/nsnet", "read-only file system", "has to write below /run"},
		}, {
			name: "FAULT 05 full /run", code: 1,
			prepare: func(t *testing.T, _ run) {
				testenv.MustCommand(t, "mount", "-t", "tmpfs", "-o", "size=4k", "small", "/run")
				atEnd(t, "umount", "/run")
			},
			want: []string{"no space left on device", "record", "make room"},
		}, {
			name: "FAULT 05 few inodes in /run", code: 1,
			prepare: func(t *testing.T, _ run) {
				testenv.MustCommand(t, "mount", "-t", "tmpfs", "-o", "nr_inodes=6", "small", "/run")
				atEnd(t, "umount", "/run")
			},
			want: []string{"no space left on device"},
		}, {
			name: "FAULT 07 64 descriptors", text: mixed(50), code: 1, argv: prefix("prlimit", "--nofile=64:64"),
			want: []string{"too many open files", "ulimit -n"},
		}, {
			name: "FAULT 07 soft limit of 64 descriptors", text: mixed(50), argv: prefix("prlimit", "--nofile=64:"),
		}, {
			name: "FAULT 08 too few processes for so many nodes", text: mixed(20), code: 1, argv: inPidsGroup, prepare: pidsGroup(30),
			want: []string{"limit of processes", "to start 20 nodes", "pids.max of /sys/fs/cgroup/", "/nsnet-faults-", "is 30", "; raise"},
		}, {
			name: "FAULT 08 too few processes for commands", text: mixed(20), code: 1, argv: inPidsGroup, prepare: pidsGroup(60),
			want: []string{"limit of processes", "to start 20 nodes", "is 60", "; raise"},
		}, {
			name: "FAULT 08 ulimit -u", text: mixed(20), code: 1, argv: prefix("prlimit", "--nproc=30"),
			want: []string{"limit of processes", "to start 20 nodes", "ulimit -u is 30", "; raise"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				if tt.text == "" {
					tt.text = mixed(6)
				}
				r := define(t, tt.text)
				if tt.prepare != nil {
					tt.prepare(t, r)
				}
				before := snapshot(t)
				up := []string{testenv.Binary(t), "up", "--trust", r.file}
				if tt.argv != nil {
					up = tt.argv(up)
				}
				res := testenv.Command(t, up...)
				fails(t, res, tt.code, tt.want...)
				if tt.code == 0 {
					testenv.Must(t, "down", r.name)
				} else if !strings.Contains(res.Stderr, "nsnet: lab "+r.name+": ") {
					t.Errorf("the message does not name the lab:\n%s", res.Stderr)
				}
				t.Log(res.Stderr)
				nothingLeft(t, before, tt.name)
			})
		})
	}
}

// FAULTS 8: whatever the limit, up works and so do the nodes' commands, or says what it lacks and leaves nothing. Where the Go
// runtime gets no thread, it ends up like a kill -9: the next command removes what is left.
func TestFault08_AnyLimitOfProcesses(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, "name: NAME\nbridges:\n  lan0: {address: 10.80.0.1/24, nat: true}\nnodes: {a: {}, b: {}, c: {command: [sleep, infinity]}}\nlinks: [{endpoints: [\"a:eth0\", lan0]}]\n")
		pidsGroup(1)(t, r)
		before := snapshot(t)
		codes := map[int]int{}
		for limit := 5; limit <= 45; limit += 2 {
			writeFile(t, pidsDir()+"/pids.max", strconv.Itoa(limit))
			// More threads than a small machine's, as many as a large one's.
			for _, procs := range []string{"2", "32"} {
				res := testenv.Command(t, inPidsGroup([]string{"env", "GOMAXPROCS=" + procs, testenv.Binary(t), "up", "--trust", r.file})...)
				when := fmt.Sprintf("limit %d, GOMAXPROCS %s, exit code %d", limit, procs, res.Code)
				codes[res.Code]++
				switch res.Code {
				case 0:
					r.sh("c", "for i in 1 2 3 4 5 6 7 8 9; do pidof sleep && exit; sleep 0.1; done; exit 1")
					testenv.Must(t, "down", r.name)
				case 1:
					fails(t, res, 1, "limit of processes", "raise that of the control group")
				case 2:
					if !strings.Contains(res.Stderr, "failed to create new OS thread") {
						t.Errorf("%s:\n%s", when, res.Stderr)
					}
					testenv.Must(t, "ps")
				default:
					t.Errorf("%s:\n%s", when, res.Stderr)
				}
				nothingLeft(t, before, when)
			}
		}
		t.Log("exit codes:", codes)
		if codes[0] == 0 || codes[1] == 0 {
			t.Errorf("the limits reach too far: %v", codes)
		}
	})
}

// pidsDir is a control group for few processes, of this isolated test.
func pidsDir() string {
	root := "/sys/fs/cgroup/pids" // of version 1
	if _, err := os.Stat(root + "/cgroup.procs"); err != nil {
		root = "/sys/fs/cgroup"
	}
	return root + "/nsnet-faults-" + os.Getenv("NSNET_TESTENV_TOKEN")
}

func inPidsGroup(up []string) []string {
	return append([]string{"sh", "-c", `echo $$ >"$0"/cgroup.procs && exec "$@"`, pidsDir()}, up...)
}

// pidsGroup makes the group with this limit.
func pidsGroup(limit int) func(*testing.T, run) {
	return func(t *testing.T, _ run) {
		if err := os.Mkdir(pidsDir(), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			testenv.Eventually(t, 3*time.Second, "its processes are gone", func() bool { return os.Remove(pidsDir()) == nil })
		})
		if _, err := os.Stat(pidsDir() + "/pids.max"); err != nil {
			testenv.Miss(t, "needs the pids controller of control groups")
		}
		writeFile(t, pidsDir()+"/pids.max", strconv.Itoa(limit))
	}
}

// atEnd runs a command at the test's end.
func atEnd(t *testing.T, argv ...string) {
	t.Helper()
	t.Cleanup(func() {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(argv, " "), err, out)
		}
	})
}

func edit(t *testing.T, path, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, strings.Replace(string(b), from, to, 1))
}

// A bind's source that comes and goes while up is at work.
func TestBindSourceVanishes(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := snapshot(t)
		r := define(t, "name: NAME\nnodes: {a: {}, b: {binds: [\"./data:/mnt\"]}}\n")
		data := filepath.Join(filepath.Dir(r.file), "data")
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					_ = os.Mkdir(data, 0o755)
					time.Sleep(30 * time.Millisecond)
					_ = unix.Rmdir(data)
					time.Sleep(30 * time.Millisecond)
				}
			}
		}()
		codes := map[int]int{}
		for range 20 {
			res := testenv.Run(t, "up", r.file)
			codes[res.Code]++
			switch res.Code {
			case 0:
				testenv.Must(t, "down", r.name)
			case 1:
				fails(t, res, 1, "node b", data)
			case 3:
				fails(t, res, 3, "./data")
			default:
				t.Errorf("exit code %d\n%s", res.Code, res.Stderr)
			}
			nothingLeft(t, before, "up of a bind that comes and goes")
		}
		close(stop)
		<-stopped
		_ = unix.Rmdir(data)
		t.Log(codes)
	})
}
