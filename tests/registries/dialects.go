package registries

import (
	"fmt"
	"net/http"
)

// NewGitLab returns a registry that behaves as registry.gitlab.com and
// gitlab.com/jwt/auth do. A wrong password is answered with badLogin: 403 by
// older versions, 401 by newer ones.
func NewGitLab(store *Store, badLogin int) *Registry {
	return newRegistry(store, dialect{
		realm: "https://gitlab.com/jwt/auth", service: "container_registry", badLogin: badLogin, fields: []string{"token"},
	})
}

// NewACR returns a registry that behaves as an Azure Container Registry does:
// its token stands in access_token alone.
func NewACR(store *Store, host string) *Registry {
	return newRegistry(store, dialect{
		realm: "https://" + host + "/oauth2/token", service: host, badLogin: http.StatusUnauthorized,
		fields: []string{"access_token"},
	})
}

// NewECRPublic returns a registry that behaves as public.ecr.aws does: the
// scope of its challenge is no repository's. A wrong or expired password is
// answered with badLogin: 400, or 403.
func NewECRPublic(store *Store, badLogin int) *Registry {
	return newRegistry(store, dialect{
		realm: "https://public.ecr.aws/token/", service: "public.ecr.aws", pingScope: "aws", badLogin: badLogin,
		fields: []string{"token"},
	})
}

// NewECR returns a registry that behaves as a private one of Amazon does: no
// token endpoint, and an expired password is forbidden rather than
// unauthorized.
func NewECR(store *Store, host string) *Registry {
	return newRegistry(store, dialect{
		realm: "https://" + host + "/", service: "ecr.amazonaws.com", badLogin: http.StatusForbidden, basic: true,
	})
}

// serveBasic asks for the account itself with each request.
func (r *Registry) serveBasic(w http.ResponseWriter, request *http.Request, call Call) {
	r.mu.Lock()
	who, _, ok := r.login(request)
	allowed := who != nil && r.mayPull(who, call.Repository)
	r.mu.Unlock()
	switch {
	case !ok:
		r.refuseLogin(w)
	case who == nil:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q,service=%q", r.dialect.realm, r.dialect.service))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "Not Authorized")
	case call.Stage == Ping:
		w.WriteHeader(http.StatusOK)
	case !allowed:
		refuse(w, http.StatusForbidden, "DENIED", "User is not authorized to perform: ecr:BatchGetImage")
	default:
		r.Store.ServeHTTP(w, request)
	}
}
