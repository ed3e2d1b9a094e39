package registries

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
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
	host    string
	secrets Secrets

	mu       sync.Mutex
	projects map[string]*project
	robots   map[string]*robot
	subjects map[string]string // whom a token was issued to, "" for nobody
	down     bool
}

type project struct {
	public bool
	// gone means that it caches what its upstream serves, which is down.
	gone bool
}

type robot struct {
	secret   string
	state    Robot
	projects map[string]bool
}

// NewHarbor returns a Harbor without projects or robots, at host.
func NewHarbor(store *Store, host string) *Harbor {
	return &Harbor{
		Store: store, host: host,
		projects: map[string]*project{}, robots: map[string]*robot{}, subjects: map[string]string{},
	}
}

// AddProject makes a project, which is the first part of repository names.
func (h *Harbor) AddProject(name string, public bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.projects[name] = &project{public: public}
}

// SetUpstream says whether the upstream of a proxy-cache project answers.
func (h *Harbor) SetUpstream(name string, up bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.projects[name].gone = !up
}

// AddRobot makes a robot account of a project, which may pull from it, and
// returns its user name.
func (h *Harbor) AddRobot(of, name, secret string) (user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	user = "robot$" + of + "+" + name
	h.robots[user] = &robot{secret: secret, projects: map[string]bool{of: true}}
	h.secrets.AddAccount(user, secret)
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

// Secrets returns the secrets of all robots, and the tokens that were issued.
func (h *Harbor) Secrets() []string { return h.secrets.Values() }

// maxHeader is what the nginx in front of Harbor accepts of one header line,
// or of the request line.
const maxHeader = 8 << 10

// ServeHTTP serves the registry and its token endpoint.
func (h *Harbor) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if len(request.RequestURI) > maxHeader || len(request.Header.Get("Authorization")) > maxHeader {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte("<html><head><title>400 Request Header Or Cookie Too Large</title></head></html>")) // the client may be gone: its own loss
		return
	}
	call := describe(request)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch call.Stage {
	case Token:
		h.serveToken(w, request, call)
	case Ping:
		if subject, _ := h.asks(request); subject == "" {
			h.challenge(w, request, "")
			return
		}
		w.WriteHeader(http.StatusOK)
	default:
		h.servePull(w, request, call)
	}
}

// asks tells who does, "" for nobody and whoever is refused, and whether
// anybody was named.
func (h *Harbor) asks(request *http.Request) (subject string, named bool) {
	if h.down {
		return "", request.Header.Get("Authorization") != ""
	}
	if token, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer "); ok {
		return h.subjects[token], true
	}
	user, secret, named := request.BasicAuth()
	if known := h.robots[user]; known != nil && known.state == RobotValid && known.secret == secret {
		return user, true
	}
	return "", named
}

// serveToken gives a token to everybody who names a scope, were it one that
// grants nothing to nobody; without a scope it proves an account.
func (h *Harbor) serveToken(w http.ResponseWriter, request *http.Request, call Call) {
	subject, _ := h.asks(request)
	if len(call.Scopes) == 0 && subject == "" {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "unauthorized")
		return
	}
	access := []map[string]any{}
	for _, scope := range call.Scopes {
		repository, _ := pullOf(scope)
		actions := []string{}
		if subject != "" && h.mayPull(subject, repository) {
			actions = append(actions, "pull")
		}
		access = append(access, map[string]any{"type": "repository", "name": repository, "actions": actions})
	}
	claims := map[string]any{"iss": "harbor-token-issuer", "aud": "harbor-registry", "access": access}
	if subject != "" {
		claims["sub"] = subject
	}
	token := unsigned(claims)
	h.subjects[token] = subject
	h.secrets.Add(token)
	answer(w, http.StatusOK, map[string]any{"token": token, "access_token": "", "expires_in": 1800})
}

func (h *Harbor) mayPull(subject, repository string) bool {
	name, _, _ := strings.Cut(repository, "/")
	in := h.projects[name]
	return in != nil && (in.public || subject != "" && h.robots[subject].projects[name])
}

func (h *Harbor) servePull(w http.ResponseWriter, request *http.Request, call Call) {
	name, _, _ := strings.Cut(call.Repository, "/")
	subject, _ := h.asks(request)
	in := h.projects[name]
	denied := "unauthorized to access repository: " + call.Repository + ", action: pull"
	switch {
	case h.down:
		w.Header().Set("Www-Authenticate", "")
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", denied)
	case in == nil:
		w.Header().Set("Www-Authenticate", "")
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "project "+name+" not found")
	case !h.mayPull(subject, call.Repository):
		h.challenge(w, request, denied)
	case in.gone || call.Stage != Blob && !h.holds(call):
		refuse(w, http.StatusNotFound, "NOT_FOUND", "artifact "+call.Repository+":"+call.Reference+" not found")
	default:
		h.Store.ServeHTTP(w, request)
	}
}

func (h *Harbor) holds(call Call) bool {
	separator := ":"
	if strings.HasPrefix(call.Reference, "sha256:") {
		separator = "@"
	}
	_, err := h.Digest(call.Repository + separator + call.Reference)
	return err == nil
}

// challenge points to the token endpoint; whoever has named somebody already
// is asked for a better account.
func (h *Harbor) challenge(w http.ResponseWriter, request *http.Request, message string) {
	challenge := `Basic realm="harbor"`
	if _, named := h.asks(request); !named {
		challenge = fmt.Sprintf("Bearer realm=%q,service=%q", "https://"+h.host+"/service/token", "harbor-registry")
	}
	w.Header().Set("Www-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", message)
}
