package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/nsnet/nsnet/topology"
)

// digests stand for what a node is started with and a running one cannot be given, and for what its command is
// started with.
func digests(n *topology.Node) (node, command string) {
	fixed := *n
	// What a running node can be given.
	fixed.Routes, fixed.Hosts, fixed.Ports, fixed.Limits = nil, nil, nil, topology.Limits{}
	fixed.Sysctls = startSysctls(n.Sysctls)
	fixed.Restart, fixed.Ready, fixed.DependsOn = topology.Restart{}, nil, nil
	withoutStorage(&fixed) // compared with what it is
	if fixed.DNS != nil {
		fixed.DNS = &topology.DNS{} // that there is a file, not what is in it
	}
	var run topology.Node
	run.Command, run.Entrypoint, run.EntrypointGiven, run.CommandGiven = n.Command, n.Entrypoint, n.EntrypointGiven, n.CommandGiven
	run.Env, run.Workdir, run.User = n.Env, n.Workdir, n.User
	fixed.Command, fixed.Entrypoint, fixed.EntrypointGiven, fixed.CommandGiven = nil, nil, false, false
	fixed.Env, fixed.Workdir, fixed.User = nil, "", ""
	return digest(&fixed), digest(&run)
}

func digest(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error() // no value of these types fails
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
