package labinit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/announce"
	"github.com/nsnet/nsnet/internal/pidfd"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// readyTimeout bounds the wait for carriers and forwarding ports.
const readyTimeout = 30 * time.Second

// labInit is one lab's init.
type labInit struct {
	base    uint32 // first id of the first node, as this process sees ids
	owner   uint32 // id that the first node is counted for, and the others' follow
	slots   int    // how many nodes there are ids for
	next    int    // behind the slot that was given last
	exe     *os.File
	fabric  *os.File    // the network namespace of this process, open for whom its name on the host leads here
	ipv6    bool        // new network namespaces have IPv6
	sysctls [][2]string // what every node has to set

	strangers map[string][]announce.Interface // of nodes, on bridges of the host

	super    supervisor
	changing sync.Mutex // held by who adds or removes nodes, ports or the table
	quiet    quiet
	room     *room // of the ports' clients
	pieces   pieces

	mu      sync.Mutex // guards what follows
	nodes   []*node
	ports   map[string]port // by key
	hosts   []commonHosts   // of common layers
	round   int             // nodes of one round were started together, and have common layers of their own
	kept    *os.File        // locks what nodes keep, where that came with a change
	table   bool            // whether TableFD is the socket of the lab's table, which stays for as long as that is open
	transit map[string]bool // families of which there is one of a table for what the host forwards between others
	others  *os.File        // tells when that for IPv4 is to be given up

	numbered int // how many ids of network namespaces were given
}

// commonHosts is the /etc/hosts that nodes of one round have in common, open for who is to change it.
type commonHosts struct {
	*os.File
	round int
}

// node is a running node.
type node struct {
	name    string
	slot    int
	netnsID int // see number
	round   int // see labInit
	setup   proto.NodeSetup
	proc    *container.Process
	logs    []int
	host    int // pid of its init, as up saw it

	uppers     []int // writable layers, for diff and commit
	upperPaths []string
	held       []int    // locks of what its unions write, then pipes of the servers of
	served     []string // these of its unions

	supervised // guarded by the supervisor's mutex

	out     outbox // to its init, once it is prepared
	insides insides

	mu       sync.Mutex // guards what follows
	spec     topology.Node
	memory   memory
	ownHosts bool // its /etc/hosts is not its common layer's
	fresh    bool // its command has not been started yet
	dead     bool
	paused   bool
}

func (l *labInit) node(name string) *node {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.nodes, func(n *node) bool { return n.name == name })
	if i < 0 {
		return nil
	}
	return l.nodes[i]
}

// all is the nodes there are, in the order of the file.
func (l *labInit) all() []*node {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.nodes)
}

// Open opens the network namespace of a node, or the fabric, which is this process's own. wiring.Namespaces.
func (l *labInit) Open(p wiring.Place) (int, error) {
	if p == wiring.Fabric {
		return -1, nil
	}
	n := l.node(string(p))
	if n == nil {
		return -1, fmt.Errorf("no node %s", string(p))
	}
	return unix.FcntlInt(n.proc.Netns.Fd(), unix.F_DUPFD_CLOEXEC, 0)
}

// build makes the lab up to the point where only its commands are missing.
func (l *labInit) build(s *session, spec *proto.LabSpec) error {
	l.base, l.owner, l.slots = spec.Base, spec.Owner, spec.Slots
	if err := boundNodes(spec.UserNS); err != nil {
		return err
	}
	l.sysctls = unlike(container.DefaultSysctls())
	l.ipv6 = hasIPv6()
	if err := quietFabric(); err != nil {
		return err
	}
	want := wiring.Of(&spec.Lab, l.ipv6)
	changes, err := wiring.Plan(want, nil, nil, nil)
	if err != nil {
		return &buildError{op: "plan the wires", err: err}
	}
	steps := wiring.Inside(wiring.Steps(changes))
	apply := wiring.Applier{Namespaces: l, Inside: true, Progress: func(done, total int) {
		_ = s.send(proto.Progress, proto.ProgressReport{Name: "create links", Done: done, Total: total})
	}}
	bridges, rest := wiring.Bridges(steps)
	if err := apply.Create(bridges); err != nil {
		return wireError(err)
	}
	if l.fabric, err = os.Open("/proc/self/ns/net"); err != nil {
		return &buildError{op: "open the fabric", err: err}
	}
	if err := s.send(proto.Fabric, struct{}{}, int(l.fabric.Fd())); err != nil {
		return err
	}
	if _, _, err := l.boot(s, spec.Lab.Nodes, spec.Nodes, &spec.Common, false); err != nil {
		return err
	}
	if err := apply.Create(rest); err != nil {
		return wireError(err)
	}
	if err := s.send(proto.Booted, l.status()); err != nil {
		return err
	}
	if _, err := await(s, s.wired); err != nil {
		return err
	}
	if err := apply.Configure(steps); err != nil {
		return wireError(err)
	}
	if err := apply.Neighbours(want, false); err != nil {
		return wireError(err)
	}
	if err := l.perInterface(); err != nil {
		return err
	}
	if err := apply.Ready(context.Background(), want, steps, readyTimeout); err != nil {
		return wireError(err)
	}
	l.strangers = wiring.Strangers(want)
	return s.send(proto.Built, l.status())
}

