package waiting

import (
	"context"
	"sync"
	"time"
)

// Patience is how long somebody waits without a word.
const Patience = 2 * time.Second

// key is that of the context's function.
type key struct{}

// With returns a context in which Say says by a function what is waited for: "waiting for ...". The function is called from any goroutine, one
// at a time, and not with what it was called with last.
func With(ctx context.Context, say func(text string)) context.Context {
	var mu sync.Mutex
	last := ""
	return context.WithValue(ctx, key{}, func(text string) {
		mu.Lock()
		defer mu.Unlock()
		if text != last {
			last = text
			say(text)
		}
	})
}

// Say says what is waited for, once, when Patience is over and stop was not called before. What comes to be said is found out then, and
// nothing is said where that is "".
func Say(ctx context.Context, text func() string) (stop func()) {
	say, ok := ctx.Value(key{}).(func(string))
	if !ok {
		return func() {}
	}
	t := time.AfterFunc(Patience, func() {
		if s := text(); s != "" && ctx.Err() == nil {
			say("waiting for " + s)
		}
	})
	return func() { t.Stop() }
}
