package resolver_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/tracebloc/image-refresh/internal/image"
)

// registry is a stand-in that answers as a registry with a token endpoint does.
type registry struct {
	mu        sync.Mutex
	manifests map[string][]byte // repository:tag and repository@digest
	types     map[string]string // media type by digest
	blobs     map[string][]byte // by digest
	accounts  map[string]string // user -> password
	public    func(repository string) bool
	realm     string // token endpoint; empty for none
	service   string
	oneScope  bool // only the first scope of a request is granted
	noDigest  bool // Docker-Content-Digest is left out
	basic     bool // Basic in place of Bearer
	quota     string
}

func newRegistry(realm string) *registry {
	return &registry{
		manifests: map[string][]byte{}, types: map[string]string{}, blobs: map[string][]byte{}, accounts: map[string]string{},
		public: func(string) bool { return true }, realm: realm, service: "registry.example",
	}
}

func digestOf(body []byte) image.Digest {
	sum := sha256.Sum256(body)
	return image.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// push puts a body under a name and returns its digest.
func (g *registry) push(repository, tag, mediaType string, body []byte) image.Digest {
	g.mu.Lock()
	defer g.mu.Unlock()
	digest := digestOf(body)
	g.manifests[repository+":"+tag], g.manifests[repository+"@"+string(digest)] = body, body
	g.types[string(digest)] = mediaType
	return digest
}

const (
	ociIndex  = "application/vnd.oci.image.index.v1+json"
	ociImage  = "application/vnd.oci.image.manifest.v1+json"
	ociConfig = "application/vnd.oci.image.config.v1+json"
)

// index pushes a multi-arch index that differs by its note.
func (g *registry) index(repository, tag, note string, platforms ...string) image.Digest {
	return g.push(repository, tag, ociIndex, indexBody(note, platforms...))
}

func indexBody(note string, platforms ...string) []byte {
	var entries []string
	for _, p := range platforms {
		part := append(strings.Split(p, "/"), "")
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":2,"platform":{"os":%q,"architecture":%q,"variant":%q}}`,
			ociImage, digestOf([]byte(note+p)), part[0], part[1], part[2]))
	}
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"annotations":{"note":%q},"manifests":[%s]}`, ociIndex, note, strings.Join(entries, ",")))
}

// single pushes an image of one platform.
func (g *registry) single(repository, tag, os, architecture string) image.Digest {
	config := []byte(fmt.Sprintf(`{"os":%q,"architecture":%q,"rootfs":{}}`, os, architecture))
	g.mu.Lock()
	g.blobs[string(digestOf(config))] = config
	g.mu.Unlock()
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`, ociImage, ociConfig, digestOf(config), len(config))
	return g.push(repository, tag, ociImage, []byte(body))
}

