package topology

import (
	"regexp"

	"go.yaml.in/yaml/v4"
)

// comingFrom is where the documentation puts other tools' keys beside those of nsnet.
const comingFrom = `; docs/topology.md, "Coming from other tools", puts the keys side by side`

// foreignText returns what to do with a text that is no YAML of nsnet's but a file of another
// tool, or "".
func foreignText(data []byte) string {
	// A line of lab.conf is MACHINE[KEY]=VALUE. A file with nodes may have the like in a script.
	machine := regexp.MustCompile(`(?m)^[A-Za-z0-9_]+\[[A-Za-z0-9_]+\][ \t]*=`)
	if machine.Match(data) && !regexp.MustCompile(`(?m)^nodes:`).Match(data) {
		return "this is a lab.conf of Kathara: a machine is a node here, a collision domain a bridge, and both are written as YAML" + comingFrom
	}
	return ""
}

// foreignFile returns what to do with a file whose keys are those of another tool, or "". A file
// with nodes of its own is taken for one of nsnet, however much of it is wrong.
func foreignFile(keys []entry) string {
	value := map[string]*yaml.Node{}
	for _, e := range keys {
		value[e.key] = e.v
	}
	topology := value["topology"]
	switch {
	case value["nodes"] != nil:
		return ""
	case value["services"] != nil:
		return "this is a file of Docker Compose: a service is a node here, a network a bridge with links to it" + comingFrom
	case topology != nil && topology.Kind == yaml.MappingNode:
		return "this is a file of containerlab: nodes and links are at the top of the file here, and kind is image" + comingFrom
	}
	return ""
}

// guess says what another tool's key is called here.
type guess struct {
	key string // as other tools call it
	own string // the section's own key that it stands for; the guess is for sections that have it
	say string // what to write instead
}

func guesses() []guess {
	const limits, links = `limits: {memory: 64MiB, cpu: 0.5, pids: 100}`, `links: [{endpoints: ["NODE:eth0", "BRIDGE"]}], at the top of the file`
	return []guess{
		{"environment", "env", `env: {NAME: value}`},
		{"cmd", "command", `command: [PROGRAM, ARGUMENT]`},
		{"exec", "command", `command: "FIRST; SECOND; exec sleep infinity", which is run in the node`},
		{"args", "command", `command: [PROGRAM, ARGUMENT]`},
		{"volumes", "binds", `binds: ["./SOURCE:/TARGET:ro"]`},
		{"mounts", "binds", `binds: ["./SOURCE:/TARGET:ro"]`},
		{"cap_add", "caps", `caps: [SYS_ADMIN]`},
		{"cap-add", "caps", `caps: [SYS_ADMIN]`},
		{"cap_drop", "caps", `caps: [-NET_RAW]`},
		{"capabilities", "caps", `caps: [SYS_ADMIN, -NET_RAW]`},
		{"kind", "image", `image: host, dir:PATH, or an image such as debian:12`},
		{"build", "image", `image: NAME; nsnet does not build images`},
		{"memory", "limits", limits},
		{"mem_limit", "limits", limits},
		{"cpu", "limits", limits},
		{"cpus", "limits", limits},
		{"cpu-set", "limits", `limits: {cpuset: "0-1"}`},
		{"cpuset", "limits", `limits: {cpuset: "0-1"}`},
		{"pids_limit", "limits", limits},
		{"deploy", "limits", limits},
		{"mem", "memory", `memory: 64MiB`},
		{"cpus", "cpu", `cpu: 0.5`},
		{"working_dir", "workdir", `workdir: /DIR`},
		{"extra_hosts", "hosts", `hosts: ["ADDRESS NAME"]`},
		{"healthcheck", "ready", `ready: {exec: [PROGRAM, ARGUMENT]}`},
		{"security_opt", "seccomp", `seccomp: unconfined, or nnp: false`},
		{"devices", "tun", `tun: true for /dev/net/tun; there are no other devices`},
		{"networks", "routes", links},
		{"network_mode", "routes", links},
		{"interfaces", "routes", links},
		{"mgmt-ipv4", "routes", links + `, with address`},
		{"startup-config", "binds", `binds: ["./FILE:/etc/FILE"]`},
		{"group", "user", `user: USER:GROUP; nodes have no labels or groups`},
		{"labels", "env", `nothing: nodes have no labels; the environment can tell a node what it is`},
		{"services", "nodes", `nodes: {NAME: {}}`},
		{"networks", "bridges", `bridges: {NAME: {subnet: 10.0.0.0/24}}`},
		{"subnets", "bridges", `bridges: {NAME: {subnet: 10.0.0.0/24}}`},
		{"switches", "bridges", `bridges: {NAME: {}}`},
		{"version", "nodes", `nothing: the format has no version`},
		{"prefix", "name", `name: LAB`},
		{"gateway", "nat", `address: ADDRESS/MASK, which is the gateway of the bridge's nodes`},
		{"ip", "endpoints", `address: ADDRESS/MASK`},
		{"ipv4", "endpoints", `addresses: [ADDRESS/MASK]`},
		{"ipv6", "endpoints", `addresses: [ADDRESS/MASK]`},
	}
}

// instead returns what to write in place of another tool's key in a section with these keys, as
// ` (write ...)`, or "".
func instead(key string, known []string) string {
	has := map[string]bool{}
	for _, k := range known {
		has[k] = true
	}
	for _, g := range guesses() {
		if g.key == key && has[g.own] {
			return " (write " + g.say + ")"
		}
	}
	return ""
}
