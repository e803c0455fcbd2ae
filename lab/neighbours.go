package lab

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/nsnet/nsnet/internal/announce"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/wiring"
)

// tellNeighbours tells the neighbours of interfaces where addresses are now. What is the host's, up tells itself; of nodes the lab init
// does: the kernel takes its time to close the sockets for it, which is not to be waited for.
func (c *change) tellNeighbours(ctx context.Context, all map[string][]announce.Interface) error {
	host := string(wiring.Host)
	if list, there := all[host]; there {
		delete(all, host)
		done := announce.NewCloser()
		defer done.Close()
		if err := wiring.Announce(c.seen, map[string][]announce.Interface{host: list}, done); err != nil {
			return wireError(err)
		}
	}
	if len(all) == 0 {
		return nil
	}
	var reply proto.AnnounceReply
	err := question(ctx, c.rec.Name, "tell neighbours", proto.Announce, proto.AnnounceRequest{Nodes: all}, &reply, slices.Collect(maps.Keys(all)))
	if errors.Is(err, ErrNotRunning) {
		return nil // it is an older nsnet's, which knows nothing of it, or the commitment will find it gone
	}
	if err == nil && reply.Failed != "" {
		err = &Error{Op: "tell neighbours", Err: errors.New(reply.Failed)}
	}
	return err
}
