package labinit

import "testing"

func TestOOMKills(t *testing.T) {
	for text, want := range map[string]uint64{
		"low 0\nhigh 2\nmax 7\noom 1\noom_kill 3\noom_group_kill 0\n": 3,
		"oom_kill_disable 0\nunder_oom 0\noom_kill 12\n":              12,
		"oom_kill_disable 1\nunder_oom 0\n":                           0,
		"":                                                            0,
	} {
		if got := oomKills([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
