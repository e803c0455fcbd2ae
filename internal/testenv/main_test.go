package testenv

import (
	"os"
	"runtime"
	"testing"
)

// The main thread cannot end: a goroutine that leaves its thread's namespace for good must not
// be on it.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { os.Exit(Main(m)) }
