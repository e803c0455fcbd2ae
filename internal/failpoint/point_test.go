package failpoint

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := parse("lab init: netlink add address fd00::1/64 to eth0=kill;mount *:3=error(ENOBUFS);a:b:0=delay(200);")
	if err != nil {
		t.Fatal(err)
	}
	want := []point{
		{name: "lab init: netlink add address fd00::1/64 to eth0", left: 1, action: action{kill: true}},
		{name: "mount ", prefix: true, left: 3, action: action{errno: unix.ENOBUFS}},
		{name: "a:b:0", left: 1, action: action{delay: 200 * time.Millisecond}},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for text, part := range map[string]string{
		"mount": "NAME=ACTION", "mount=die": "no action", "mount=error(EWHAT)": "EWHAT", "mount=error(": "no action",
		"mount=delay(x)": "milliseconds", "mount=delay(-1)": "milliseconds",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %v, which does not say %q", text, err, part)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	whole, prefix := point{name: "mount /proc"}, point{name: "mount ", prefix: true}
	for name, want := range map[string][2]bool{"mount /proc": {true, true}, "mount /proc/sys": {false, true}, "umount /proc": {false, false}} {
		if got := [2]bool{whole.is(name), prefix.is(name)}; got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
