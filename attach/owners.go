package attach

import (
	"fmt"
	"os"
	"strings"
)

// owners are the ids of users, as the host knows them, that a target has.
type owners []struct{ first, count uint64 }

// ownersOf reads which those of a process's user namespace are. user_namespaces(7), uid_map.
func ownersOf(pid int) (owners, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil {
		return nil, err
	}
	return parseOwners(string(b))
}

func parseOwners(text string) (owners, error) {
	var all owners
	for line := range strings.Lines(text) {
		var inside, first, count uint64
		if _, err := fmt.Sscan(line, &inside, &first, &count); err != nil {
			return nil, fmt.Errorf("read the ids of its users: %q: %w", strings.TrimSpace(line), err)
		}
		all = append(all, struct{ first, count uint64 }{first, count})
	}
	return all, nil
}

// check refuses an owner who is none of the target's: what that one has, the target's root could not change itself.
func (o owners) check(uid uint32) error {
	for _, r := range o {
		if uint64(uid) >= r.first && uint64(uid)-r.first < r.count {
			return nil
		}
	}
	return fmt.Errorf("it belongs to user %d of the host, who is none of the target's: it is seen there by a link or a bind", uid)
}