// account says who asks: a name, "" for nobody; false for a wrong account.
func (g *registry) account(r *http.Request) (string, bool) {
	user, password, given := r.BasicAuth()
	if !given {
		return "", true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return user, g.accounts[user] == password && password != ""
}

// tokens is the token endpoint of Docker Hub's kind: a wrong account is 401, a right that is lacking is left out.
func (g *registry) tokens(rw http.ResponseWriter, r *http.Request) {
	who, ok := g.account(r)
	if !ok {
		refuse(rw, 401, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	g.answerToken(rw, who, r.URL.Query()["scope"])
}

func (g *registry) answerToken(rw http.ResponseWriter, who string, scopes []string) {
	if g.oneScope && len(scopes) > 1 {
		scopes = scopes[:1]
	}
	claims, _ := json.Marshal(map[string]any{"sub": who, "scopes": scopes})
	token := "h." + base64.RawURLEncoding.EncodeToString(claims) + ".s"
	_ = json.NewEncoder(rw).Encode(map[string]any{"token": token, "expires_in": 300})
}

func refuse(rw http.ResponseWriter, status int, code, message string) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

func (g *registry) challenge(rw http.ResponseWriter) {
	if g.basic {
		rw.Header().Set("Www-Authenticate", `Basic realm="registry"`)
	} else {
		rw.Header().Set("Www-Authenticate", fmt.Sprintf(`Bearer realm=%q,service=%q,scope="repository:user/image:pull"`, g.realm, g.service))
	}
	refuse(rw, 401, "UNAUTHORIZED", "authentication required")
}

// allowed says whether a request may pull from a repository.
func (g *registry) allowed(r *http.Request, repository string) bool {
	switch {
	case g.basic:
		who, ok := g.account(r)
		return ok && (who != "" || g.public(repository))
	case g.realm == "":
		return true
	}
	part := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if len(part) != 3 {
		return false
	}
	payload, _ := base64.RawURLEncoding.DecodeString(part[1])
	var claims struct {
		Subject string   `json:"sub"`
		Scopes  []string `json:"scopes"`
	}
	_ = json.Unmarshal(payload, &claims)
	for _, scope := range claims.Scopes {
		if scope == "repository:"+repository+":pull" {
			return claims.Subject != "" || g.public(repository)
		}
	}
	return false
}

func (g *registry) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok {
		http.NotFound(rw, r)
		return
	}
	if rest == "" {
		who, ok := g.account(r)
		if g.realm == "" && !g.basic || g.basic && ok && who != "" {
			return
		}
		g.challenge(rw)
		return
	}
	kind := "/manifests/"
	repository, name, isManifest := strings.Cut(rest, kind)
	if !isManifest {
		repository, name, _ = strings.Cut(rest, "/blobs/")
	}
	if !g.allowed(r, repository) {
		g.challenge(rw)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !isManifest {
		blob, found := g.blobs[name]
		if !found {
			rw.WriteHeader(http.StatusNotFound)
		}
		_, _ = rw.Write(blob)
		return
	}
	separator := ":"
	if strings.HasPrefix(name, "sha256:") {
		separator = "@"
	}
	body, found := g.manifests[repository+separator+name]
	if !found {
		refuse(rw, 404, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	digest := string(digestOf(body))
	rw.Header().Set("Content-Type", g.types[digest])
	rw.Header().Set("Content-Length", fmt.Sprint(len(body)))
	if !g.noDigest {
		rw.Header().Set("Docker-Content-Digest", digest)
	}
	if g.quota != "" {
		rw.Header().Set("Ratelimit-Remaining", g.quota)
	}
	if r.Method != http.MethodHead {
		_, _ = rw.Write(body)
	}
}

// dockerHub and ghcr put up the two registries under their real names.
func (w *world) dockerHub() *registry {
	g := newRegistry("https://auth.docker.io/token")
	g.service = "registry.docker.io"
	w.serve("registry-1.docker.io", g.ServeHTTP)
	w.serve("auth.docker.io", g.tokens)
	return g
}

func (w *world) ghcr() *registry {
	g := newRegistry("https://ghcr.io/token")
	g.service = "ghcr.io"
	w.serve("ghcr.io", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			g.ghcrTokens(rw, r)
			return
		}
		g.ServeHTTP(rw, r)
	})
	return g
}

// ghcrTokens refuses what ghcr.io refuses at its token endpoint: a dead account with 403 even for public images,
// and nobody for private or missing ones with 401.
func (g *registry) ghcrTokens(rw http.ResponseWriter, r *http.Request) {
	who, ok := g.account(r)
	if !ok {
		refuse(rw, 403, "DENIED", "denied")
		return
	}
	scopes := r.URL.Query()["scope"]
	for _, scope := range scopes {
		repository := strings.TrimSuffix(strings.TrimPrefix(scope, "repository:"), ":pull")
		if who == "" && !g.public(repository) {
			refuse(rw, 401, "UNAUTHORIZED", "authentication required")
			return
		}
	}
	g.answerToken(rw, who, scopes)
}
