package labinit

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// firstNetnsID is the first id, in the fabric, of a node's network namespace. The kernel gives ids by itself, too, and
// begins with 0.
const firstNetnsID = 1 << 20

// manyTouched are more of the fabric's interfaces than it is worth to tell of one by one.
const manyTouched = 64

// A monitor costs whatever changes in any network namespace of the machine a look at the ids of all nodes. It is for labs that are
// long to look at, and for as long as somebody does.
const (
	manyNodes   = 200
	monitorTime = 10 * time.Minute
)

// quiet knows in which of the lab's network namespaces nothing has changed since they were last found to be
// what the lab's file says, so that nobody has to look there. A lab that has just been made is as its file says.
type quiet struct {
	mu     sync.Mutex
	begun  bool           // the lab is made; while it is in the making all changes, and nobody has to be told
	events *rtnl.Monitor  // nil: nothing is known
	ends   *time.Timer    // of events
	turn   uint64         // counts the looks
	nodes  map[int]uint64 // when a change was last seen in a node's namespace, by its id
	fabric map[int]uint64 // when one of the fabric's interfaces has last changed, by its index
	lost   uint64         // when changes were last lost, 0: none
}

// begin takes what there is now, in a lab of so many nodes, for what the file says.
func (q *quiet) begin(nodes int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.begun = true
	if nodes < manyNodes {
		return nil
	}
	return q.listen()
}

func (q *quiet) listen() (err error) {
	if q.events, err = rtnl.NewMonitor(); err != nil {
		q.events = nil
		return err
	}
	q.nodes, q.fabric, q.lost = map[int]uint64{}, map[int]uint64{}, 0
	q.ends = time.AfterFunc(monitorTime, q.end)
	return nil
}

// end gives the monitor up.
func (q *quiet) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.events != nil {
		q.events.Close()
		q.events = nil
	}
}

// look hears what has changed in a lab of so many nodes, and gives that a number. It tells which of the fabric's interfaces are
// known to have changed, and whether nothing else has there.
func (q *quiet) look(nodes int) (turn uint64, touched []int, known bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turn++
	switch {
	case q.events != nil:
		q.ends.Reset(monitorTime)
	case !q.begun || nodes < manyNodes || q.listen() != nil: // without it all is looked at
		return q.turn, nil, false
	default:
		q.lost = q.turn
	}
	lost, err := q.events.Changed(func(id, link int) {
		switch {
		case id != rtnl.ThisNetns:
			q.nodes[id] = q.turn
		case link != 0: // addresses and routes mean nothing in the fabric
			q.fabric[link] = q.turn
		}
	})
	if lost || err != nil {
		q.lost = q.turn
	}
	if q.lost != 0 || len(q.fabric) > manyTouched {
		return q.turn, nil, false
	}
	return q.turn, slices.Sorted(maps.Keys(q.fabric)), true
}

// is tells whether nothing has changed in a node's namespace, as far as was heard at the last look.
func (q *quiet) is(id int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.events != nil && q.lost == 0 && q.nodes[id] == 0
}

// touch notes that nobody has looked at a node's namespace yet.
func (q *quiet) touch(id int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.nodes != nil {
		q.nodes[id] = q.turn + 1
	}
}

// settle notes that all was found to be as the file says by who has looked after the look with this number.
func (q *quiet) settle(turn uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lost <= turn {
		q.lost = 0
	}
	seen := func(_ int, at uint64) bool { return at <= turn }
	maps.DeleteFunc(q.nodes, seen)
	maps.DeleteFunc(q.fabric, seen)
}

// number gives the network namespaces of nodes their ids in the fabric, by which changes in them are told.
func (l *labInit) number(nodes []*node) error {
	reqs := make([]rtnl.Request, len(nodes))
	l.mu.Lock()
	for i, n := range nodes {
		n.netnsID = firstNetnsID + l.numbered
		l.numbered++
		l.quiet.touch(n.netnsID)
		reqs[i] = rtnl.NumberNetns(int(n.proc.Netns.Fd()), n.netnsID, "number the network namespace of "+n.name)
	}
	l.mu.Unlock()
	c, err := rtnl.Dial(nil)
	if err != nil {
		return &buildError{op: "number network namespaces", err: err}
	}
	defer c.Close()
	if err := c.Do(reqs...); err != nil {
		return &buildError{op: "number network namespaces", err: err}
	}
	return nil
}
