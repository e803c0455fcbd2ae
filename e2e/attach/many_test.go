package attach

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A container with a whole routing table. The answers to that many requests are more than a netlink socket holds: those
// that are too many the kernel throws away, and who waits for them waits forever.
func TestManyRoutes(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bridge(t, "br0", "10.7.0.1/16")
		pid := stranger(t)
		clean := view(t, pid)
		for _, what := range []string{"--route 10.%d.%d.0/24,10.7.0.1", "--ip 10.%d.%d.1/24"} {
			args := fmt.Sprintf("attach --pid %d --bridge br0 --ip 10.7.0.2/16", pid)
			const many = 1000
			for i := range many {
				args += " " + fmt.Sprintf(what, 100+i/250, i%250)
			}
			cmd, out := launch(t, args)
			var err error
			ended := make(chan struct{})
			go func() {
				err = cmd.Wait()
				close(ended)
			}()
			select {
			case <-ended:
				if err != nil {
					t.Fatalf("%s: %v\n%s", what, err, out)
				}
			case <-time.After(20 * time.Second):
				for _, p := range nsnets(t) {
					_ = syscall.Kill(p, syscall.SIGKILL)
				}
				<-ended
				must(t, "detach --pid %d --all", pid)
				t.Fatalf("%s: not within 20 s", what)
			}
			seen := ip(t, pid, "-4 route show dev eth1") + ip(t, pid, "-oneline addr show dev eth1")
			if n := strings.Count(seen, "\n"); n < many {
				t.Errorf("%s: %d lines of addresses and routes", what, n)
			}
			must(t, "detach --pid %d --all", pid)
			same(t, what+", after detach", clean, view(t, pid))
		}
	})
}
