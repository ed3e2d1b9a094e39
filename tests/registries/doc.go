// Package registries runs container registries under names that the test does
// not own. A Store is a real registry (distribution) in this process; a
// Registry puts the token flow of docker.io or ghcr.io before it; a Front
// serves any number of hosts on one TLS port, with certificates for their real
// names; and a Proxy is the CONNECT proxy that leads there, for every host or
// for all but those that the test refuses. No DNS tricks, no root: the program
// under test gets HTTPS_PROXY and SSL_CERT_FILE, and nothing else is special.
//
// A Site is all of it together:
//
//	site, err := registries.Start(dir)
//	digest, err := site.Push("ghcr.io/tracebloc/ingestor:0.3", registries.Image("one", "linux/amd64"))
//	site.Proxy.Refuse("ghcr.io", 403)
//
// Front and Proxy record every request, and break those that the test picks
// (package fault).
package registries
