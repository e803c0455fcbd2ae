package e2e

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Shared memory of System V is no process's: nothing ends that gives it back. A node may have a quarter of the machine's, or as much as its limit of memory
// says, unless its file says otherwise, and it has no way to raise that.
func TestSharedMemoryIsBounded(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			t.Fatal(err)
		}
		quarter := int64(info.Totalram*uint64(info.Unit)) / 4
		r := startText(t, `nodes:
  a: {}
  limited: {limits: {memory: 16MiB}}
  wide: {limits: {memory: 16MiB}, sysctls: {kernel.shmall: 8192, kernel.msgmni: 99}}
`)
		const page = 65536 // a multiple of any
		for node, most := range map[string]int64{"a": quarter / page * page, "limited": 16 << 20, "wide": 8192 * int64(unix.Getpagesize())} {
			r.sh(node, fmt.Sprintf("ipcmk -M %d", most))
			got := r.exec(node, "ipcmk", "-M", fmt.Sprint(page))
			if got.Code == 0 || !strings.Contains(got.Stderr, "No space left") {
				t.Errorf("%s has more than %d bytes of shared memory: exit code %d, %s%s", node, most, got.Code, got.Stdout, got.Stderr)
			}
			got = r.exec(node, "sh", "-c", "echo -1 >/proc/sys/kernel/shmall")
			if got.Code == 0 || !strings.Contains(got.Stderr, "Read-only") {
				t.Errorf("%s raises its bound: exit code %d, %s", node, got.Code, got.Stderr)
			}
		}
		if got := r.sh("limited", "for i in $(seq 20); do ipcmk -Q; done 2>&1 | grep -c 'No space left'"); got != "4" {
			t.Errorf("of 20 queues %s were too many, not 4", got)
		}
		if got := r.sh("wide", "cat /proc/sys/kernel/msgmni"); got != "99" {
			t.Errorf("the file's bound of queues is %s", got)
		}
		if got := r.sh("limited", "cat /proc/sys/kernel/sem"); got != "32000\t65536\t500\t32000" {
			t.Errorf("semaphores are bounded by %q", got)
		}
	})
}
