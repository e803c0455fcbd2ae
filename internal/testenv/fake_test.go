package testenv

import (
	"fmt"
	"runtime"
	"testing"
)

// fake is a testing.TB whose failure a test can look at.
type fake struct {
	testing.TB
	failed, skipped bool
	messages        []string
	cleanups        []func()
}

func (f *fake) Helper()              {}
func (f *fake) Cleanup(clean func()) { f.cleanups = append(f.cleanups, clean) }
func (f *fake) Errorf(s string, a ...any) {
	f.failed = true
	f.messages = append(f.messages, fmt.Sprintf(s, a...))
}
func (f *fake) Fatalf(s string, a ...any) { f.Errorf(s, a...); runtime.Goexit() }
func (f *fake) Fatal(a ...any)            { f.Fatalf("%s", fmt.Sprint(a...)) }
func (f *fake) Skip(...any)               { f.skipped = true; runtime.Goexit() }

// run calls body, which may end by Fatal or Skip, then the clean-ups.
func (f *fake) run(body func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		body()
	}()
	<-done
	for i := range f.cleanups {
		f.cleanups[len(f.cleanups)-1-i]()
	}
}

func (f *fake) verdict() string {
	switch {
	case f.failed:
		return "failed"
	case f.skipped:
		return "skipped"
	}
	return "passed"
}
