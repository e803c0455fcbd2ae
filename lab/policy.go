package lab

import (
	"reflect"
	"slices"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/topology"
)

// Keys of a node that its image may fill in while it runs, too.
const (
	keyReady      = "ready"
	keyStopSignal = "stop_signal"
)

// applyPolicy gives a node its image's signal to end and its check. The check is for what runs: an idle node has none.
func applyPolicy(n *topology.Node, c *image.Config) {
	if n.StopSignal == "" && c.StopSignal != "" {
		n.StopSignal = c.StopSignal
		n.OfImage = append(n.OfImage, keyStopSignal)
	}
	if h := c.Health; h != nil && n.Ready == nil && !n.ReadyGiven && len(n.Command) > 0 {
		// Docker first looks after an interval. A node is looked at sooner, and so often that its failures have to count later.
		n.Ready = &topology.Ready{Exec: h.Exec, IntervalMS: h.IntervalMS, TimeoutMS: h.TimeoutMS, Retries: h.Retries,
			StartPeriodMS: h.StartPeriodMS + int64(h.Retries)*h.IntervalMS}
		n.OfImage = append(n.OfImage, keyReady)
	}
}

// otherPolicy names the keys in which node n is looked after otherwise than it was as b, which knows what its image has said.
func otherPolicy(n, b *topology.Node) (keys []string) {
	for _, k := range []struct {
		name string
		same bool
	}{
		{"restart", n.Restart == b.Restart}, {keyStopSignal, sameStop(n, b)}, {keyReady, sameReady(n, b)},
		{"depends_on", reflect.DeepEqual(n.DependsOn, b.DependsOn)},
	} {
		if !k.same {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// sameReady reports whether node n has the check that it had as b, which knows what its image has said.
func sameReady(n, b *topology.Node) bool {
	if n.Ready == nil && !n.ReadyGiven && slices.Contains(b.OfImage, keyReady) {
		return true // and what the image says is as it was, or the node would be started anew
	}
	return reflect.DeepEqual(n.Ready, b.Ready) && n.ReadyGiven == b.ReadyGiven
}

// sameStop does so for the signal that asks its command to end.
func sameStop(n, b *topology.Node) bool {
	return n.StopSignal == b.StopSignal || n.StopSignal == "" && slices.Contains(b.OfImage, keyStopSignal)
}
