package proto

import (
	"testing"

	"github.com/nsnet/nsnet/lab/execute"
)

// Package execute has the numbers of its two kinds itself, as it does not import this package.
func TestExecKinds(t *testing.T) {
	t.Parallel()
	if Exec != execute.Ask || Failed != execute.Refuse {
		t.Errorf("%d and %d here, %d and %d there", Exec, Failed, execute.Ask, execute.Refuse)
	}
}
