package registry

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestProxyFromEnvironment(t *testing.T) {
	for _, c := range []struct{ proxy, no, target, want string }{
		{"", "", "https://example.org/", ""},
		{"http://proxy:3128", "", "https://example.org/", "http://proxy:3128"},
		{"proxy:3128", "", "https://example.org/", "http://proxy:3128"},
		{"https://u:p@proxy", "", "https://example.org/", "https://u:p@proxy"},
		{"http://proxy", "", "http://localhost:5000/", ""},
		{"http://proxy", "", "https://localhost:5000/", ""},
		{"http://proxy", "", "https://127.3.2.1/", ""},
		{"http://proxy", "*", "https://example.org/", ""},
		{"http://proxy", "example.org", "https://example.org/", ""},
		{"http://proxy", "a.test, Example.ORG ", "https://reg.example.org/", ""},
		{"http://proxy", ".example.org", "https://reg.example.org/", ""},
		{"http://proxy", ".example.org", "https://example.org/", "http://proxy"},
		{"http://proxy", "*.example.org", "https://reg.example.org/", ""},
		{"http://proxy", "example.org", "https://notexample.org/", "http://proxy"},
		{"http://proxy", "example.org:5000", "https://example.org:5000/", ""},
		{"http://proxy", "example.org:5000", "https://example.org/", "http://proxy"},
		{"http://proxy", "example.org:443", "https://example.org/", ""},
		{"http://proxy", "10.0.0.0/8", "https://10.1.2.3:5000/", ""},
		{"http://proxy", "10.0.0.0/8", "https://11.1.2.3/", "http://proxy"},
		{"http://proxy", "10.0.0.0/8", "https://10.example.org/", "http://proxy"},
		{"http://proxy", "10.1.2.3", "https://10.1.2.3/", ""},
		{"http://proxy", "fd00::1,[fd00::2]:5000", "https://[fd00::1]/", ""},
		{"http://proxy", "[fd00::2]:5000", "https://[fd00::2]:5000/", ""},
		{"http://proxy", ",,", "https://example.org/", "http://proxy"},
		{"socks5://proxy", "", "https://example.org/", "error"},
		{"http://", "", "https://example.org/", "error"},
		{"http://pass%zz@word", "", "https://example.org/", "error"},
	} {
		t.Setenv("https_proxy", "")
		t.Setenv("no_proxy", "")
		t.Setenv("HTTPS_PROXY", c.proxy)
		t.Setenv("NO_PROXY", c.no)
		u, err := url.Parse(c.target)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		p, err := proxyFromEnvironment(u)
		switch {
		case err != nil:
			if got = "error"; strings.Contains(err.Error(), "word") {
				t.Errorf("the password is in the message: %v", err)
			}
		case p != nil:
			got = p.String()
		}
		if got != c.want {
			t.Errorf("%+v: %q (%v)", c, got, err)
		}
	}
	t.Setenv("HTTPS_PROXY", "http://other")
	t.Setenv("https_proxy", "http://proxy")
	if p, err := proxyFromEnvironment(&url.URL{Scheme: "https", Host: "example.org"}); err != nil || p == nil || p.Host != "proxy" {
		t.Errorf("in lower case: %v, %v", p, err)
	}
}

// forwarder is a proxy that connects to one server, whatever it is asked for.
func forwarder(t *testing.T, to string, asked *[]string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, req *http.Request) {
		*asked = append(*asked, req.Method+" "+req.RequestURI+" "+req.Header.Get("Proxy-Authorization"))
		if strings.HasPrefix(req.Host, "forbidden.example") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		there, err := (&net.Dialer{}).DialContext(req.Context(), "tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		defer there.Close()
		w.WriteHeader(http.StatusOK)
		here, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer here.Close()
		go func() { _, _ = io.Copy(there, rw) }()
		_, _ = io.Copy(here, there)
	}
}

// Content comes through a proxy, which sees no more of it than where it comes from.
func TestProxy(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Proxy-Authorization") != "" {
			t.Error("the proxy's password went along")
		}
		_, _ = io.WriteString(w, "m")
	}))
	defer s.Close()
	for _, secure := range []bool{false, true} {
		var asked []string
		p := httptest.NewUnstartedServer(forwarder(t, s.Listener.Addr().String(), &asked))
		if secure {
			p.StartTLS()
		} else {
			p.Start()
		}
		at, err := url.Parse(p.URL)
		if err != nil {
			t.Fatal(err)
		}
		at.User = url.UserPassword("me", "pw")
		c := Client{roots: x509.NewCertPool(), proxy: func(*url.URL) (*url.URL, error) { return at, nil }}
		c.roots.AddCert(s.Certificate())
		if b, err := c.Manifest(context.Background(), reference(t, "example.com/i"), ""); err != nil || string(b) != "m" {
			t.Errorf("%q, %v", b, err)
		}
		if want := "CONNECT example.com:443 Basic " + base64Of("me:pw"); len(asked) != 1 || asked[0] != want {
			t.Errorf("the proxy was asked %q, and not %q", asked, want)
		}
		_, err = c.Manifest(context.Background(), reference(t, "forbidden.example/i"), "")
		if err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), at.Host) || strings.Contains(err.Error(), "pw") {
			t.Errorf("the error is %v", err)
		}
		p.Close()
		if _, err := c.Manifest(context.Background(), reference(t, "example.com/i"), ""); err == nil || !strings.Contains(err.Error(), "proxy") {
			t.Errorf("without the proxy: %v", err)
		}
	}
}
