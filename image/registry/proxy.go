package registry

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// proxyFromEnvironment is the proxy that HTTPS_PROXY and NO_PROXY, or https_proxy and no_proxy, name for a URL; nil is none.
// Plain http is spoken to this machine alone, which no proxy reaches, so that HTTP_PROXY has no say.
func proxyFromEnvironment(u *url.URL) (*url.URL, error) {
	env := func(name string) string {
		if v := os.Getenv(strings.ToLower(name)); v != "" {
			return v
		}
		return os.Getenv(name)
	}
	text := env("HTTPS_PROXY")
	if text == "" || u.Scheme != "https" || loopback(u) || exempt(env("NO_PROXY"), u) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	p, err := url.Parse(text)
	switch {
	case err != nil || p.Hostname() == "":
		return nil, errors.New("HTTPS_PROXY is not a URL such as http://proxy.example:3128") // the text may have a password in it
	case p.Scheme != "http" && p.Scheme != "https":
		return nil, fmt.Errorf("HTTPS_PROXY is of the kind %s, and not http or https", p.Scheme)
	}
	return p, nil
}

// exempt tells whether a list as NO_PROXY has it names the URL's host: by *, by an address, a subnet, or a domain, which stands
// for those below it as well; each with a port or for all ports.
func exempt(list string, u *url.URL) bool {
	host, port := strings.ToLower(u.Hostname()), portOf(u)
	addr, aerr := netip.ParseAddr(host)
	for item := range strings.SplitSeq(list, ",") {
		item = strings.ToLower(strings.TrimSpace(item))
		if item == "*" {
			return true
		}
		if subnet, err := netip.ParsePrefix(item); err == nil {
			if aerr == nil && subnet.Contains(addr.Unmap()) {
				return true
			}
			continue
		}
		if h, p, err := net.SplitHostPort(item); err == nil {
			if p != port {
				continue
			}
			item = h
		}
		item = strings.Trim(item, "[]")
		if a, err := netip.ParseAddr(item); err == nil {
			if aerr == nil && a.Unmap() == addr.Unmap() {
				return true
			}
			continue
		}
		below := "." + strings.TrimPrefix(strings.TrimPrefix(item, "*"), ".")
		if item != "" && (strings.HasSuffix(host, below) || "."+host == below && !strings.HasPrefix(item, ".") && !strings.HasPrefix(item, "*")) {
			return true
		}
	}
	return false
}

// portOf is the port that a URL leads to.
func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}

// tunnel asks the proxy at the other end of conn for a connection to u's host. What follows is TLS with that host, which the
// proxy cannot read. RFC 9110 section 9.3.6.
func tunnel(conn net.Conn, proxy, u *url.URL) error {
	to := net.JoinHostPort(u.Hostname(), portOf(u))
	head := "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\nUser-Agent: nsnet\r\n"
	if proxy.User != nil {
		password, _ := proxy.User.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(proxy.User.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return err
	}
	// Byte by byte: what comes behind the answer is the other end's.
	r, err := readHead(bufio.NewReaderSize(single{conn}, 16))
	if err != nil {
		return fmt.Errorf("the proxy %s: %w", proxy.Host, err)
	}
	if r.status/100 != 2 {
		return fmt.Errorf("the proxy %s refuses to connect to %s: status %d", proxy.Host, to, r.status)
	}
	return nil
}

// single reads one byte at a time.
type single struct{ io.Reader }

func (s single) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 1)]) }
