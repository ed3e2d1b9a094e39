package registries

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Robot is the state of a robot account. Harbor answers to all but the first
// in the same way, as it does to a wrong secret.
type Robot int

// The states of a robot account.
const (
	RobotValid Robot = iota
	RobotDisabled
	RobotExpired
	RobotDeleted
)

// Harbor is a Store that asks for accounts and answers as Harbor was measured
// to: by the account, with a scope and without, for a private image and a public one.
type Harbor struct {
	*Store
	host string
	secrets

	mu       sync.Mutex
	public   map[string]bool // projects, which are the first part of repository names
	robots   map[string]*robot
	subjects map[string]string // whom a token was issued to, "" for nobody
	down     bool
}

type robot struct {
	secret, project string
	state           Robot
}

// NewHarbor returns a Harbor without projects or robots, at host.
func NewHarbor(store *Store, host string) *Harbor {
	return &Harbor{
		Store: store, host: host,
		public: map[string]bool{}, robots: map[string]*robot{}, subjects: map[string]string{},
	}
}

// AddProject makes a project.
func (h *Harbor) AddProject(name string, public bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.public[name] = public
}

// AddRobot makes a robot account of a project, which may pull from it, and
// returns its user name.
func (h *Harbor) AddRobot(of, name, secret string) (user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	user = "robot$" + of + "+" + name
	h.robots[user] = &robot{secret: secret, project: of}
	h.keepAccount(user, secret)
	return user
}

// SetRobot disables a robot account, has it expire, deletes it, or makes it
// valid again.
func (h *Harbor) SetRobot(user string, state Robot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.robots[user].state = state
}

// SetDatabase says whether the database answers. While it does not, Harbor
// refuses everybody.
func (h *Harbor) SetDatabase(up bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = !up
}

// maxHeader is what the nginx in front of Harbor accepts of one header line,
// or of the request line.
const maxHeader = 8 << 10

// ServeHTTP serves the registry and its token endpoint.
func (h *Harbor) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	call := describe(request)
	h.mu.Lock()
	defer h.mu.Unlock()
	subject, named := h.asks(request)
	project, _, _ := strings.Cut(call.Repository, "/")
	_, known := h.public[project]
	unauthorized := func(challenge, message string) {
		w.Header().Set("Www-Authenticate", challenge)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", message)
	}
	challenge := `Basic realm="harbor"` // whoever has named somebody already is asked for a better account
	if !named {
		challenge = fmt.Sprintf("Bearer realm=%q,service=%q", "https://"+h.host+"/service/token", "harbor-registry")
	}
	denied := "unauthorized to access repository: " + call.Repository + ", action: pull"
	switch {
	case len(request.RequestURI) > maxHeader || len(request.Header.Get("Authorization")) > maxHeader:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "<html><head><title>400 Request Header Or Cookie Too Large</title></head></html>")
	case call.Stage == Token && len(call.Scopes) == 0 && subject == "": // without a scope it proves an account
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "unauthorized")
	case call.Stage == Token:
		answer(w, http.StatusOK, map[string]any{"token": h.token(subject, call.Scopes), "access_token": "", "expires_in": 1800})
	case call.Stage == Ping && subject == "":
		unauthorized(challenge, "")
	case call.Stage == Ping:
		h.Store.ServeHTTP(w, request)
	case h.down:
		unauthorized("", denied)
	case !known:
		unauthorized("", "project "+project+" not found")
	case !h.mayPull(subject, call.Repository):
		unauthorized(challenge, denied)
	case call.Stage != Blob && !h.holds(call):
		refuse(w, http.StatusNotFound, "NOT_FOUND", "artifact "+call.Repository+":"+call.Reference+" not found")
	default:
		h.Store.ServeHTTP(w, request)
	}
}

// asks tells who does, "" for nobody and whoever is refused, and whether
// anybody was named.
func (h *Harbor) asks(request *http.Request) (subject string, named bool) {
	header := request.Header.Get("Authorization")
	user, secret, _ := request.BasicAuth()
	bearer, isToken := strings.CutPrefix(header, "Bearer ")
	switch known := h.robots[user]; {
	case h.down:
	case isToken:
		subject = h.subjects[bearer]
	case known != nil && known.state == RobotValid && known.secret == secret:
		subject = user
	}
	return subject, header != ""
}

// token is given to everybody who names a scope, were it one that grants
// nothing to nobody.
func (h *Harbor) token(subject string, scopes []string) string {
	grants := []access{}
	for _, scope := range scopes {
		repository, _ := pullOf(scope)
		if subject != "" && h.mayPull(subject, repository) {
			grants = append(grants, accessTo(repository, "pull"))
		} else {
			grants = append(grants, accessTo(repository))
		}
	}
	issued := newToken(subject, grants)
	h.subjects[issued] = subject
	h.keep(issued)
	return issued
}

func (h *Harbor) mayPull(subject, repository string) bool {
	project, _, _ := strings.Cut(repository, "/")
	return h.public[project] || subject != "" && h.robots[subject].project == project
}

func (h *Harbor) holds(call Call) bool {
	repository := must(name.NewRepository(h.host + "/" + call.Repository))
	var ref name.Reference = repository.Tag(call.Reference)
	if strings.HasPrefix(call.Reference, "sha256:") {
		ref = repository.Digest(call.Reference)
	}
	_, err := remote.Head(ref, h.as()...)
	return err == nil
}
