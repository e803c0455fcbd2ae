package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/engines"
)

// imageRuns is how often each way to get the image is measured, imageUps how often small labs come up.
const (
	imageRuns = 5
	imageUps  = 31
)

// withStore runs f while nsnet's store is a directory on the disk that Docker's is on, and not on the sandbox's tmpfs.
func withStore(dir string, f func() error) error {
	const at = "/var/lib/nsnet"
	store := filepath.Join(dir, "store")
	if err := os.MkdirAll(store, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(store, at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the store's directory: %w", err)
	}
	return errors.Join(f(), unix.Unmount(at, unix.MNT_DETACH), os.RemoveAll(store))
}

// measureLoad compares what it takes to have an image of 100 MB unpacked.
func measureLoad(ctx context.Context, o options, dir string) (t table, err error) {
	if o.nsnet == "" {
		return table{}, errors.New("needs nsnet")
	}
	saved, img, err := makeImage(dir)
	if err != nil {
		return table{}, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return table{}, err
	}
	server := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	defer func() { _ = server.Close() }()
	at := l.Addr().String() + "/image:1"
	ref, err := name.ParseReference(at)
	if err != nil {
		return table{}, err
	}
	if err := remote.Write(ref, img, remote.WithContext(ctx)); err != nil {
		return table{}, fmt.Errorf("fill the registry: %w", err)
	}
	e, err := engines.Docker(ctx, "nsnet-bench-"+filepath.Base(dir))
	if err != nil {
		return table{}, err
	}
	defer func() { err = errors.Join(err, e.Stop()) }()
	if err := os.Setenv("DOCKER_HOST", "unix://"+e.Socket); err != nil {
		return table{}, err
	}
	docker := func(args ...string) []string { argv, _ := e.Command(args...); return argv }
	contenders := []struct {
		name        string
		get, remove []string
	}{
		{"docker load FILE", docker("load", "--quiet", "--input", saved), docker("rmi", imageName)},
		{"nsnet image pull docker-archive:FILE", []string{o.nsnet, "image", "pull", "docker-archive:" + saved}, []string{o.nsnet, "image", "rm", "docker-archive:" + saved}},
		{"docker pull, gzip", docker("pull", "--quiet", at), docker("rmi", at)},
		{"nsnet image pull, gzip", []string{o.nsnet, "image", "pull", at}, []string{o.nsnet, "image", "rm", at}},
	}
	took := make([][]time.Duration, len(contenders))
	err = withStore(dir, func() error {
		for range imageRuns {
			for i, c := range contenders {
				unix.Sync() // what the one before has left to be written
				d, err := timed(ctx, c.get...)
				if err != nil {
					return err
				}
				took[i] = append(took[i], d)
				if _, err := output(ctx, c.remove...); err != nil {
					return err
				}
			}
		}
		return nil
	})
	t = table{
		title: fmt.Sprintf("An image of %d MB in %d layers, from a file and from a registry on this machine: medians of %s", int(imageBytes/1e6), imageLayers, plural(imageRuns, "run")),
		head:  []string{"", "time", "/ docker load"},
	}
	for i, c := range contenders {
		t.rows = append(t.rows, []string{c.name, millis(median(took[i])), ratio(median(took[i]), median(took[0]))})
	}
	return t, err
}

// withImage runs f with the image in the store, under a name for topology files.
func withImage(ctx context.Context, o options, dir string, f func(image string) error) error {
	if o.nsnet == "" {
		return errors.New("needs nsnet")
	}
	saved, _, err := makeImage(dir)
	if err != nil {
		return err
	}
	return withStore(dir, func() error {
		if _, err := output(ctx, o.nsnet, "image", "import", saved, imageName); err != nil {
			return err
		}
		return f(imageName)
	})
}

// measureImageNodes is what a node of an image costs over one of the host's root.
func measureImageNodes(ctx context.Context, o options, dir string) (table, error) {
	sizes := []int{1, 2, memoryNodes}
	t := table{
		title: fmt.Sprintf("up of idle nodes on one bridge, of the host's root and of an image in the store with %d layers: medians of %s, of %d nodes %d",
			imageLayers, plural(imageUps, "run"), memoryNodes, imageRuns),
		head: []string{"nodes", "host", "image", "image / host"},
	}
	err := withImage(ctx, o, dir, func(image string) error {
		for _, n := range sizes {
			runs := imageUps
			if n == memoryNodes {
				runs = imageRuns
			}
			took := map[string][]time.Duration{}
			for range runs {
				for _, root := range []string{"host", image} {
					d, err := upAndDown(ctx, o, dir, n, root)
					if err != nil {
						return err
					}
					took[root] = append(took[root], d)
				}
			}
			host, own := median(took["host"]), median(took[image])
			t.rows = append(t.rows, []string{strconv.Itoa(n), millis(host), millis(own), ratio(own, host)})
		}
		return nil
	})
	return t, err
}

func upAndDown(ctx context.Context, o options, dir string, n int, root string) (time.Duration, error) {
	path := filepath.Join(dir, "star.yaml")
	if err := os.WriteFile(path, []byte(star(n, root)), 0o600); err != nil {
		return 0, err
	}
	d, err := timed(ctx, o.nsnet, "up", path)
	if err != nil {
		return 0, err
	}
	_, err = output(ctx, o.nsnet, "down", labName())
	return d, err
}

// measureSharing shows that all nodes of an image have the same files, on disk and in memory: each of them reads a layer.
func measureSharing(ctx context.Context, o options, dir string) (table, error) {
	t := table{
		title: fmt.Sprintf("%d nodes of an image of %d MB, each of which reads one of its %d layers", memoryNodes, int(imageBytes/1e6), imageLayers),
		head:  []string{"", "before", "after"},
	}
	err := withImage(ctx, o, dir, func(image string) (err error) {
		path := filepath.Join(dir, "star.yaml")
		if err := os.WriteFile(path, []byte(star(memoryNodes, image)), 0o600); err != nil {
			return err
		}
		store := filepath.Join(dir, "store")
		disk, layer, err := usage(store, imageDir(1))
		if err != nil {
			return err
		}
		if _, err := output(ctx, o.nsnet, "up", path); err != nil {
			return err
		}
		defer func() {
			_, derr := output(context.WithoutCancel(ctx), o.nsnet, "down", labName())
			err = errors.Join(err, derr)
		}()
		if err := forget(store); err != nil {
			return err
		}
		before, err := cached()
		if err != nil {
			return err
		}
		for i := 1; i <= memoryNodes; i++ {
			node := fmt.Sprintf("%s/n%d", labName(), i)
			if _, err := output(ctx, o.nsnet, "exec", node, "--", "/bin/busybox", "find", "/"+imageDir(1), "-type", "f",
				"-exec", "/bin/busybox", "cat", "{}", "+"); err != nil {
				return err
			}
		}
		after, err := cached()
		if err != nil {
			return err
		}
		diskAfter, _, err := usage(store, imageDir(1))
		t.rows = [][]string{
			{"the store on disk", megabytes(disk), megabytes(diskAfter)},
			{fmt.Sprintf("all page cache of the machine (the layer: %s)", megabytes(layer)), megabytes(before), megabytes(after)},
		}
		return err
	})
	return t, err
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// forget takes what is below dir out of the page cache. posix_fadvise(2).
func forget(dir string) error {
	unix.Sync() // dirty pages would stay
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// cached is the size of the machine's page cache, which tmpfs is part of. proc_meminfo(5).
func cached() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Cached:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("read meminfo: no Cached in it")
}

// usage is the blocks of all that is below dir, and of what is below directories called part.
func usage(dir, part string) (all, ofPart int64, err error) {
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		const block = 512
		all += st.Blocks * block
		if strings.Contains(path, "/"+part+"/") {
			ofPart += st.Blocks * block
		}
		return err
	})
	return all, ofPart, err
}
