package attach

import "testing"

func TestOwners(t *testing.T) {
	for text, want := range map[string]map[uint32]bool{
		"         0          0 4294967295\n": {0: true, 1000: true, 4294967294: true},
		"         0 1879113728      65536\n": {0: false, 1000: false, 1879113728: true, 1879113728 + 65535: true, 1879113728 + 65536: false},
		"0 1000 1\n1 100000 65536\n":         {0: false, 1000: true, 1001: false, 100000: true, 165535: true, 165536: false},
		"":                                   {0: false},
	} {
		o, err := parseOwners(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		for uid, ok := range want {
			if err := o.check(uid); (err == nil) != ok {
				t.Errorf("%q: %d: %v", text, uid, err)
			}
		}
	}
	if _, err := parseOwners("0 x 1"); err == nil {
		t.Error("no number is one")
	}
}
