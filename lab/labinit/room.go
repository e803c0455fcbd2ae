package labinit

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Descriptors that the lab init holds for a client of a published port.
const (
	tcpCost = 2 // the client's socket and the one in the node
	udpCost = 1 // the one in the node
)

// mostRoom bounds the descriptors of all published ports of a lab where the process may have many: a connection takes memory, too.
const mostRoom = tcpCost * 20_000

// room is what descriptors the clients of all published ports may take. A port may have as many as it leaves to the others: one that strangers
// flood has half of all, two of them a third each, and any other port has room still. The rest of the process's descriptors is out of their reach:
// it is for commands to the lab, for its changes, and for what a changed lab holds more.
type room struct {
	mu    sync.Mutex
	freed *sync.Cond
	size  int
	used  int
}

func newRoom(size int) *room {
	r := &room{size: size}
	r.freed = sync.NewCond(&r.mu)
	return r
}

// place is one port's part of the room.
type place struct {
	of   *room
	used int  // guarded by the room's mutex, as is
	over bool // the port is closed
}

// take waits until there is room for so many descriptors. False: the port was closed.
func (p *place) take(n int) bool {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	for !p.over && !p.fits(n) {
		p.of.freed.Wait()
	}
	if !p.over {
		p.add(n)
	}
	return !p.over
}

// try takes so many descriptors if there is room for them.
func (p *place) try(n int) bool {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.over || !p.fits(n) {
		return false
	}
	p.add(n)
	return true
}

func (p *place) fits(n int) bool { return p.used+n <= p.of.size-p.of.used }

func (p *place) add(n int) {
	p.used += n
	p.of.used += n
}

// give gives back what was taken.
func (p *place) give(n int) {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.add(-n)
	p.of.freed.Broadcast()
}

// close ends the wait for room. What was taken is given back as before.
func (p *place) close() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.over = true
	p.of.freed.Broadcast()
}

// measure makes the room half of the descriptors that the process has left, or would have without clients of ports. Of ports there are so many;
// each may have one more client that waits for room. It is never too small for one client at a time.
func (r *room) measure(ports int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	left, err := spareDescriptors()
	if err != nil {
		return err
	}
	r.size = min(max((left+r.used-ports)/2, 2*tcpCost), mostRoom)
	r.freed.Broadcast()
	return nil
}

// spareDescriptors is how many more this process may open.
func spareDescriptors() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	open, err := openDescriptors()
	return int(min(limit.Cur, 1<<30)) - open, err
}

// openDescriptors counts those of this process.
func openDescriptors() (int, error) {
	f, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if n := int(st.Size()); n > 0 { // from Linux 6.2 on: proc_fd_getattr
		return n, nil
	}
	names, err := f.Readdirnames(-1)
	return len(names), err
}
