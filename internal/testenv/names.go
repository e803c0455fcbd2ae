package testenv

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"testing"
)

// LabName returns a name for a lab that no other test of the machine uses, up to 13 bytes. The leak
// check of an isolated test looks for control groups of all names it was given.
func LabName(t testing.TB) string {
	t.Helper()
	suffix := make([]byte, 2)
	_, _ = rand.Read(suffix)
	return labPrefix() + hex.EncodeToString(suffix)
}

// labPrefix is what the lab names of this test process begin with.
func labPrefix() string {
	if token := os.Getenv(envToken); token != "" {
		return token
	}
	return "t" + hex.EncodeToString([]byte{byte(os.Getpid() >> 16), byte(os.Getpid() >> 8), byte(os.Getpid())}) + "00"
}