// wireError says which node an error of the wiring is of.
func wireError(err error) error {
	b := &buildError{op: "wire the lab", err: err}
	if e, ok := err.(*wiring.Error); ok { //nolint:errorlint // it is wrapped by nobody
		b.op, b.object, b.err = e.Op, e.Object, e.Err
		if e.Place != wiring.Fabric && e.Place != wiring.Host {
			b.node = string(e.Place)
		}
	}
	return b
}

// perInterface sets the sysctls that name an interface, which is there by now.
func (l *labInit) perInterface() error {
	for _, n := range l.all() {
		post := container.PostProgram(&n.spec)
		if len(post) == 0 {
			continue
		}
		if err := n.proc.Run(wire.Post, post); err != nil {
			return &buildError{op: "configure", node: n.name, err: err}
		}
	}
	return nil
}

// boot starts the inits of nodes and has each prepare its node, as many at a time as
// there is work for the processors. It returns those that it has started, which are the lab's when all are there. Partly, those that
// cannot be prepared are ended and told of as lost, and the others are the lab's.
func (l *labInit) boot(s *session, specs []topology.Node, setups []proto.NodeSetup, common *proto.Common, partly bool) (started []*node, lost []proto.Failure, err error) {
	total := len(specs)
	if total == 0 {
		return nil, nil, nil
	}
	slots, err := l.free(total)
	if err != nil {
		return nil, nil, err
	}
	spawner, err := container.NewSpawner(l.exe)
	if err != nil {
		return nil, nil, &buildError{op: "start nodes", err: err}
	}
	defer spawner.Close()
	nodes, failed := make([]*node, total), make([]error, total)
	running := make(chan struct{}, 8*runtime.NumCPU())
	errs := make(chan error, total+1)
	var stop atomic.Bool
	var done atomic.Int64
	var wg sync.WaitGroup
	for i := range total {
		if stop.Load() {
			break
		}
		running <- struct{}{}
		n := &node{name: specs[i].Name, slot: slots[i], round: l.round, setup: setups[i], spec: specs[i], fresh: true, ownHosts: setups[i].Hosts != nil || setups[i].Assembled,
			supervised: newSupervised(&specs[i])}
		if err := l.spawn(s, spawner, i, n); err != nil {
			errs <- err
			break
		}
		nodes[i] = n
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-running }()
			if err := l.prepare(s, i, n, common); err != nil && partly {
				failed[i] = err
				return
			} else if err != nil {
				stop.Store(true)
				errs <- err
				return
			}
			if d := int(done.Add(1)); d%50 == 0 || d == total {
				_ = s.send(proto.Progress, proto.ProgressReport{Name: "create nodes", Done: d, Total: total})
			}
		}()
	}
	wg.Wait()
	for i, n := range nodes {
		if failed[i] != nil {
			n.end()
			lost = append(lost, failure(failed[i]))
		} else if n != nil {
			started = append(started, n)
		}
	}
	select {
	case err := <-errs:
		return started, nil, err
	default:
	}
	if len(lost) > 0 && closed(s.ended) { // which is why
		return started, nil, io.EOF
	}
	if err := l.number(started); err != nil {
		return started, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = append(l.nodes, started...)
	return started, lost, nil
}

// free finds ranges of ids that no node has. One that a node had is taken when there are no fresh ones: files may belong to it.
func (l *labInit) free(n int) ([]int, error) {
	used := map[int]bool{}
	for _, o := range l.all() {
		used[o.slot] = true
	}
	var slots []int
	for i := 0; i < l.slots && len(slots) < n; i++ {
		if at := (l.next + i) % l.slots; !used[at] {
			slots = append(slots, at)
		}
	}
	if len(slots) < n {
		return nil, &buildError{op: "start nodes", err: fmt.Errorf("the lab was made with user ids for %d nodes, and has %d: take it down and up again to have %d more", l.slots, len(used), n)}
	}
	if n > 0 {
		l.next = slots[n-1] + 1
	}
	return slots, nil
}

