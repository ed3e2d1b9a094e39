package apiproxy

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/tests/record"
)

// Request is one request that reached the proxy.
type Request struct {
	record.Exchange
	Time time.Time

	Method    string
	Path      string
	Query     url.Values
	Body      []byte
	Type      string // the body's content type
	UserAgent string

	// Verb is what RBAC calls it: get, list, watch, create, update, patch,
	// delete, deletecollection.
	Verb string
	// Group, Resource, Subresource, Namespace and Name are read from the path;
	// empty for a path that names no resource, such as /version.
	Group, Resource, Subresource, Namespace, Name string
}

// Matcher picks requests. Status is 0 when a Fault asks.
type Matcher func(Request) bool

// IsWrite tells whether the request changes an object: reviews of access,
// which are posted and change nothing, do not.
func (r Request) IsWrite() bool {
	switch r.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return r.Group != "authorization.k8s.io" && r.Group != "authentication.k8s.io"
	}
	return false
}

// Write matches the writes of one object; an empty name is any.
func Write(resource, name string) Matcher {
	return func(r Request) bool { return r.IsWrite() && r.Resource == resource && (name == "" || r.Name == name) }
}

// Read matches get, list and watch of one object or its kind; an empty name
// is any.
func Read(resource, name string) Matcher {
	return func(r Request) bool {
		return !r.IsWrite() && r.Resource == resource && (name == "" || r.target() == name)
	}
}

// Verb matches requests for a resource by their verb.
func Verb(verb, resource string) Matcher {
	return func(r Request) bool { return r.Verb == verb && r.Resource == resource }
}

// target is the object that a request is about, also where a list or a watch
// selects it by a field.
func (r Request) target() string {
	if r.Name != "" {
		return r.Name
	}
	return strings.TrimPrefix(r.Query.Get("fieldSelector"), "metadata.name=")
}

func (r Request) object() string { return r.Namespace + "/" + r.Resource + "/" + r.target() }

// resourcePath is such as /apis/apps/v1/namespaces/ns/deployments/name/status.
var resourcePath = regexp.MustCompile(
	`^/(?:api|apis/([^/]+))/[^/]+(?:/namespaces/([^/]+))?/([^/]+)(?:/([^/]+))?(?:/([^/]+))?(?:/.*)?$`)

func describe(r *http.Request, body []byte) Request {
	request := Request{
		Time: time.Now(), Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Body: body,
		Type: r.Header.Get("Content-Type"), UserAgent: r.UserAgent(),
	}
	if part := resourcePath.FindStringSubmatch(r.URL.Path); part != nil {
		request.Group, request.Namespace, request.Resource, request.Name, request.Subresource = part[1], part[2], part[3], part[4], part[5]
	}
	request.Verb = map[string]string{
		http.MethodGet: "get", http.MethodHead: "get", http.MethodPost: "create", http.MethodPut: "update",
		http.MethodPatch: "patch", http.MethodDelete: "delete",
	}[r.Method]
	switch watch := request.Query.Get("watch"); {
	case request.Verb == "get" && (watch == "true" || watch == "1"):
		request.Verb = "watch"
	case request.Verb == "get" && request.Name == "" && request.Resource != "":
		request.Verb = "list"
	case request.Verb == "delete" && request.Name == "":
		request.Verb = "deletecollection"
	}
	return request
}
