package lab

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/topology"
)

// What a node writes into a bind that is rw without idmap outlives the lab, and is to be the node's again when that comes up anew, with whatever ids.
// So it belongs on the disk to a range of ids that no process has, of a node's own for each directory with topology files: the bind is mounted
// idmapped, with that range for the node's and every id of the host as it is. Ranges are a keyed hash, above what nodes have, so that nothing has
// to be remembered but the key, and nobody can aim at the range of another.
const (
	firstBindID = 1 << 31
	bindRanges  = 1<<15 - 1 // the last one would have the id -1
)

const (
	keyFile = "key"
	keySize = 32
)

// bindNode is a node that gets binds.
type bindNode struct {
	name   string
	userns int    // its user namespace; negative: the host's
	base   uint32 // its first id
}

// idsOf is the first id that belongs on the disk to the root of a node that writes a bind.
func idsOf(key []byte, source topology.HostPath, node string) uint32 {
	whose := []string{"elsewhere", source.Real}
	if source.Beneath != "" {
		dir := source.Real
		if source.Beneath != "." {
			dir = strings.TrimSuffix(dir, "/"+source.Beneath)
		}
		whose = []string{"beneath", dir, ""}
		var st unix.Stat_t
		if unix.Stat(dir, &st) == nil {
			whose[2] = strconv.Itoa(int(st.Uid)) // who makes a directory of a former one's name has not its ids
		}
	}
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(strings.Join(append(whose, node), "\x00")))
	return firstBindID + uint32(binary.BigEndian.Uint64(h.Sum(nil))%bindRanges)*container.IDs
}

// bindMap maps what is on the disk to what is seen: the range at disk is the node's, ids of nodes are nobody's, and all others are as they are.
func bindMap(disk, base uint32) []syscall.SysProcIDMap {
	same := func(from, to uint32) syscall.SysProcIDMap {
		return syscall.SysProcIDMap{ContainerID: int(from), HostID: int(from), Size: int(to - from)}
	}
	const none = 1<<32 - 1
	return []syscall.SysProcIDMap{same(0, firstID), same(lastID, disk), {ContainerID: int(disk), HostID: int(base), Size: container.IDs}, same(disk+container.IDs, none)}
}

// bindKey reads the machine's key, and makes it if there is none.
func bindKey() ([]byte, error) {
	name := filepath.Join(IDsDir, keyFile)
	key, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeBindKey(name); err == nil || errors.Is(err, fs.ErrExist) {
			key, err = os.ReadFile(name)
		}
	}
	if err == nil && len(key) != keySize {
		err = fmt.Errorf("%s is damaged: remove it, and give what nodes have in their binds to the ids that they have then", name)
	}
	return key, err
}

func makeBindKey(name string) error {
	if err := os.MkdirAll(IDsDir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(IDsDir, keyFile)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), name) // another up may have made one
}

// ownersOf makes the user namespace by which a bind is mounted that a node writes without idmap. The calling thread is locked.
func (f *hostFiles) ownersOf(b topology.Bind, n bindNode) (*os.File, error) {
	key, err := bindKey()
	if err != nil {
		return nil, err
	}
	source, err := f.lead(b.Source)
	if err != nil {
		return nil, err
	}
	return newUserns(bindMap(idsOf(key, source, n.name), n.base))
}

// firstIDOf is the first id of the node whose init this is, as the host sees it. user_namespaces(7).
func firstIDOf(pid int) (uint32, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/uid_map")
	if err != nil {
		return 0, err
	}
	var inside, base, count uint32
	if n, err := fmt.Sscan(string(b), &inside, &base, &count); n != 3 || inside != 0 || count != container.IDs {
		return 0, fmt.Errorf("its ids are not known: %q: %w", b, err)
	}
	return base, nil
}
