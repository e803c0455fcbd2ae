package lab

import (
	"fmt"

	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// A node's user namespace has from its start to its end what its processes were bounded to when it was made, see
// container/nodeinit/charge.go. A limit of the file below that is its control group's, which can be changed; for one above that the
// node has to be made anew.

// tooManyProcesses tells that a node is to have more processes than it may ever have.
func tooManyProcesses(l *topology.Limits, made *proto.Made) []string {
	if made.Processes == 0 || l.Pids != topology.AllPids && l.Pids <= int64(made.Processes) {
		return nil
	}
	return []string{fmt.Sprintf("it was started with %d processes and threads at most", made.Processes)}
}
