package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nsnet/nsnet/internal/engines"
)

// attachRuns is how often each of the contenders attaches.
const attachRuns = 51

// What is attached has this address, but for Docker, which takes one itself; docker0 has the other.
const (
	attachedAddress = "172.17.0.99/16"
	attachedGateway = "172.17.0.1"
)

// attacher is a way to give a container that runs an interface on docker0, and to take it away.
type attacher struct {
	name           string
	attach, detach []string
}

// measureAttach is the part that gives a running Docker container a second interface, on docker0 with an address of its
// subnet. The container's first one is on another network, as Docker connects a container to each once.
func measureAttach(ctx context.Context, o options, dir string) (t table, err error) {
	for _, program := range []string{"dockerd", "docker", "brctl", "nsenter"} {
		if !have(program) {
			return table{}, fmt.Errorf("%s is missing; scripts/setup-test.sh installs it", program)
		}
	}
	e, err := engines.Docker(ctx, "nsnet-bench-"+filepath.Base(dir))
	if err != nil {
		return table{}, err
	}
	defer func() { err = errors.Join(err, e.Stop()) }()
	version, err := e.Do(ctx, "version", "--format", "{{.Server.Version}}, client {{.Client.Version}}")
	if err != nil {
		return table{}, err
	}
	if _, err := e.Do(ctx, "network", "create", "--subnet", "10.98.0.0/16", "other"); err != nil {
		return table{}, err
	}
	// Another container keeps docker0 in operation: after its first port has come it takes up to a second to forward.
	if _, err := e.Run(ctx, "peer"); err != nil {
		return table{}, err
	}
	pid, err := e.Run(ctx, "web", "--network", "other")
	if err != nil {
		return table{}, err
	}
	if err := os.Setenv("DOCKER_HOST", "unix://"+e.Socket); err != nil {
		return table{}, err
	}
	all, err := attachers(o, e, dir, strconv.Itoa(pid))
	if err != nil {
		return table{}, err
	}
	took := make([][]time.Duration, len(all))
	for run := range attachRuns {
		for i, a := range all {
			d, err := a.once(ctx, pid, run == 0)
			if err != nil {
				return table{}, fmt.Errorf("%s: %w", a.name, err)
			}
			took[i] = append(took[i], d)
		}
	}
	t = table{
		title: fmt.Sprintf("A second interface for a container that runs, on docker0 (Docker %s): medians of %s", version, plural(attachRuns, "run")),
		head:  []string{"", "time", "/ " + all[0].name},
	}
	for i, a := range all {
		t.rows = append(t.rows, []string{a.name, millis(median(took[i])), ratio(median(took[i]), median(took[0]))})
	}
	return t, nil
}

// attachers lists who takes part.
func attachers(o options, e *engines.Engine, dir, pid string) ([]attacher, error) {
	up, down := filepath.Join(dir, "attach.sh"), filepath.Join(dir, "detach.sh")
	if err := errors.Join(os.WriteFile(up, []byte(attachScript), 0o600), os.WriteFile(down, []byte("ip link del bench0\n"), 0o600)); err != nil {
		return nil, err
	}
	var all []attacher
	if o.nsnet != "" {
		to := []string{"--bridge", "docker0", "--ip", attachedAddress}
		for _, target := range [][]string{{"--container", "web"}, {"--pid", pid}} {
			all = append(all, attacher{
				name:   "nsnet attach " + target[0],
				attach: slices.Concat([]string{o.nsnet, "attach"}, target, to),
				detach: slices.Concat([]string{o.nsnet, "detach"}, target, []string{"--ifname", "eth1"}),
			})
		}
	}
	connect, _ := e.Command("network", "connect", "bridge", "web")
	disconnect, _ := e.Command("network", "disconnect", "bridge", "web")
	return append(all,
		attacher{"script of seven commands", []string{"sh", up, pid}, []string{"sh", down}},
		attacher{"docker network connect", connect, disconnect}), nil
}

// attachScript is what one writes by hand, who knows the container's process already.
const attachScript = `set -e
ip link add bench0 type veth peer name bench1
brctl addif docker0 bench0
ip link set bench0 up
ip link set bench1 netns $1
nsenter --net --target $1 ip link set bench1 name eth1
nsenter --net --target $1 ip addr add ` + attachedAddress + ` dev eth1
nsenter --net --target $1 ip link set eth1 up
`

// once attaches, and detaches without counting that. With check the gateway must answer: an interface that is not
// wired would be there in no time.
func (a attacher) once(ctx context.Context, pid int, check bool) (time.Duration, error) {
	took, err := timed(ctx, a.attach...)
	if err != nil {
		return 0, err
	}
	if check {
		if _, err := output(ctx, "nsenter", "--net", "--target", strconv.Itoa(pid), "ping", "-n", "-c", "1", "-W", "2", "-I", "eth1", attachedGateway); err != nil {
			return 0, err
		}
	}
	_, err = output(ctx, a.detach...)
	return took, err
}
