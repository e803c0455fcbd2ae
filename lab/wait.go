package lab

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nsnet/nsnet/lab/proto"
)

// WaitOptions say what is waited for.
type WaitOptions struct {
	Lab     string
	Nodes   []string      // none: all of the lab
	Ended   bool          // that their commands have ended, and not that they are ready
	Timeout time.Duration // 0: none
}

// NotReadyError is what Wait returns when a lab does not become ready. The lab goes on as it is.
type NotReadyError struct {
	Lab      string
	Ended    bool          // it was waited for the end of commands
	TimedOut time.Duration // 0: a node cannot become ready by itself
	Nodes    []NotReady    // the first is the one that cannot, unless the time was over
}

// NotReady is a node that is not ready.
type NotReady struct {
	Node   string `json:"node"`
	Reason string `json:"reason"`
	Check  string `json:"check,omitempty"`  // "tcp 80"
	Output string `json:"output,omitempty"` // what the check said last
}

func (e *NotReadyError) Error() string {
	var b strings.Builder
	show := e.Nodes
	what, missing := "ready", "is not ready"
	if e.Ended {
		what, missing = "ended", "has not ended"
	}
	if e.TimedOut > 0 {
		fmt.Fprintf(&b, "lab %s: not %s after %s", e.Lab, what, e.TimedOut)
	} else {
		show = show[:1]
	}
	const most = 10
	for i, n := range show {
		if i == most {
			fmt.Fprintf(&b, "\n%d nodes more are not ready", len(show)-most)
			break
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "lab %s: node %s %s: %s", e.Lab, n.Node, missing, n.Reason)
		if n.Check != "" {
			fmt.Fprintf(&b, "; check %s", n.Check)
		}
		if n.Output != "" {
			b.WriteString(": " + beneath(n.Output))
		}
	}
	fmt.Fprintf(&b, "\nthe lab stays up; nsnet ps %s shows it, nsnet logs %s/%s what the node's command has written", e.Lab, e.Lab, e.Nodes[0].Node)
	return b.String()
}

// beneath is a text in a line of its own, or several with their lines beneath, so that they are not taken for more of the message's.
func beneath(text string) string {
	text = strings.TrimRight(text, "\n")
	if !strings.Contains(text, "\n") {
		return text
	}
	return "\n    " + strings.ReplaceAll(text, "\n", "\n    ")
}

// Wait returns when every node that is meant is ready, or its command has ended. A node is ready when its check has passed or, where it has none, its command runs or has ended with
// exit code 0. It returns a *NotReadyError when one cannot become so by itself, or when the time is over.
func Wait(ctx context.Context, o WaitOptions) error {
	var reply proto.AwaitReply
	req := proto.AwaitRequest{Timeout: o.Timeout, Nodes: o.Nodes, Ended: o.Ended}
	if err := question(ctx, o.Lab, "wait", proto.Await, req, &reply, o.Nodes); err != nil {
		return err
	}
	if len(reply.Unready) == 0 {
		return nil
	}
	e := &NotReadyError{Lab: o.Lab, Ended: o.Ended}
	if reply.TimedOut {
		e.TimedOut = o.Timeout
	}
	for _, u := range reply.Unready {
		e.Nodes = append(e.Nodes, NotReady{u.Node, u.Why, u.Check, u.Output})
	}
	return e
}
