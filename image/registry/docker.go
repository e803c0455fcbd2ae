package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ErrHelper is a credential helper that cannot tell what it keeps.
var ErrHelper = errors.New("its credential helper fails")

// dockerConfig is the part of Docker's configuration that says who the user is.
type dockerConfig struct {
	Auths map[string]struct {
		Auth, Username, Password, IdentityToken string
	}
	CredHelpers map[string]string // by registry
	CredsStore  string            // of all others
}

// DockerCredentials finds credentials as Docker's client keeps them: in $DOCKER_CONFIG/config.json, or
// ~/.docker/config.json, and in the credential helpers that it names.
func DockerCredentials(ctx context.Context, registry string) (*Credentials, error) {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, nil //nolint:nilnil,nilerr // nobody's: no credentials
		}
		dir = filepath.Join(home, ".docker")
	}
	path := filepath.Join(dir, "config.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is no failure
	}
	if err != nil {
		return nil, err
	}
	var f dockerConfig
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	keys := configKeys(registry)
	if h := f.helper(keys); h != "" {
		c, err := askHelper(ctx, h, keys[0])
		if c != nil || err != nil {
			return c, err
		}
	}
	c, err := f.inFile(keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// configKeys are the names that a registry may have in Docker's configuration; by the first its client keeps passwords.
func configKeys(registry string) []string {
	keys := []string{registry, "https://" + registry, "https://" + registry + "/v1/", "https://" + registry + "/v2/"}
	if registry == "docker.io" {
		keys = append([]string{"https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io"}, keys...)
	}
	return keys
}

// helper is which one keeps the password; empty: none.
func (f *dockerConfig) helper(keys []string) string {
	for _, k := range keys {
		if h := f.CredHelpers[k]; h != "" {
			return h
		}
	}
	return f.CredsStore
}

// inFile finds what the file itself has.
func (f *dockerConfig) inFile(keys []string) (*Credentials, error) {
	for _, k := range keys {
		a, ok := f.Auths[k]
		c := &Credentials{User: a.Username, Password: a.Password, IdentityToken: a.IdentityToken}
		if a.Auth != "" {
			text, err := base64.StdEncoding.DecodeString(a.Auth)
			user, password, colon := strings.Cut(strings.TrimRight(string(text), "\x00"), ":")
			if err != nil || !colon {
				return nil, fmt.Errorf("auth of %s is not user:password in base64", k)
			}
			c.User, c.Password = user, password
		}
		if ok && (c.User != "" || c.IdentityToken != "") {
			return c, nil
		}
	}
	return nil, nil //nolint:nilnil // none is no failure
}

// maxSecret is how much a helper may say.
const maxSecret = 1 << 20

// askHelper runs docker-credential-NAME, as Docker's client does: the registry on its standard input, JSON on its output.
// One that has nothing of the registry says so, which is no failure.
func askHelper(ctx context.Context, name, registry string) (*Credentials, error) {
	program := "docker-credential-" + name
	if strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("%w: %q is no name of one", ErrHelper, name)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "get")
	cmd.WaitDelay = time.Second // for children of its that hold the output
	cmd.Stdin = strings.NewReader(registry)
	out := &capped{left: maxSecret}
	cmd.Stdout = out
	err := cmd.Run()
	if err != nil && strings.Contains(out.kept.String(), "credentials not found") {
		return nil, nil //nolint:nilnil // none is no failure
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w: run %s: %w", ErrHelper, program, err)
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out.kept.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("%w: the answer of %s is not what such programs say", ErrHelper, program) // and may be a password
	}
	if answer.Username == "<token>" {
		return &Credentials{IdentityToken: answer.Secret}, nil
	}
	return &Credentials{User: answer.Username, Password: answer.Secret}, nil
}

// capped keeps what is written to it, and fails beyond its capacity.
type capped struct {
	kept bytes.Buffer // and no ReadFrom, which would take more
	left int
}

func (c *capped) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrAnswer, maxSecret)
	}
	return c.kept.Write(p)
}
