package lab

import (
	"errors"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/bridge"
)

// released is a family that a lab no longer needs the host's switch of, which it has turned on.
type released struct {
	family bridge.Family
	heir   string // the lab for which it stays on
}

// familyOf are the settings of a family.
func familyOf(all []bridge.Sysctl, f bridge.Family) (some []bridge.Sysctl) {
	for _, s := range all {
		if strings.HasPrefix(s.Path, "net/"+string(f)+"/") {
			some = append(some, s)
		}
	}
	return some
}

// lookAtReleased finds which families the lab has turned on and does not need, with these switches, and for whom they stay on.
func (o *observed) lookAtReleased(switches []bridge.Family) error {
	for _, f := range bridge.Families() {
		if slices.Contains(switches, f) || len(familyOf(o.rec.Sysctls, f)) == 0 {
			continue
		}
		name, _, err := heir(o.rec.Name, f)
		if err != nil {
			return err
		}
		o.released = append(o.released, released{f, name})
	}
	return nil
}

// releaseSysctls puts forwarding back for a lab that is about to be what next says, but for what that needs itself, and returns what
// of it remains the lab's duty. Where another lab still needs it, or is about to because its up found forwarding on, that one inherits
// the duty. The caller holds the host's lock. After a reboot, for whoever keeps /run, settings are what that has made them.
func releaseSysctls(r, next *record) (left []bridge.Sysctl, err error) {
	if r.BootID != "" && r.BootID != bootID() {
		return nil, nil
	}
	var errs []error
	for _, f := range bridge.Families() {
		mine := familyOf(r.Sysctls, f)
		if len(mine) == 0 {
			continue
		}
		if next.needs(f) {
			left = append(left, mine...)
			continue
		}
		name, o, err := heir(r.Name, f)
		switch {
		case err != nil:
			left = append(left, mine...)
		case o != nil:
			o.Sysctls = append(mine, o.Sysctls...)
			err = o.write(dirOf(name))
		default:
			err = bridge.RestoreSysctls(mine)
			if f == bridge.IPv4 {
				err = errors.Join(err, reopenLegs(r.Name, next))
			}
		}
		errs = append(errs, err)
	}
	return left, errors.Join(errs...)
}

// reopenLegs has the legs forward again that do so by themselves: the host's switch, when it is turned off, turns off each interface's.
// Next is the record of the lab of that name.
func reopenLegs(name string, next *record) error {
	legs := slices.Clone(next.Routed)
	err := eachLive(name, func(_ string, o *record) bool {
		legs = append(legs, o.Routed...)
		return true
	})
	return errors.Join(err, bridge.ForwardLegs(legs))
}

// heir finds a lab of another name which needs the switch of a family, or is about to, and its record: none where it is nil.
func heir(than string, f bridge.Family) (name string, o *record, err error) {
	err = eachLive(than, func(n string, r *record) bool {
		if r.needs(f) {
			name, o = n, r
		}
		return o == nil
	})
	return name, o, err
}

// eachLive looks at the records of labs that run or are coming up, other than one, until it is told that this is enough. One that cannot be read
// needs nothing.
func eachLive(than string, look func(name string, r *record) bool) error {
	names, err := Names()
	if err != nil {
		return err
	}
	for _, n := range names {
		if n == than {
			continue
		}
		r, err := readRecord(dirOf(n))
		if err != nil || !alive(dirOf(n)) && !busy(dirOf(n)) {
			continue
		}
		if !look(n, r) {
			return nil
		}
	}
	return nil
}
