package apiproxy

import (
	"net/http"
	"net/url"
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

// IsEvent tells whether the request writes an Event, which tests that count
// changes leave out.
func (r Request) IsEvent() bool { return r.Resource == "events" }

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
	name, _ := strings.CutPrefix(r.Query.Get("fieldSelector"), "metadata.name=")
	return name
}

func describe(r *http.Request, body []byte) Request {
	request := Request{
		Time: time.Now(), Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Body: body,
		Type: r.Header.Get("Content-Type"), UserAgent: r.UserAgent(),
	}
	request.locate()
	request.Verb = request.verb()
	return request
}

// locate reads the object from a path such as
// /apis/apps/v1/namespaces/ns/deployments/name/status.
func (r *Request) locate() {
	parts := strings.Split(strings.Trim(r.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		r.Group, parts = parts[1], parts[3:]
	default:
		return
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		r.Namespace, parts = parts[1], parts[2:]
	}
	for i, field := range []*string{&r.Resource, &r.Name, &r.Subresource} {
		if i < len(parts) {
			*field = parts[i]
		}
	}
}

func (r *Request) verb() string {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		switch {
		case r.Query.Get("watch") == "true" || r.Query.Get("watch") == "1":
			return "watch"
		case r.Name == "" && r.Resource != "":
			return "list"
		}
		return "get"
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if r.Name == "" {
			return "deletecollection"
		}
		return "delete"
	}
	return strings.ToLower(r.Method)
}
