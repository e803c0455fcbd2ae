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
	fixed := fixedOf(n)
	var run topology.Node
	run.Command, run.Entrypoint, run.EntrypointGiven, run.CommandGiven = n.Command, n.Entrypoint, n.EntrypointGiven, n.CommandGiven
	run.Env, run.Workdir, run.User = n.Env, n.Workdir, n.User
	fixed.Command, fixed.Entrypoint, fixed.EntrypointGiven, fixed.CommandGiven = nil, nil, false, false
	fixed.Env, fixed.Workdir, fixed.User = nil, "", ""
	return digest(&fixed), digest(&run)
}

// fixedOf is what a node is started with: all but what a running one can be given, and what is compared with what it is.
func fixedOf(n *topology.Node) topology.Node {
	f := *n
	f.Routes, f.Hosts, f.Ports, f.Limits = nil, nil, nil, topology.Limits{}
	f.Sysctls = startSysctls(n.Sysctls)
	f.Restart, f.Ready, f.DependsOn, f.StopSignal = topology.Restart{}, nil, nil, ""
	f.ReadyGiven, f.OfImage = false, nil
	f.DNS = nil
	withoutStorage(&f)
	return f
}

func digest(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error() // no value of these types fails
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
