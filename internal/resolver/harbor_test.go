package resolver_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// harbor answers as FACTS.md says that Harbor does: a robot that is expired, disabled, deleted or has a wrong
// secret gets 401 without a scope, and with one a token that names nobody and grants nothing.
type harbor struct {
	*registry
	rights map[string][]string // robot -> projects
	down   bool                // its database
}

const harborHost = "harbor.example.com"

func (w *world) harbor() *harbor {
	h := &harbor{registry: newRegistry("https://" + harborHost + "/service/token"), rights: map[string][]string{}}
	h.service = "harbor-registry"
	h.public = func(repository string) bool { return strings.HasPrefix(repository, "public/") }
	w.serve(harborHost, h.serve)
	return h
}

func (h *harbor) robot(name, secret string, projects ...string) {
	h.accounts[name], h.rights[name] = secret, projects
}

func (h *harbor) serve(rw http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/service/token":
		h.token(rw, r)
	case "/v2/":
		h.challenge(rw)
	default:
		h.manifest(rw, r)
	}
}

func (h *harbor) who(r *http.Request) string {
	who, ok := h.account(r)
	if !ok || h.down {
		return ""
	}
	return who
}

func (h *harbor) may(who, repository string) bool {
	project, _, _ := strings.Cut(repository, "/")
	return h.public(repository) || slices.Contains(h.rights[who], project)
}

func (h *harbor) token(rw http.ResponseWriter, r *http.Request) {
	who, scopes := h.who(r), r.URL.Query()["scope"]
	if len(scopes) == 0 && who == "" {
		rw.WriteHeader(http.StatusUnauthorized)
		return
	}
	var access []map[string]any
	for _, scope := range scopes {
		repository := strings.TrimSuffix(strings.TrimPrefix(scope, "repository:"), ":pull")
		actions := []string{}
		if who != "" && h.may(who, repository) {
			actions = append(actions, "pull")
		}
		access = append(access, map[string]any{"type": "repository", "name": repository, "actions": actions})
	}
	claims := map[string]any{"access": access}
	if who != "" {
		claims["sub"] = who
	}
	payload, _ := json.Marshal(claims)
	_ = json.NewEncoder(rw).Encode(map[string]any{"token": "h." + base64.RawURLEncoding.EncodeToString(payload) + ".s", "access_token": "", "expires_in": 1800})
}

func (h *harbor) manifest(rw http.ResponseWriter, r *http.Request) {
	repository, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
	project, _, _ := strings.Cut(repository, "/")
	if h.down {
		refuse(rw, 401, "UNAUTHORIZED", "unauthorized to access repository: "+repository)
		return
	}
	if !slices.Contains([]string{"public", "private", "other"}, project) {
		refuse(rw, 401, "UNAUTHORIZED", "project "+project+" not found")
		return
	}
	granted := h.public(repository)
	if parts := strings.Split(r.Header.Get("Authorization"), "."); len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		granted = granted || strings.Contains(string(payload), `{"actions":["pull"],"name":"`+repository+`"`)
	}
	if !granted {
		rw.Header().Set("Www-Authenticate", `Basic realm="harbor"`)
		refuse(rw, 401, "UNAUTHORIZED", "unauthorized to access repository: "+repository)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/v2/"+repository+"/manifests/")
	body, ok := h.manifests[repository+":"+name]
	if !ok {
		body, ok = h.manifests[repository+"@"+name]
	}
	if !ok {
		refuse(rw, 404, "NOT_FOUND", "artifact "+repository+":"+name+" not found")
		return
	}
	rw.Header().Set("Docker-Content-Digest", string(digestOf(body)))
	rw.Header().Set("Content-Type", h.types[string(digestOf(body))])
	if r.Method != http.MethodHead {
		_, _ = rw.Write(body)
	}
}

// secret is a .dockerconfigjson with one account.
func secret(host, username, password string) string {
	text, _ := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": username, "password": password}}})
	return string(text)
}

