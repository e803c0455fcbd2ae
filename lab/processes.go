package lab

import (
	"fmt"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// A node's user namespace has from its start to its end what its processes were bounded to when it was made, see
// container/nodeinit/charge.go. A limit of the file below that is its control group's, which can be changed; for one above that the
// node has to be made anew.

// processesOf is how many processes a node that is started now may ever have, 0 if nothing bounds them.
func processesOf(n *topology.Node) uint64 {
	if n.Privileged || n.Limits.Pids == topology.AllPids {
		return 0
	}
	return container.ProcessesOf(n.Limits.Pids)
}

// tooManyProcesses tells that a node is to have more processes than it may ever have.
func tooManyProcesses(n *topology.Node, made *proto.Made) []string {
	if now := processesOf(n); made.Processes == 0 || now != 0 && now <= made.Processes {
		return nil
	}
	return []string{fmt.Sprintf("it was started with %d processes and threads at most", made.Processes)}
}