// spawn clones the init of the i-th node and asks up for what it needs of the host.
func (l *labInit) spawn(s *session, sp *container.Spawner, i int, n *node) error {
	processes, err := processesOf(&n.spec)
	if err != nil {
		return &buildError{op: "look at the limit of processes", node: n.name, err: err}
	}
	n.setup.Made.Processes = processes
	p, err := sp.Spawn(container.Spawned{Name: n.name, Base: l.base + uint32(n.slot)*container.IDs, Owner: l.owner + uint32(n.slot),
		Processes: processes, Privileged: n.spec.Privileged})
	if err != nil {
		return &buildError{op: "start", node: n.name, err: err}
	}
	n.proc = p
	fds := []int{int(p.Pidfd.Fd())}
	if p.Userns != nil {
		fds = append(fds, int(p.Userns.Fd()))
		defer p.Userns.Close()
	}
	if err := s.send(proto.Node, proto.NodeIndex{Index: i, Slot: n.slot}, fds...); err != nil {
		n.end()
		return err
	}
	return nil
}

// prepare has a node's init prepare it.
func (l *labInit) prepare(s *session, i int, n *node, common *proto.Common) error {
	m, err := await(s, s.mountsOf(i))
	if err != nil {
		return &buildError{op: "prepare", node: n.name, err: err}
	}
	if m.lost {
		return &buildError{op: "prepare", node: n.name, err: errors.New("it has no mounts")}
	}
	n.host = m.pid
	setup := container.Setup{Caps: n.setup.Caps, Masks: common.Masks, Resolv: n.setup.Resolv, Hosts: n.setup.Hosts, Sysctls: l.sysctls, IPC: n.setup.IPC,
		Assembled: n.setup.Assembled, Tried: n.setup.Tried, Above: n.setup.Above, Layers: n.setup.Layers, Apart: n.setup.Apart, Kept: n.spec.Writable.Persist && !n.setup.Assembled,
		MaxSize: container.TmpfsSize(n.spec.Writable.Size)}
	if m.ipcSet {
		setup.IPC = nil
	}
	layers := setup.Mounts() + len(n.spec.Unions) + len(n.spec.Binds)
	if m.held < len(m.served) || len(m.fds) < layers+len(m.uppers)+m.held {
		closeAll(m.fds)
		return &buildError{op: "boot", node: n.name, err: fmt.Errorf("%d mounts for %d layers and binds", len(m.fds), layers)}
	}
	held := len(m.fds) - m.held
	last := held - len(m.uppers)
	n.logs, n.uppers, n.upperPaths, n.held = m.fds[layers:last], m.fds[last:held:held], m.uppers, m.fds[held:]
	n.served = m.served
	if m.charged && len(n.held) > len(n.served) {
		n.memory.count(n.held[0])
		n.held = n.held[1:]
	}
	if n.setup.Filter >= 0 {
		setup.Filter = common.Filters[n.setup.Filter]
	}
	steps := container.Binds(container.BootProgram(&n.spec, setup), &n.spec, setup, m.dirs)
	err = n.proc.Run(wire.Boot, steps, m.fds[:layers]...)
	closeAll(m.fds[:layers])
	if err != nil {
		return &buildError{op: "prepare", node: n.name, err: err}
	}
	for _, fd := range n.proc.Kept {
		n.uppers, n.upperPaths = append(n.uppers, fd), append(n.upperPaths, "/")
	}
	return nil
}

// endTime bounds the wait for the end of a node's processes, which nothing holds up but the kernel.
const endTime = 10 * time.Second

// end kills a node's init, with it all its processes, and waits until they are gone.
func (n *node) end() {
	var held []int
	defer func() { closeAll(held) }() // when nobody writes any more
	if fd, err := unix.FcntlInt(n.proc.Pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
		defer unix.Close(fd)
		defer func() { _, _ = pidfd.WaitFor(fd, endTime) }()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.proc.Kill()
	n.insides.end()
	closeAll(n.logs)
	closeAll(n.uppers)
	n.memory.close()
	held = n.held
	n.logs, n.uppers, n.upperPaths, n.held = nil, nil, nil, nil
	n.served = nil
}
