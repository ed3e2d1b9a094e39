package registries

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/tests/record"
)

// Stage is a step of resolving a tag.
type Stage string

// The stages, in the order in which a client goes through them.
const (
	Ping  Stage = "ping"  // GET /v2/
	Token Stage = "token" // the token endpoint
	Head  Stage = "head"  // HEAD of a manifest
	Get   Stage = "get"   // GET of a manifest: a pull, where pulls are counted
	Blob  Stage = "blob"
	Other Stage = "other"
)

// Call is one request that reached a Front.
type Call struct {
	record.Exchange
	Time time.Time
	// TLS is false on the plain port.
	TLS   bool
	Proto string

	Host   string
	Method string
	Path   string
	Query  url.Values
	Header http.Header

	Stage Stage
	// Repository and Reference (a tag or a digest) are read from the path.
	Repository, Reference string
	// Scopes are those that a token request asks for.
	Scopes []string
	// Accept are the values of the Accept headers, one by one as they came.
	Accept []string
	// Scheme is that of the Authorization header: Basic, Bearer or empty.
	Scheme string
	// User is the account of a Basic header.
	User string
}

// Matcher picks calls. Status is 0 when a Fault asks.
type Matcher func(Call) bool

// At matches one stage on one host; an empty host is any.
func At(host string, stages ...Stage) Matcher {
	return func(c Call) bool {
		if host != "" && c.Host != host {
			return false
		}
		for _, stage := range stages {
			if c.Stage == stage {
				return true
			}
		}
		return len(stages) == 0
	}
}

// Of narrows a matcher to one repository.
func Of(repository string, match Matcher) Matcher {
	return func(c Call) bool { return c.Repository == repository && match(c) }
}

// tokenPath is how the paths of token endpoints end: /token nearly everywhere,
// /token/ at public.ecr.aws, /jwt/auth at GitLab.
var tokenPath = regexp.MustCompile(`/(token/?|jwt/auth)$`)

func describe(r *http.Request) Call {
	call := Call{
		Time: time.Now(), TLS: r.TLS != nil, Proto: r.Proto, Host: hostOf(r), Method: r.Method, Path: r.URL.Path,
		Query: r.URL.Query(), Header: r.Header.Clone(), Accept: r.Header.Values("Accept"), Stage: Other,
	}
	call.Scheme, _, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	call.User, _, _ = r.BasicAuth()
	repository, kind, reference := split(r.URL.Path)
	switch {
	case r.URL.Path == "/v2/" || r.URL.Path == "/v2":
		call.Stage = Ping
	case tokenPath.MatchString(r.URL.Path):
		call.Stage, call.Scopes = Token, scopes(r)
	case kind == "manifests" && r.Method == http.MethodHead:
		call.Stage = Head
	case kind == "manifests" && r.Method == http.MethodGet:
		call.Stage = Get
	case kind == "blobs":
		call.Stage = Blob
	}
	call.Repository, call.Reference = repository, reference
	return call
}

// hostOf is the name that the client wanted: a port that goes without saying
// is left out.
func hostOf(r *http.Request) string {
	if host, ok := strings.CutSuffix(r.Host, ":443"); ok && r.TLS != nil {
		return host
	}
	return r.Host
}

// split reads /v2/<repository>/<kind>/<reference>; a repository may hold
// slashes, the rest may not.
func split(path string) (repository, kind, reference string) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return "", "", ""
	}
	parts := strings.Split(rest, "/")
	if len(parts) < 3 {
		return "", "", ""
	}
	n := len(parts)
	return strings.Join(parts[:n-2], "/"), parts[n-2], parts[n-1]
}

// scopes reads the scope parameters, of which there may be several, each with
// several scopes.
func scopes(r *http.Request) []string {
	var all []string
	for _, value := range r.URL.Query()["scope"] {
		all = append(all, strings.Fields(value)...)
	}
	return all
}
