package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// handedDown prints all that a command can have of whoever has brought its lab up.
const handedDown = `
grep -E '^(Sig(Blk|Ign)|NoNewPrivs|Umask|Cpus_allowed|Groups|Cap(Amb|Inh|Bnd|Eff)|THP_enabled|Seccomp):' /proc/self/status
cat /proc/self/limits /proc/self/personality /proc/self/timerslack_ns
cut -d' ' -f19,40,41 /proc/self/stat # nice, real-time priority, policy
ionice -p $$
ls /proc/self/fd
env | sort
pwd
stat -c '%A %U %G %t %n' / /etc /run /tmp /var/log /dev /dev/shm /dev/null /etc/hosts /etc/hostname /t/t`

// Whoever calls nsnet, in whatever state, the lab comes up and is used as ever, and its nodes' commands get the same.
func TestWhateverTheCallerHandsDown(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "prlimit", "ionice", "chrt", "taskset", "setarch", "choom", "setpriv")
		dir, bin := t.TempDir(), testenv.Binary(t)
		name := testenv.LabName(t)
		file := writeFile(t, dir, "lab.yaml", `
name: `+name+`
nodes:
  a: {command: [sleep, infinity], tmpfs: [/t/t], dns: {nameservers: [10.1.1.1]}}
  b: {}
links:
  - {endpoints: ["a:eth0", "b:eth0"], addresses: [10.1.1.1/30, 10.1.1.2/30]}
`)
		target := exec.Command("sleep", "infinity")
		target.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if err := target.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = target.Process.Kill(), target.Wait() }()
		must := func(t *testing.T, caller, args string) string {
			r := testenv.Command(t, "sh", "-c", caller, bin, args)
			if r.Code != 0 {
				t.Fatalf("nsnet %s: exit code %d\n%s%s", args, r.Code, r.Stdout, r.Stderr)
			}
			return r.Stdout
		}
		want := ""
		for _, k := range []struct {
			name, caller string // a shell's script, of which $0 is nsnet and $1 its arguments
			all          bool   // each command is tried, and not only those that make something
		}{
			{"nothing", `exec $0 $1`, true},
			{"umask 077", `umask 077; exec $0 $1`, true},
			{"umask 027", `umask 027; exec $0 $1`, false},
			{"umask 007", `umask 007; exec $0 $1`, false},
			{"umask 777", `umask 777; exec $0 $1`, false},
			{"umask 000", `umask 000; exec $0 $1`, false},
			{"few open files", `exec prlimit --nofile=64: $0 $1`, true},
			{"files of no size", `exec prlimit --fsize=0: $0 $1`, true},
			{"small files", `exec prlimit --fsize=4096: $0 $1`, false},
			{"small stack", `exec prlimit --stack=262144: $0 $1`, false},
			{"stack without limit", `exec prlimit --stack=unlimited: $0 $1`, false},
			{"core files", `exec prlimit --core=unlimited: $0 $1`, false},
			{"little address space", `exec prlimit --as=2147483648: $0 $1`, false},
			{"few processes", `exec prlimit --nproc=3: $0 $1`, true},
			{"no locked memory", `exec prlimit --memlock=0: $0 $1`, false},
			{"a minute of processor time", `exec prlimit --cpu=60: $0 $1`, false},
			{"no message queues", `exec prlimit --msgqueue=0: $0 $1`, false},
			{"no pending signals", `exec prlimit --sigpending=0: $0 $1`, false},
			{"nohup", `exec nohup $0 $1`, false},
			{"ignored signals", `trap '' HUP INT QUIT PIPE TERM USR1 USR2 ALRM CHLD CONT TSTP WINCH URG; exec $0 $1`, true},
			{"every signal ignored", `exec env --ignore-signal $0 $1`, false},
			{"every signal blocked", `exec env --block-signal $0 $1`, true},
			{"nice", `exec nice -n 19 $0 $1`, false},
			{"idle input and output", `exec ionice -c 3 $0 $1`, false},
			{"idle class", `exec chrt -i 0 $0 $1`, false},
			{"batch class", `exec chrt -b 0 $0 $1`, false},
			{"one processor", `exec taskset -c $(sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\).*/\1/p' /proc/self/status) $0 $1`, false},
			{"first for the OOM killer", `exec choom -n 500 -- $0 $1`, false},
			{"no environment", `exec env -i $0 $1`, true},
			{"odd environment", `LANG=tr_TR.UTF-8 LC_ALL=C PATH= HOME= TMPDIR=/no/such LD_PRELOAD=/no/such.so GODEBUG=x=y GOMAXPROCS=0 exec $0 $1`, true},
			{"large environment", `A=$(head -c 100000 /dev/zero | tr '\0' a); export A B=$A C=$A; exec $0 $1`, false},
			{"no directory", `d=$(mktemp -d); cd $d; rmdir $d; exec $0 $1`, true},
			{"nothing to read", `exec $0 $1 <&-`, true},
			{"closed descriptors", `exec $0 $1 <&- >&- 2>&-`, true},
			{"more descriptors", `exec $0 $1 3</etc/passwd 4</ 5>/dev/null 9<>/dev/null`, false},
			{"no randomised addresses", `exec setarch -R $0 $1`, false},
			{"no new privileges", `exec setpriv --no-new-privs $0 $1`, false},
			{"a dying parent", `exec setpriv --pdeathsig kill $0 $1`, false},
			{"groups", `exec setpriv --groups 4,27,1000 $0 $1`, false},
			{"a session", `exec setsid --wait $0 $1`, false},
		} {
			t.Run(k.name, func(t *testing.T) {
				must(t, k.caller, "up "+file)
				defer func() {
					must(t, k.caller, "down "+name)
					if err := os.Remove("/run/netns"); err != nil { // the next up is to make it
						t.Error(err)
					}
				}()
				got := testenv.Must(t, "exec", name+"/a", "--", "sh", "-c", handedDown)
				got += "init's oom_score_adj " + readFile(t, fmt.Sprintf("/proc/%d/oom_score_adj", run{t, name}.node("b").PID))
				if want == "" {
					want = got
				}
				if diff := firstDifference(want, got); diff != "" {
					t.Errorf("a command gets otherwise: %s", diff)
				}
				for path, mode := range map[string]os.FileMode{
					"/run/netns": 0o755, "/etc/netns/" + name + ".a": 0o755, "/etc/netns/" + name + ".a/resolv.conf": 0o644, "/run/nsnet": 0o700,
				} {
					if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode {
						t.Errorf("%s: mode %v, error %v", path, st.Mode(), err)
					}
				}
				if !k.all {
					return
				}
				for _, args := range []string{
					"exec " + name + "/b -- true", "plan " + file, "up " + file, "restart " + name + "/a --time 0", "ps", "validate " + file,
					fmt.Sprintf("attach --pid %d --ip 10.2.0.2/32 --peer-ip 10.2.0.1/32", target.Process.Pid),
					fmt.Sprintf("detach --pid %d --all", target.Process.Pid), "doctor",
				} {
					must(t, k.caller, args)
				}
			})
		}
	})
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// firstDifference returns the first lines that differ, nothing for equal texts.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		switch {
		case i >= len(w):
			return fmt.Sprintf("%q beyond the end", g[i])
		case i >= len(g):
			return fmt.Sprintf("%q is missing", w[i])
		case w[i] != g[i]:
			return fmt.Sprintf("%q in place of %q", g[i], w[i])
		}
	}
	return ""
}

// What a caller has given up for good is told, and not that "something forbids this".
func TestRightsThatTheCallerHasGivenUp(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "setpriv")
		name := testenv.LabName(t)
		file := writeFile(t, t.TempDir(), "lab.yaml", "name: "+name+"\nnodes: {a: {nnp: false}}\n")
		for _, k := range []struct{ flag, want string }{
			{"--no-new-privs", "node a: needs root that may gain privileges"},
			{"--bounding-set=-sys_admin", "needs root with CAP_SYS_ADMIN"},
			{"--securebits=+noroot", "needs root with CAP_SYS_ADMIN"},
		} {
			r := testenv.Command(t, "setpriv", k.flag, testenv.Binary(t), "up", "--trust", file)
			if r.Code != 6 || !strings.Contains(r.Stderr, k.want) || !strings.Contains(r.Stderr, "whoever has started") {
				t.Errorf("%s: exit code %d, %s", k.flag, r.Code, r.Stderr)
				testenv.Run(t, "down", name)
			}
		}
	})
}