// The table of FACTS.md, row by row and column by column.
func TestHarbor(t *testing.T) {
	t.Parallel()
	const robot = "robot$private+puller"
	for name, c := range map[string]struct {
		account  string // empty for none
		password string
		image    string
		down     bool
		cause    fault.Cause
		stage    fault.Stage
		says     string
		warns    fault.Cause
		logins   int // requests with the robot's password
	}{
		"nobody, private":          {image: "private/app", cause: fault.Unauthorized, stage: fault.StageManifest, says: "without a credential: it is private or does not exist"},
		"nobody, public":           {image: "public/app"},
		"valid, private":           {account: robot, password: "good", image: "private/app", logins: 2},
		"valid, public":            {account: robot, password: "good", image: "public/app", logins: 2},
		"rejected, private":        {account: robot, password: "dead", image: "private/app", cause: fault.Unauthorized, stage: fault.StageToken, says: "pull secret ns/harbor-pull (account robot$private+puller, entry harbor.example.com) was rejected by the token endpoint harbor.example.com with 401; it may be expired, disabled, deleted or have a wrong password", logins: 1},
		"rejected, public":         {account: robot, password: "dead", image: "public/app", warns: fault.Unauthorized, logins: 1},
		"deleted, private":         {account: "robot$private+gone", password: "good", image: "private/app", cause: fault.Unauthorized, stage: fault.StageToken, says: "expired, disabled, deleted", logins: 1},
		"of another project":       {account: robot, password: "good", image: "other/app", cause: fault.Forbidden, stage: fault.StageManifest, says: "is forbidden to pull secret ns/harbor-pull (account robot$private+puller", logins: 2},
		"no such project":          {account: robot, password: "good", image: "absent/app", cause: fault.NotFound, stage: fault.StageManifest, says: "has no project absent", logins: 2},
		"no such project, nobody":  {image: "absent/app", cause: fault.NotFound, stage: fault.StageManifest, says: "has no project absent"},
		"no such repository":       {account: robot, password: "good", image: "private/absent", cause: fault.NotFound, stage: fault.StageManifest, says: "answered 404; compare repository and tag", logins: 2},
		"database down, valid":     {account: robot, password: "good", image: "private/app", down: true, cause: fault.ServerError, stage: fault.StageManifest, says: "refuses even valid accounts", logins: 1},
		"database down, nobody":    {image: "private/app", down: true, cause: fault.ServerError, stage: fault.StageManifest, says: "the registry's own trouble"},
		"rejected, no such public": {account: robot, password: "dead", image: "public/absent", cause: fault.Unauthorized, stage: fault.StageToken, says: "was rejected", logins: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := w.harbor()
			h.robot(robot, "good", "private")
			h.down = c.down
			for _, project := range []string{"private", "public", "other"} {
				h.index(project+"/app", "1", project, "linux/amd64")
			}
			r := w.resolver(w.secrets(map[string]string{"ns/harbor-pull": secret(harborHost, c.account, c.password)}))
			q := query(t, harborHost+"/"+c.image+":1", "ns/harbor-pull")
			if c.account == "" {
				q.PullSecrets = nil
			}
			answer := r.Resolve(t.Context(), []resolver.Query{q})[0]
			if c.cause == fault.None {
				require.Nil(t, answer.Failure)
				assert.NotEmpty(t, answer.Digest)
			} else {
				require.NotNil(t, answer.Failure)
				assert.Equal(t, c.cause, answer.Failure.Cause, answer.Failure.Message)
				assert.Equal(t, c.stage, answer.Failure.Stage)
				assert.Contains(t, answer.Failure.Message, c.says)
			}
			if c.warns == fault.None {
				assert.Empty(t, answer.Warnings)
			} else {
				require.Len(t, answer.Warnings, 1)
				assert.Equal(t, c.warns, answer.Warnings[0].Cause)
				assert.Contains(t, answer.Warnings[0].Message, "pull secret ns/harbor-pull (account "+robot)
			}
			assert.Equal(t, c.logins, w.logins(c.account, c.password), "each failed login costs Harbor 1.5 s")
			w.assertSecret(t, answer, c.password)
		})
	}
}

// logins counts requests that carried an account.
func (w *world) logins(username, password string) int {
	n := 0
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
	for _, r := range w.seen() {
		if r.Authorization == want {
			n++
		}
	}
	return n
}

