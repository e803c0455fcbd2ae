package passwd

import "errors"

// What can be wrong with a spec; compare with errors.Is.
var (
	ErrNoUser  = errors.New("no such user")
	ErrNoGroup = errors.New("no such group")
	ErrSyntax  = errors.New("not of the form user[:group]")
	ErrRange   = errors.New("id out of range")
	ErrGroups  = errors.New("in too many groups")
)

// Error tells which word of a spec is wrong.
type Error struct {
	Word string
	Err  error
}

// Error returns the word, with control characters and quotes replaced by "?", and what
// is wrong with it.
func (e *Error) Error() string {
	word := []byte(e.Word)
	for i, c := range word {
		if c < ' ' || c >= 0x7f || c == '"' {
			word[i] = '?'
		}
	}
	return "look up \"" + string(word) + "\": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// maxGroups is NGROUPS_MAX of setgroups(2).
const maxGroups = 65536

// maxID is the highest id: the one above means "unchanged" to chown(2) and setuid(2).
const maxID = 1<<32 - 2

// Lookup finds the ids and the home directory that spec names in the contents of a
// passwd(5) and a group(5) file.
//
// A name must be in the files. A number need not be: without an entry its group is 0
// and its home is "/". Without a group in spec, the group is the passwd entry's and
// groups are the others whose member lists name the user, in file order; with a group
// in spec it is the only one. An empty spec is 0:0 without further groups, its home
// root's or "/root". Groups never holds gid itself. Lines that are malformed count as
// absent; of several entries of one name the first counts, as in getpwnam(3).
func Lookup(spec string, passwd, group []byte) (uid, gid uint32, groups []uint32, home string, err error) {
	if spec == "" {
		home = "/root"
		if u, ok := findUser(passwd, "", 0); ok {
			home = u.home
		}
		return 0, 0, nil, home, nil
	}
	userSpec, groupSpec, hasGroup := cut(spec)
	if userSpec == "" || hasGroup && groupSpec == "" || indexByte(groupSpec, ':') >= 0 {
		return 0, 0, nil, "", &Error{spec, ErrSyntax}
	}

	var u user
	if isNumber(userSpec) {
		id, ok := parseID(userSpec)
		if !ok {
			return 0, 0, nil, "", &Error{userSpec, ErrRange}
		}
		if u, ok = findUser(passwd, "", id); !ok {
			u = user{uid: id, home: "/"}
		}
	} else {
		var ok bool
		if u, ok = findUser(passwd, userSpec, 0); !ok {
			return 0, 0, nil, "", &Error{userSpec, ErrNoUser}
		}
	}

	if hasGroup {
		var ok bool
		if isNumber(groupSpec) {
			if gid, ok = parseID(groupSpec); !ok {
				return 0, 0, nil, "", &Error{groupSpec, ErrRange}
			}
		} else if gid, ok = findGroup(group, groupSpec); !ok {
			return 0, 0, nil, "", &Error{groupSpec, ErrNoGroup}
		}
		return u.uid, gid, nil, u.home, nil
	}
	if u.name != "" {
		groups = groupsOf(group, u.name, u.gid)
		if len(groups) > maxGroups {
			return 0, 0, nil, "", &Error{userSpec, ErrGroups}
		}
	}
	return u.uid, u.gid, groups, u.home, nil
}

// user is an entry of a passwd file.
type user struct {
	name     string
	uid, gid uint32
	home     string
}

// findUser returns the first entry of that name or, where name is empty, of that uid.
func findUser(passwd []byte, name string, uid uint32) (user, bool) {
	var f [7]string // name, password, uid, gid, gecos, home, shell
	for len(passwd) > 0 {
		var line []byte
		line, passwd = nextLine(passwd)
		if split(line, f[:]) != len(f) || f[0] == "" || name != "" && f[0] != name {
			continue
		}
		u := user{name: f[0], home: f[5]}
		var ok1, ok2 bool
		u.uid, ok1 = parseID(f[2])
		u.gid, ok2 = parseID(f[3])
		if !ok1 || !ok2 || name == "" && u.uid != uid {
			continue
		}
		if u.home == "" || u.home[0] != '/' || indexByte(u.home, 0) >= 0 {
			u.home = "/"
		}
		return u, true
	}
	return user{}, false
}

// findGroup returns the id of the first group of that name.
func findGroup(group []byte, name string) (uint32, bool) {
	var f [4]string // name, password, gid, members
	for len(group) > 0 {
		var line []byte
		line, group = nextLine(group)
		if split(line, f[:]) != len(f) || f[0] != name {
			continue
		}
		if id, ok := parseID(f[2]); ok {
			return id, true
		}
	}
	return 0, false
}

// groupsOf returns the ids of the groups that have name as a member, each once and
// without gid.
func groupsOf(group []byte, name string, gid uint32) []uint32 {
	var groups []uint32
	var f [4]string
	seen := map[uint32]bool{gid: true}
	for len(group) > 0 {
		var line []byte
		line, group = nextLine(group)
		if split(line, f[:]) != len(f) || f[0] == "" || !hasMember(f[3], name) {
			continue
		}
		if id, ok := parseID(f[2]); ok && !seen[id] {
			seen[id] = true
			groups = append(groups, id)
		}
	}
	return groups
}

// hasMember tells whether the comma-separated list holds name.
func hasMember(list, name string) bool {
	for list != "" {
		member := list
		if i := indexByte(list, ','); i >= 0 {
			member, list = list[:i], list[i+1:]
		} else {
			list = ""
		}
		if member == name {
			return true
		}
	}
	return false
}

// nextLine returns the first line of data, without its end, and what follows it.
func nextLine(data []byte) (line, rest []byte) {
	for i, c := range data {
		if c == '\n' {
			return data[:i], data[i+1:]
		}
	}
	return data, nil
}

// split puts the fields of line, which ":" separates, into f and returns how many the
// line has. It may have more than f holds.
func split(line []byte, f []string) int {
	n, start := 0, 0
	for i := 0; i <= len(line); i++ {
		if i < len(line) && line[i] != ':' {
			continue
		}
		if n < len(f) {
			f[n] = string(line[start:i])
		}
		n, start = n+1, i+1
	}
	return n
}

// cut splits spec at its first ":".
func cut(spec string) (user, group string, found bool) {
	if i := indexByte(spec, ':'); i >= 0 {
		return spec[:i], spec[i+1:], true
	}
	return spec, "", false
}

func indexByte(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// isNumber tells whether s is made of digits only.
func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// parseID returns the id that s, decimal, stands for.
func parseID(s string) (uint32, bool) {
	if !isNumber(s) {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		n = n*10 + uint64(s[i]-'0')
		if n > maxID {
			return 0, false
		}
	}
	return uint32(n), true
}
