package image

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Media types of what Export writes.
const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// Export writes an image into an empty directory, as an OCI image layout with this one image: its layers, the lowest first, each by a
// function that writes the archive, and what it says about its command. It returns the manifest's digest.
func Export(dir string, layers []func(io.Writer) error, c Config) (digest string, err error) {
	fail := func(op string, err error) (string, error) { return "", &Error{Image: dir, Op: op, Err: err} }
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return fail("write the layout", err)
	}
	var descriptors []map[string]any
	var diffIDs []string
	for _, write := range layers {
		d, diffID, err := exportLayer(blobs, write)
		if err != nil {
			return fail("write a layer", err)
		}
		descriptors, diffIDs = append(descriptors, d), append(diffIDs, diffID)
	}
	config, err := exportJSON(blobs, typeConfig, map[string]any{
		"created": time.Now().UTC().Format(time.RFC3339), "architecture": runtime.GOARCH, "os": "linux",
		"config": c.exported(), "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	if err != nil {
		return fail("write the configuration", err)
	}
	manifest, err := exportJSON(blobs, typeManifest, map[string]any{"schemaVersion": 2, "mediaType": typeManifest, "config": config, "layers": descriptors})
	if err != nil {
		return fail("write the manifest", err)
	}
	manifest["platform"] = map[string]string{"os": "linux", "architecture": runtime.GOARCH}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion": "1.0.0"}`), 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644)
	}
	if err != nil {
		return fail("write the layout", err)
	}
	return manifest["digest"].(string), nil
}

// exported is the configuration as the OCI image specification has it.
func (c *Config) exported() map[string]any {
	set := func(list []string) map[string]struct{} {
		m := make(map[string]struct{}, len(list))
		for _, s := range list {
			m[s] = struct{}{}
		}
		return m
	}
	all := map[string]any{}
	for key, v := range map[string][]string{"Entrypoint": c.Entrypoint, "Cmd": c.Command, "Env": c.Env} {
		if len(v) > 0 {
			all[key] = v
		}
	}
	for key, v := range map[string]string{"User": c.User, "WorkingDir": c.Workdir} {
		if v != "" {
			all[key] = v
		}
	}
	for key, v := range map[string][]string{"Volumes": c.Volumes, "ExposedPorts": c.Ports} {
		if len(v) > 0 {
			all[key] = set(v)
		}
	}
	if c.StopSignal != "" {
		all["StopSignal"] = c.StopSignal
	}
	if h := c.Health; h != nil {
		all["Healthcheck"] = h.exported()
	}
	return all
}

func exportJSON(blobs, kind string, v any) (map[string]any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := digestOf(b)
	return map[string]any{"mediaType": kind, "digest": d, "size": len(b)}, os.WriteFile(filepath.Join(blobs, baseName(d)), b, 0o644)
}

// exportLayer writes one compressed archive under its digest, and returns that of its content, too.
func exportLayer(blobs string, write func(io.Writer) error) (d map[string]any, diffID string, err error) {
	f, err := os.CreateTemp(blobs, "layer")
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if f.Close(); err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	packed, content := sha256.New(), sha256.New()
	buffered := bufio.NewWriterSize(f, 1<<20)
	z, err := gzip.NewWriterLevel(io.MultiWriter(buffered, packed), gzip.BestSpeed)
	if err != nil {
		return nil, "", err
	}
	if err := write(io.MultiWriter(z, content)); err != nil {
		return nil, "", err
	}
	if err := z.Close(); err != nil {
		return nil, "", err
	}
	if err := buffered.Flush(); err != nil {
		return nil, "", err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, "", err
	}
	if err := f.Chmod(0o644); err != nil {
		return nil, "", err
	}
	digest := "sha256:" + hex.EncodeToString(packed.Sum(nil))
	if err := os.Rename(f.Name(), filepath.Join(blobs, baseName(digest))); err != nil {
		return nil, "", err
	}
	return map[string]any{"mediaType": typeLayer, "digest": digest, "size": st.Size()}, "sha256:" + hex.EncodeToString(content.Sum(nil)), nil
}