// assertSecret looks for a password, in clear or in base64, and for tokens in all that was said and logged.
func (w *world) assertSecret(t *testing.T, answer resolver.Answer, password string) {
	t.Helper()
	text := w.logs.String() + fmt.Sprintf("%+v", answer)
	if answer.Failure != nil {
		text += answer.Failure.Message + fmt.Sprintf("%v %+v", answer.Failure, answer.Failure.Err)
	}
	for _, warning := range answer.Warnings {
		text += warning.Message
	}
	assert.NotContains(t, text, "Bearer ")
	assert.NotContains(t, text, "Basic ")
	for _, r := range w.seen() {
		if _, value, ok := strings.Cut(r.Authorization, " "); ok {
			assert.NotContains(t, text, value)
		}
	}
	if len(password) > 4 {
		assert.NotContains(t, text, password)
	}
}

// A tick's worth of Harbor images is asked for with one token, and a robot without a right on one project does not
// look dead for the others.
func TestHarborGrantsEachOfManyForItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.harbor()
	h.robot("robot$private+puller", "good", "private")
	private := h.index("private/app", "1", "a", "linux/amd64")
	public := h.index("public/app", "1", "b", "linux/amd64")
	h.index("other/app", "1", "c", "linux/amd64")
	r := w.resolver(w.secrets(map[string]string{"ns/p": secret(harborHost, "robot$private+puller", "good")}))
	answers := r.Resolve(t.Context(), []resolver.Query{
		query(t, harborHost+"/private/app:1", "ns/p"), query(t, harborHost+"/public/app:1", "ns/p"), query(t, harborHost+"/other/app:1", "ns/p"),
	})
	assert.Equal(t, private, answers[0].Digest)
	assert.Equal(t, public, answers[1].Digest)
	assert.Equal(t, fault.Forbidden, answers[2].Failure.Cause)
	for _, answer := range answers {
		assert.Empty(t, answer.Warnings)
	}
	// a proof, a token for all three, and one for the image that was refused under it
	assert.Equal(t, 3, w.count("/service/token"))
	assert.Equal(t, 4, w.count("HEAD "))
}

// A dead robot on many images costs one login, one token for nobody, and a HEAD each.
func TestADeadRobotOnManyImages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.harbor()
	var queries []resolver.Query
	for _, name := range []string{"public/a", "public/b", "private/c", "private/d", "private/e"} {
		h.index(name, "1", name, "linux/amd64")
		queries = append(queries, query(t, harborHost+"/"+name+":1", "ns/p"))
	}
	r := w.resolver(w.secrets(map[string]string{"ns/p": secret(harborHost, "robot$gone", "dead-password")}))
	for i, answer := range r.Resolve(t.Context(), queries) {
		if i < 2 {
			assert.Nil(t, answer.Failure)
			assert.Len(t, answer.Warnings, 1)
			continue
		}
		assert.Equal(t, fault.Unauthorized, answer.Failure.Cause)
		assert.Empty(t, answer.Warnings)
	}
	assert.Equal(t, 1, w.logins("robot$gone", "dead-password"))
	assert.Equal(t, 2, w.count("/service/token"))
	assert.Equal(t, 5, w.count("HEAD "))
}

func TestHarborIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve(harborHost, func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(http.StatusBadGateway)
		html(rw, r)
	})
	answer := w.one(harborHost + "/private/app:1")
	assert.Equal(t, fault.ServerError, answer.Failure.Cause)
	assert.Equal(t, fault.StagePing, answer.Failure.Stage)
}

// A registry that asks nobody who they are is no Harbor: its 401 is a refusal, and no trouble of its own.
func TestA401OfAnOpenRegistryIsARefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve("open.example.com", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			rw.WriteHeader(http.StatusUnauthorized)
		}
	})
	answer := w.one("open.example.com/x/app:1")
	require.NotNil(t, answer.Failure)
	assert.Equal(t, fault.Unauthorized, answer.Failure.Cause)
	assert.Contains(t, answer.Failure.Message, "private or does not exist")
}
