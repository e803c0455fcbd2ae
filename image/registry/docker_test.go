package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dockerFile makes a configuration of Docker's the present one.
func dockerFile(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	if text == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestDockerCredentials(t *testing.T) {
	ctx := context.Background()
	dockerFile(t, "")
	if c, err := DockerCredentials(ctx, "docker.io"); c != nil || err != nil {
		t.Errorf("without a file: %v, %v", c, err)
	}
	dockerFile(t, `{"auths":{"https://index.docker.io/v1/":{"auth":"`+base64Of("hub:p:w")+`"},"example.org:5000":{"username":"u","password":"p"},
		"token.example":{"identitytoken":"t","auth":"`+base64Of("00000000-0000-0000-0000-000000000000:")+`"},"empty.example":{},"broken.example":{"auth":"!"}}}`)
	for registry, want := range map[string]Credentials{
		"docker.io": {User: "hub", Password: "p:w"}, "example.org:5000": {User: "u", Password: "p"},
		"token.example": {User: "00000000-0000-0000-0000-000000000000", IdentityToken: "t"},
	} {
		if c, err := DockerCredentials(ctx, registry); err != nil || c == nil || *c != want {
			t.Errorf("%s: %v, %v", registry, c, err)
		}
	}
	for _, registry := range []string{"example.org", "empty.example"} {
		if c, err := DockerCredentials(ctx, registry); c != nil || err != nil {
			t.Errorf("%s: %v, %v", registry, c, err)
		}
	}
	if _, err := DockerCredentials(ctx, "broken.example"); err == nil || strings.Contains(err.Error(), "!") {
		t.Errorf("nonsense was decoded, or shown: %v", err)
	}
	dockerFile(t, "{")
	if _, err := DockerCredentials(ctx, "docker.io"); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("half a file: %v", err)
	}
}

// helpers puts credential helpers into PATH, each a shell script which has the registry in $r.
func helpers(t *testing.T, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		text := "#!/bin/sh\n[ \"$1\" = get ] || exit 9\nr=$(cat)\n" + script + "\n"
		if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestHelpers(t *testing.T) {
	helpers(t, map[string]string{
		"store":  `case $r in https://index.docker.io/v1/|kept.example) echo "{\"ServerURL\":\"$r\",\"Username\":\"of-store\",\"Secret\":\"$r\"}";; *) echo "credentials not found in native keychain"; exit 1;; esac`,
		"own":    `echo '{"Username":"of-own","Secret":"s"}'`,
		"token":  `echo '{"Username":"<token>","Secret":"refresh"}'`,
		"broken": `echo secret-nonsense`,
		"failed": `echo "no such keyring"; exit 1`,
		"much":   `head -c 3000000 /dev/zero`,
	})
	dockerFile(t, `{"credsStore":"store","credHelpers":{"own.example":"own","token.example":"token","broken.example":"broken","failed.example":"failed",
		"much.example":"much","missing.example":"missing","evil.example":"../../evil"},
		"auths":{"own.example":{"auth":"`+base64Of("of-file:x")+`"},"file.example":{"auth":"`+base64Of("of-file:x")+`"},"kept.example":{}}}`)
	ctx := context.Background()
	for registry, want := range map[string]*Credentials{
		"docker.io":     {User: "of-store", Password: "https://index.docker.io/v1/"},
		"kept.example":  {User: "of-store", Password: "kept.example"},
		"own.example":   {User: "of-own", Password: "s"}, // the helper comes before the file
		"token.example": {IdentityToken: "refresh"},
		"file.example":  {User: "of-file", Password: "x"}, // of which the store knows nothing
		"none.example":  nil,
	} {
		c, err := DockerCredentials(ctx, registry)
		if err != nil || (c == nil) != (want == nil) || c != nil && *c != *want {
			t.Errorf("%s: %v, %v", registry, c, err)
		}
	}
	for _, name := range []string{"broken", "failed", "much", "missing", "evil"} {
		c, err := DockerCredentials(ctx, name+".example")
		if c != nil || !errors.Is(err, ErrHelper) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}

// One that hangs ends with the pull.
func TestHelperHangs(t *testing.T) {
	helpers(t, map[string]string{"slow": "exec sleep 1000"})
	dockerFile(t, `{"credsStore":"slow"}`)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	if _, err := DockerCredentials(ctx, "x.example"); !errors.Is(err, cause) {
		t.Errorf("the error is %v", err)
	}
}

// An identity token is exchanged for one of the registry, by POST, and goes nowhere else.
func TestIdentityToken(t *testing.T) {
	t.Parallel()
	var s *httptest.Server
	s, ref := serve(t, func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == "/token":
			if err := req.ParseForm(); err != nil || req.Method != http.MethodPost || req.Header.Get("Authorization") != "" {
				t.Errorf("%s, %v", req.Method, err)
			}
			for key, want := range map[string]string{"grant_type": "refresh_token", "refresh_token": "id&entity", "service": "reg", "scope": "repository:some/image:pull"} {
				if got := req.PostForm.Get(key); got != want {
					t.Errorf("%s is %q", key, got)
				}
			}
			if req.URL.RawQuery != "" {
				t.Errorf("in the URL, which is logged: %s", req.URL.RawQuery)
			}
			_, _ = io.WriteString(w, `{"access_token":"t0ken"}`)
		case req.Header.Get("Authorization") == "Bearer t0ken":
			_, _ = io.WriteString(w, "secret")
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="reg"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := Client{Credentials: func(context.Context, string) (*Credentials, error) {
		return &Credentials{User: "x", IdentityToken: "id&entity"}, nil
	}}
	if b, err := c.Manifest(context.Background(), ref, ""); err != nil || string(b) != "secret" {
		t.Errorf("%q, %v", b, err)
	}
}
