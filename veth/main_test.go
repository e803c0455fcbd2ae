package veth

import (
	"os"
	"runtime"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// The tests switch threads to other namespaces: none of them may be the main thread.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
