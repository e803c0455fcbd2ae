package stall

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nsnet/nsnet/container/conn"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/internal/waiting"
	"github.com/nsnet/nsnet/lab/index"
)

// Status is the kind of message that asks a lab's init for its nodes, as package proto has it among all others.
const Status wire.Kind = 111

// patience is how long the lab's init may take to say which process a node's is.
const patience = time.Second

// aliveFD is the lab init's descriptor of its life lock, as package labinit has it.
const aliveFD = 5

// PID is a lab init's process id, 0 where it is not known. The number in the record is taken only of a process that has the lab's life lock.
func PID(lab string) int {
	path := filepath.Join(index.Dir(lab), index.AliveFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return 0
	}
	life, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if has, err := os.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, aliveFD)); err != nil || !os.SameFile(life, has) {
		return 0
	}
	return pid
}

// Init names a lab's init and says how it is: "lab demo's init, pid 24, which is stopped (...)".
func Init(lab string) string {
	pid := PID(lab)
	if pid <= 0 {
		return "lab " + lab + "'s init"
	}
	return "lab " + lab + "'s init, " + waiting.Process(pid)
}

// Stopped names the process of a lab that was stopped: its init or else that of one of these nodes, or without any of all. "" is that none was.
func Stopped(lab string, nodes ...string) string {
	if waiting.Stopped(PID(lab)) {
		return Init(lab)
	}
	one := ""
	if len(nodes) == 1 {
		one = nodes[0]
	}
	for _, n := range ask(lab, one) {
		if (len(nodes) == 0 || slices.Contains(nodes, n.Name)) && waiting.Stopped(n.PID) {
			return name(lab, n)
		}
	}
	return ""
}

// Node names for whom somebody waits who has asked a node for something: the lab's init where that was stopped, else the node's.
func Node(lab, node string) string {
	if waiting.Stopped(PID(lab)) {
		return Init(lab)
	}
	for _, n := range ask(lab, node) {
		if n.Name == node && n.PID > 0 {
			return name(lab, n)
		}
	}
	return "node " + node + " of " + Init(lab)
}

func name(lab string, n node) string {
	return fmt.Sprintf("the init of node %s/%s, %s", lab, n.Name, waiting.Process(n.PID))
}

// node is what counts here of a node in the lab init's answer.
type node struct {
	Name string
	PID  int
}

// ask asks a lab's init for its nodes, or for one of them; nil where it does not answer.
func ask(lab, one string) []node {
	c, err := conn.Dial(filepath.Join(index.Dir(lab), index.ControlFile))
	if err != nil {
		return nil
	}
	defer c.Close()
	var answer struct{ Nodes []node }
	if c.SetReadDeadline(time.Now().Add(patience)) != nil {
		return nil
	}
	body, err := json.Marshal(struct{ Node string }{one})
	if err != nil || c.Send(Status, body) != nil {
		return nil
	}
	_, body, _, err = c.Receive() // no descriptors come with it
	if err != nil || json.Unmarshal(body, &answer) != nil {
		return nil
	}
	return answer.Nodes
}
