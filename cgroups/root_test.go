package cgroups

import (
	"os"
	"testing"
)

// needRoot skips a test without root; with NSNET_STRICT=1 it fails it.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("NSNET_STRICT") == "1" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}
