package registry

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits of what a server may answer.
const (
	maxHeader    = 64 << 10
	maxRedirects = 5
	patience     = 30 * time.Second // for a connection, and for each piece of an answer
)

// response is an answer whose body has not been read.
type response struct {
	status int
	header map[string][]string // by lower-case name
	url    *url.URL            // whose answer it is, after redirects
	body   io.ReadCloser
	length int64 // -1 when it is not known
}

func (r *response) get(name string) string {
	if v := r.header[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// loopback tells whether a host is this machine and no other, by its name alone.
func loopback(u *url.URL) bool {
	host := u.Hostname()
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// request is one that is made.
type request struct {
	url    *url.URL
	header [][2]string
	form   string // what is posted; empty: a GET
}

// plainly reports whether what was first asked may be asked this in plain http: a registry on this machine, and nothing else there, which
// may be somebody's own and send this process, which is root, to whatever listens beside it.
func plainly(first, u *url.URL) bool {
	return loopback(first) && u.Scheme == "http" && first.Scheme == "http" && u.Host == first.Host
}

// get asks for a URL with these headers; redirects are followed, without the headers where they lead to another host.
func (c *Client) get(ctx context.Context, u *url.URL, header [][2]string) (*response, error) {
	first := u
	for range maxRedirects + 1 {
		if u.Scheme != "https" && !plainly(first, u) {
			return nil, fmt.Errorf("%w: %s is not https", ErrRefused, plainURL(u))
		}
		r, err := c.once(ctx, &request{url: u, header: header})
		if err != nil {
			return nil, err
		}
		switch r.status {
		case 301, 302, 303, 307, 308:
		default:
			return r, nil
		}
		r.body.Close()
		next, err := u.Parse(r.get("location"))
		if err != nil || r.get("location") == "" {
			return nil, fmt.Errorf("%w: %s redirects to nowhere", ErrAnswer, plainURL(u))
		}
		if next.Host != u.Host || next.Scheme != u.Scheme {
			header = without(header, "Authorization")
		}
		u = next
	}
	return nil, fmt.Errorf("%w: more than %d redirects", ErrAnswer, maxRedirects)
}

func without(header [][2]string, name string) [][2]string {
	var out [][2]string
	for _, h := range header {
		if h[0] != name {
			out = append(out, h)
		}
	}
	return out
}

// plainURL is a URL for people: without the query, which may hold a signature.
func plainURL(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// once makes one request on a connection of its own.
func (c *Client) once(ctx context.Context, req *request) (*response, error) {
	proxy, err := c.proxyOf(req.url)
	if err != nil {
		return nil, err
	}
	peer := req.url
	if proxy != nil {
		peer = proxy
	}
	dial := c.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: patience}).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(peer.Hostname(), portOf(peer)))
	if err != nil && proxy != nil {
		return nil, fmt.Errorf("connect to the proxy: %w", err)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	w := &wireConn{Conn: conn, ctx: ctx}
	r, err := c.exchange(ctx, w, proxy, req)
	if err != nil {
		stop()
		conn.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("get %s: %w", plainURL(req.url), err)
	}
	body := r.body
	r.body = &closer{Reader: body, close: func() error { stop(); return conn.Close() }}
	return r, nil
}

func (c *Client) proxyOf(u *url.URL) (*url.URL, error) {
	if c.proxy != nil {
		return c.proxy(u)
	}
	return proxyFromEnvironment(u)
}

func (c *Client) exchange(ctx context.Context, conn net.Conn, proxy *url.URL, req *request) (*response, error) {
	// From the outside in: TLS with the proxy, the tunnel through it, TLS with the server.
	secure := func(u *url.URL) error {
		if u.Scheme != "https" {
			return nil
		}
		t := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: c.roots})
		conn = t
		return t.HandshakeContext(ctx)
	}
	if proxy != nil {
		if err := secure(proxy); err != nil {
			return nil, fmt.Errorf("the proxy %s: %w", proxy.Host, err)
		}
		if err := tunnel(conn, proxy, req.url); err != nil {
			return nil, err
		}
	}
	if err := secure(req.url); err != nil {
		return nil, err
	}
	method := "GET"
	if req.form != "" {
		method = "POST"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: nsnet\r\nConnection: close\r\nAccept-Encoding: identity\r\n", method, req.url.RequestURI(), req.url.Host)
	if req.form != "" {
		fmt.Fprintf(&b, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(req.form))
	}
	for _, h := range req.header {
		if strings.ContainsAny(h[1], "\r\n") {
			return nil, fmt.Errorf("%w: a line break in a header", ErrRefused)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n" + req.form)
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return nil, err
	}
	br := bufio.NewReaderSize(conn, 64<<10)
	for {
		r, err := readHead(br)
		if err != nil {
			return nil, err
		}
		if r.status >= 200 {
			r.url = req.url
			return r, r.setBody(br)
		}
	}
}

// readHead reads an answer's first line and its headers.
func readHead(br *bufio.Reader) (*response, error) {
	left := maxHeader
	line, err := readLine(br, &left)
	if err != nil {
		return nil, err
	}
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if !strings.HasPrefix(version, "HTTP/1.") || err != nil || len(code) != 3 {
		return nil, fmt.Errorf("%w: it does not speak HTTP: %q", ErrAnswer, line[:min(len(line), 80)])
	}
	r := &response{status: status, header: map[string][]string{}, length: -1}
	for {
		line, err := readLine(br, &left)
		if err != nil {
			return nil, err
		}
		if line == "" {
			return r, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("%w: a malformed header", ErrAnswer)
		}
		name = strings.ToLower(name)
		r.header[name] = append(r.header[name], strings.TrimSpace(value))
	}
}

// readLine reads a line without its end, at most *left bytes.
func readLine(br *bufio.Reader, left *int) (string, error) {
	var b []byte
	for {
		part, err := br.ReadSlice('\n')
		b = append(b, part...)
		if *left -= len(part); *left < 0 {
			return "", fmt.Errorf("%w: more than %d bytes of headers", ErrAnswer, maxHeader)
		}
		switch {
		case err == nil:
			return strings.TrimRight(string(b), "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return "", io.ErrUnexpectedEOF
		default:
			return "", err
		}
	}
}

func (r *response) setBody(br *bufio.Reader) error {
	switch {
	case r.status == 204 || r.status == 304:
		r.length, r.body = 0, io.NopCloser(strings.NewReader(""))
	case strings.EqualFold(r.get("transfer-encoding"), "chunked"):
		r.body = io.NopCloser(&chunks{br: br})
	case r.get("transfer-encoding") != "":
		return fmt.Errorf("%w: transfer encoding %q", ErrAnswer, r.get("transfer-encoding"))
	case r.get("content-length") != "":
		n, err := strconv.ParseInt(r.get("content-length"), 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%w: content length %q", ErrAnswer, r.get("content-length"))
		}
		r.length, r.body = n, io.NopCloser(&exactly{r: br, left: n})
	default:
		r.body = io.NopCloser(br)
	}
	if e := r.get("content-encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return fmt.Errorf("%w: content encoding %q", ErrAnswer, e)
	}
	return nil
}

// exactly is a body of known length: an end before it is an error.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// chunks is a body in chunks. RFC 9112 section 7.1.
type chunks struct {
	br   *bufio.Reader
	left int64
	any  bool // a chunk was read: its line end comes next
	done bool
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.done {
		return 0, io.EOF
	}
	for c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
		if c.done {
			return 0, io.EOF
		}
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.br.Read(p)
	c.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *chunks) next() error {
	left := maxHeader
	if c.any {
		if line, err := readLine(c.br, &left); err != nil || line != "" {
			return chunkError(err)
		}
	}
	line, err := readLine(c.br, &left)
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
	if err != nil || n < 0 {
		return chunkError(nil)
	}
	c.left, c.any, c.done = n, true, n == 0
	return nil
}

func chunkError(err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: a malformed chunk", ErrAnswer)
}

// wireConn gives up on a peer that sends or takes nothing for too long.
type wireConn struct {
	net.Conn
	ctx context.Context //nolint:containedctx // of the one request that the connection is for
}

func (w *wireConn) Read(p []byte) (int, error) {
	if err := w.wait(); err != nil {
		return 0, err
	}
	n, err := w.Conn.Read(p)
	return n, w.cause(err)
}

func (w *wireConn) Write(p []byte) (int, error) {
	if err := w.wait(); err != nil {
		return 0, err
	}
	n, err := w.Conn.Write(p)
	return n, w.cause(err)
}

func (w *wireConn) wait() error {
	if err := w.Conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	// Cancelled in between, the deadline above has replaced the one that says so.
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return nil
}

func (w *wireConn) cause(err error) error {
	if err != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

type closer struct {
	io.Reader
	close func() error
}

func (c *closer) Close() error { return c.close() }
