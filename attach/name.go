package attach

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

// namePrefix is what interfaces are called that nobody has named.
const namePrefix = "eth"

// firstName is the first of eth1, eth2 and so on that no interface has, or one that may be taken for it.
func firstName(links []rtnl.Link, may func(rtnl.Link) bool) string {
	for n := 1; ; n++ {
		name := namePrefix + strconv.Itoa(n)
		at := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Name == name })
		if at < 0 || may(links[at]) {
			return name
		}
	}
}

// chooseNames names the ends that the request leaves to nsnet. An interface that nsnet has attached keeps its name, so that
// the same request again finds it.
func (a *attachment) chooseNames() error {
	if a.opt.AnyName && !a.opt.IfAbsent {
		a.q.Interface = firstName(a.o.target.links, func(l rtnl.Link) bool {
			_, ours := idOf(l.Alias)
			return ours
		})
	}
	if !a.opt.AnyPeerName || a.peer == nil {
		return nil
	}
	if l, exists := a.o.target.link(a.q.Interface); exists {
		list, err := records(a.journal.dir)
		if list == nil && err != nil {
			return err
		}
		id, _ := idOf(l.Alias)
		if at := slices.IndexFunc(list, func(r *Record) bool { return r.ID == id }); at >= 0 && list[at].Request.Via.Kind == ViaPeer {
			a.q.Via.Interface = list[at].Request.Via.Interface
			return nil
		}
	}
	far, err := look(a.peer.netns, false)
	if err != nil {
		return fmt.Errorf("look at the network of the other end: %w", err)
	}
	a.q.Via.Interface = firstName(far.links, func(rtnl.Link) bool { return false })
	return nil
}

// ofFile is the error for an interface that a node has by its lab's file; nil if it is not that.
func (a *attachment) ofFile() error {
	name, node, _ := strings.Cut(a.q.Target.Name, "/")
	if a.q.Target.Kind != ByNode {
		return nil
	}
	fabric, l, err := lab.Fabric(name)
	if err != nil {
		return err
	}
	_ = fabric.Close()
	for i := range l.Links {
		for _, e := range []*topology.Endpoint{&l.Links[i].A, &l.Links[i].B} {
			if e.Node == node && e.Interface == a.q.Interface {
				return fmt.Errorf("%w: the file of lab %s gives the node this interface; choose another name with --ifname, or change the file", lab.ErrConflict, name)
			}
		}
	}
	return nil
}

// countNotes returns notes on ends that Docker is going to call an interface of its own like. It does not look, and has counted
// further when it is asked again.
func (a *attachment) countNotes() (notes []string) {
	if a.opt.AnyName {
		notes = append(notes, a.target.countNote(a.q.Interface, "--ifname")...)
	}
	if a.opt.AnyPeerName && a.peer != nil {
		notes = append(notes, a.peer.countNote(a.q.Via.Interface, "--peer-ifname")...)
	}
	return notes
}

func (t *target) countNote(name, flag string) []string {
	number, ok := strings.CutPrefix(name, namePrefix)
	if n, err := strconv.Atoi(number); !t.counts || !ok || err != nil || n < t.count {
		return nil
	}
	return []string{fmt.Sprintf("docker network connect calls the next interface of %s %s%d, without a look at what there is: at %s it fails once, and succeeds when tried again; %s gives this one another name",
		t.ref, namePrefix, t.count, name, flag)}
}
