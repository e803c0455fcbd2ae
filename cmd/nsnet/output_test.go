package main

import (
	"os"
	"strings"
	"testing"
)

// What cannot be written is no success, whatever prints it.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	file := "../../examples/topologies/demo.yaml"
	for _, args := range []string{"", "--help", "help ps", "ps --help", "help", "--version", "version", "version --json", "completion bash", "completion zsh", "schema", "validate " + file, "validate --json " + file} {
		errs, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		code := run(t.Context(), strings.Fields(args), stdio{in: os.Stdin, out: full, err: errs})
		said, err := os.ReadFile(errs.Name())
		if code != exitFailure || err != nil || !strings.Contains(string(said), "no space left on device") {
			t.Errorf("nsnet %s: exit code %d, %q, %v", args, code, said, err)
		}
	}
}
