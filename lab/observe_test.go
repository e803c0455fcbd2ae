package lab

import (
	"testing"

	"github.com/nsnet/nsnet/lab/proto"
)

func TestNoteDead(t *testing.T) {
	t.Parallel()
	state := &proto.LabState{Nodes: []proto.NodeState{{Name: "a", State: StateRunning}, {Name: "b", State: StateDead}, {Name: "c", State: StateIdle}}}
	same := &proto.LabState{Nodes: []proto.NodeState{{Name: "a", State: StateStopped}, {Name: "b", State: StateDead}, {Name: "d", State: StateDead}}}
	if noteDead(state, same) || state.Nodes[0].State != StateRunning {
		t.Errorf("nobody has died: %+v", state.Nodes)
	}
	now := &proto.LabState{Nodes: []proto.NodeState{{Name: "c", State: StateDead, Reason: "why"}, {Name: "a", State: StateRunning}}}
	if !noteDead(state, now) || state.Nodes[2].State != StateDead || state.Nodes[2].Reason != "why" || state.Nodes[0].State != StateRunning {
		t.Errorf("c has died: %+v", state.Nodes)
	}
	if noteDead(state, now) {
		t.Error("c has died again")
	}
}
