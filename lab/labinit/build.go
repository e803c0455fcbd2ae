package labinit

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// Interface indexes are given, not asked for: bridges from firstBridge on, their ports
// from firstPort on, a node's interfaces from FirstInterface on (see Indexes). Below are those that the
// kernel makes in a new network namespace, lo and the fallback tunnels.
const (
	firstBridge    = 100
	firstPort      = 2000
	FirstInterface = 20
	// FarIndex is added where the other end is the host's, which the host numbers.
	FarIndex = 1 << 20
)

// readyTimeout bounds the wait for carriers and forwarding ports.
const readyTimeout = 30 * time.Second

// labInit is one lab's init.
type labInit struct {
	up        *container.Conn
	upMu      sync.Mutex // held while sending to up
	spec      proto.LabSpec
	exe       *os.File
	fabric    *rtnl.Conn
	sysctls   [][2]string // what every node has to set
	ipv6      bool        // new network namespaces have IPv6
	nodes     []*node
	committed atomic.Bool
	commit    chan commitment
	wired     chan struct{}
	mountsMu  sync.Mutex
	mounts    map[int]chan mountReply
}

// commitment is up's last word.
type commitment struct {
	spec proto.CommitSpec
	fds  []int
}

// mountReply is what up sent for a node: layers, binds and, for a command, logs.
type mountReply struct {
	fds  []int
	dirs []bool
}

// node is a running node.
type node struct {
	index int
	name  string
	proc  *container.Process
	logs  []int
	wires []wireEnd

	mu    sync.Mutex // guards what follows and sending to proc
	dead  bool
	state proto.NodeState
}

// wireEnd is an interface of a node.
type wireEnd struct {
	end   topology.Endpoint
	index int
	pair  bool // the other end is a node's
}

func (l *labInit) send(k wire.Kind, v any, fds ...int) error {
	l.upMu.Lock()
	defer l.upMu.Unlock()
	return proto.Send(l.up, k, v, fds...)
}

func (l *labInit) mountsOf(i int) chan mountReply {
	l.mountsMu.Lock()
	defer l.mountsMu.Unlock()
	c := l.mounts[i]
	if c == nil {
		c = make(chan mountReply, 1)
		l.mounts[i] = c
	}
	return c
}

func (l *labInit) node(name string) *node {
	i := slices.IndexFunc(l.nodes, func(n *node) bool { return n.name == name })
	if i < 0 {
		return nil
	}
	return l.nodes[i]
}

// build makes the lab up to the point where only its commands are missing.
func (l *labInit) build() error {
	l.sysctls = unlike(container.DefaultSysctls())
	l.ipv6 = len(unlike([][2]string{{"net.ipv6.conf.default.disable_ipv6", "1"}})) > 0
	if err := quietFabric(); err != nil {
		return err
	}
	var err error
	if l.fabric, err = rtnl.Dial(nil); err != nil {
		return &buildError{op: "open the fabric", err: err}
	}
	// Events are for the end, when it is known what to wait for.
	if err := l.bridges(); err != nil {
		return err
	}
	ns, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return &buildError{op: "open the fabric", err: err}
	}
	defer ns.Close()
	if err := l.send(proto.Fabric, struct{}{}, int(ns.Fd())); err != nil {
		return err
	}
	if err := l.bootNodes(); err != nil {
		return err
	}
	ports, err := l.plug()
	if err != nil {
		return err
	}
	if err := l.send(proto.Booted, struct{}{}); err != nil {
		return err
	}
	<-l.wired
	if err := l.configureNodes(); err != nil {
		return err
	}
	if err := l.ready(ns, ports); err != nil {
		return err
	}
	report := proto.BuiltReport{}
	for _, n := range l.nodes {
		report.NetnsFDs = append(report.NetnsFDs, int(n.proc.Netns.Fd()))
	}
	return l.send(proto.Built, report)
}

func (l *labInit) bridges() error {
	var reqs []rtnl.Request
	for i := range l.spec.Lab.Bridges {
		b := &l.spec.Lab.Bridges[i]
		if b.External {
			continue
		}
		r, err := bridge.Create(b, firstBridge+i)
		if err != nil {
			return &buildError{op: "create bridge", object: b.Name, err: err}
		}
		reqs = append(reqs, r)
	}
	if err := l.fabric.Do(reqs...); err != nil {
		return &buildError{op: "create bridges", err: err}
	}
	return nil
}

// bootNodes starts every node's init and has it prepare its node, as many at a time as
// there is work for the processors.
func (l *labInit) bootNodes() error {
	total := len(l.spec.Lab.Nodes)
	l.nodes = make([]*node, total)
	slots := make(chan struct{}, 8*runtime.NumCPU())
	spawner, err := container.NewSpawner(l.exe)
	if err != nil {
		return &buildError{op: "start nodes", err: err}
	}
	defer spawner.Close()
	errs := make(chan error, total)
	var failed atomic.Bool
	var done atomic.Int64
	var wg sync.WaitGroup
	for i := range total {
		if failed.Load() {
			break
		}
		slots <- struct{}{}
		n, err := l.spawn(spawner, i)
		if err != nil {
			errs <- err
			break
		}
		l.nodes[i] = n
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			if err := l.boot(n); err != nil {
				failed.Store(true)
				errs <- err
				return
			}
			if d := int(done.Add(1)); d%50 == 0 || d == total {
				_ = l.send(proto.Progress, proto.ProgressReport{Name: "create nodes", Done: d, Total: total})
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

// spawn clones the init of node i and asks up for what it needs of the host.
func (l *labInit) spawn(s *container.Spawner, i int) (*node, error) {
	tn := &l.spec.Lab.Nodes[i]
	p, err := s.Spawn(tn.Name, l.spec.Base+uint32(i)*container.IDs, tn.Privileged)
	if err != nil {
		return nil, &buildError{op: "start", node: tn.Name, err: err}
	}
	n := &node{index: i, name: tn.Name, proc: p, state: proto.NodeState{Name: tn.Name, State: "idle"}}
	fds := []int{int(p.Pidfd.Fd())}
	if p.Userns != nil {
		fds = append(fds, int(p.Userns.Fd()))
		defer p.Userns.Close()
	}
	if err := l.send(proto.Node, proto.NodeIndex{Index: i}, fds...); err != nil {
		return nil, err
	}
	return n, nil
}

// boot has a node's init prepare it.
func (l *labInit) boot(n *node) error {
	tn := &l.spec.Lab.Nodes[n.index]
	setup := l.spec.Nodes[n.index]
	m := <-l.mountsOf(n.index)
	s := container.Setup{Caps: setup.Caps, Masks: l.spec.Masks, Resolv: setup.Resolv, Hosts: setup.Hosts, Sysctls: l.sysctls,
		Assembled: l.spec.Assembled, Layers: setup.Layers}
	layers := s.Mounts() + len(tn.Binds)
	if len(m.fds) < layers {
		return &buildError{op: "boot", node: n.name, err: fmt.Errorf("%d mounts for %d layers and binds", len(m.fds), layers)}
	}
	n.logs = m.fds[layers:]
	if setup.Filter >= 0 {
		s.Filter = l.spec.Filters[setup.Filter]
	}
	steps := container.Binds(container.BootProgram(tn, s), tn, s, m.dirs)
	err := n.proc.Run(wire.Boot, steps, m.fds[:layers]...)
	closeAll(m.fds[:layers])
	if err != nil {
		return &buildError{op: "prepare", node: n.name, err: err}
	}
	return nil
}
