package registries

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
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

// At matches one of some stages on one host; an empty host is any, and so are no
// stages.
func At(host string, stages ...Stage) Matcher {
	return func(c Call) bool {
		return (host == "" || c.Host == host) && (len(stages) == 0 || slices.Contains(stages, c.Stage))
	}
}

// Of narrows a matcher to one repository.
func Of(repository string, match Matcher) Matcher {
	return func(c Call) bool { return c.Repository == repository && match(c) }
}

// tokenPath is how the paths of token endpoints end: /token nearly everywhere,
// /token/ at public.ecr.aws, /jwt/auth at GitLab. A repository may hold slashes,
// what follows it may not.
var (
	tokenPath      = regexp.MustCompile(`/(token/?|jwt/auth)$`)
	repositoryPath = regexp.MustCompile(`^/v2/(.+)/([^/]*)/([^/]*)$`)
)

func describe(r *http.Request) Call {
	call := Call{
		Time: time.Now(), TLS: r.TLS != nil, Proto: r.Proto, Host: r.Host, Method: r.Method, Path: r.URL.Path,
		Query: r.URL.Query(), Header: r.Header.Clone(), Accept: r.Header.Values("Accept"), Stage: Other,
	}
	if call.TLS { // a port that goes without saying is left out
		call.Host = strings.TrimSuffix(r.Host, ":443")
	}
	call.Scheme, _, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	call.User, _, _ = r.BasicAuth()
	kind := ""
	if part := repositoryPath.FindStringSubmatch(r.URL.Path); part != nil {
		call.Repository, kind, call.Reference = part[1], part[2], part[3]
	}
	switch {
	case r.URL.Path == "/v2/" || r.URL.Path == "/v2":
		call.Stage = Ping
	case tokenPath.MatchString(r.URL.Path):
		call.Stage = Token
		for _, value := range call.Query["scope"] { // of which there may be several, each with several scopes
			call.Scopes = append(call.Scopes, strings.Fields(value)...)
		}
	case kind == "manifests" && r.Method == http.MethodHead:
		call.Stage = Head
	case kind == "manifests" && r.Method == http.MethodGet:
		call.Stage = Get
	case kind == "blobs":
		call.Stage = Blob
	}
	return call
}
