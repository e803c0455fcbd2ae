package imagetest

import (
	"os"
	"os/exec"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Busybox is the machine's busybox, which must be static, in /bin, with these of its applets.
func Busybox(t testing.TB, applets ...string) []File {
	t.Helper()
	testenv.Need(t, "busybox")
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := []File{{Name: "bin/"}, {Name: "bin/busybox", Content: string(program)}}
	for _, a := range applets {
		files = append(files, File{Name: "bin/" + a, Target: "busybox"})
	}
	return files
}
