// Package registry gets manifests and blobs from a container registry: the part of the OCI distribution specification that
// pulling needs, with the tokens and redirects that the large ones answer with.
//
// # Why not net/http, nor a library
//
// Package initialisation is paid by every start of nsnet, and so by every exec. What TLS costs there has to be; net/http
// on top of it is half as much again and makes the binary another megabyte larger. What a pull says is a
// handful of GETs, each on a connection of its own: HTTP/1.1, with chunks where the server likes them.
//
// # Busy and slow
//
// A server that says to come again later (408, 429, 500, 502 to 504) is asked again, after its Retry-After or a random time that
// grows; so is one whose answer was cut, from there on. One that does not answer at all is not: without a network a pull fails
// at once.
//
// # Trust
//
// A registry, and whoever can speak for it, is not trusted beyond what the user has named. Everything it
// sends is bounded. Content is verified by whoever knows its digest, which is not this package.
//
// Only https is spoken; http to registries at addresses of the loopback interface alone, and to the port that was named. Any registry can
// redirect to https and no further, so that it cannot have this process, which is root, ask things of the machine's own services.
//
// A proxy is told where to connect, and sees no more of what is said: what passes it is TLS with the registry.
//
// A password goes to the host that it is for, and to the server of tokens which that host names, over https. It is not
// sent along with a redirect.
package registry
