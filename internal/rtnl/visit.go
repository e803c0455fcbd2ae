package rtnl

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Visit calls each with a socket in every one of n network namespaces, of which open gives the descriptors
// and which it closes; -1 is the caller's own. It works on all processors, each of which goes from
// one namespace to the next without coming back in between, and it returns the first error of any.
// What the kernel refuses comes without its words unless Explain asks for them. setns(2).
func Visit(n int, open func(i int) (fd int, err error), each func(i int, c *Conn) error) error {
	var next atomic.Int64
	var failed atomic.Bool
	workers := min(runtime.NumCPU(), n)
	errs := make(chan error, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			runtime.LockOSThread()
			own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				errs <- fmt.Errorf("open the network namespace: %w", err)
				return
			}
			defer unix.Close(own)
			c := &Conn{fd: -1, events: -1, home: own, buf: make([]byte, 64<<10)}
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= n {
					break
				}
				if err := c.visit(i, own, open, each); err != nil {
					failed.Store(true)
					errs <- err
					break
				}
			}
			// A thread that cannot go back ends with its goroutine.
			if unix.Setns(own, unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// visit moves the thread and gives the connection a socket there.
func (c *Conn) visit(i, own int, open func(int) (int, error), each func(int, *Conn) error) error {
	ns, err := open(i)
	if err != nil {
		return err
	}
	at := ns
	if ns < 0 {
		at = own
	} else {
		defer unix.Close(ns)
	}
	if err := unix.Setns(at, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	if c.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	defer c.Close()
	return each(i, c)
}

// Explain has the kernel say in its own words why it refuses a request of a visit.
func (c *Conn) Explain() {
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
}
