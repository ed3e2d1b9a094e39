package cloud

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	oauth "golang.org/x/oauth2/google"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/file"
	"github.com/tracebloc/image-refresh/internal/pause"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// googleUser stands in front of an access token where a user name belongs.
const googleUser = "oauth2accesstoken"

// keyFile names a key, in the variable of Google's libraries.
const keyFile = "GOOGLE_APPLICATION_CREDENTIALS"

// google gets an access token, with a key file where one is named, or else from the metadata service: that of the node or, with
// Workload Identity, one that stands in front of it and knows the pod.
func (c *Client) google(ctx context.Context, r *Registry) (account, *Problem) {
	if name := c.Getenv(keyFile); name != "" {
		return c.googleKey(ctx, name)
	}
	all, cancel := context.WithTimeout(ctx, googlePatience)
	defer cancel()
	for {
		talk, token := c.googleToken(all)
		if token != "" {
			return account{googleUser, token, c.googleAccount(all)}, nil
		}
		again := talk.failed != nil && talk.failed.Kind != wire.Interrupted || talk.status >= http.StatusInternalServerError
		if again && pause.For(all, googlePause) {
			continue
		}
		refused := meaning{failure.Forbidden, "let the service account of the pod act for the one that its annotation iam.gke.io/gcp-service-account names (roles/iam.workloadIdentityUser), or take the annotation away"}
		if talk.status == http.StatusNotFound {
			refused = meaning{failure.CredentialMissing, r.How()}
		}
		p := talk.problem("", refused, r.How())
		p.Waited = googlePatience
		return account{}, p
	}
}

// googleToken asks the metadata service once.
func (c *Client) googleToken(ctx context.Context) (*conversation, string) {
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	talk := c.direct(ctx)
	text, err := metadata.NewClient(talk.client()).GetWithContext(ctx, "instance/service-accounts/default/token")
	var found struct {
		Token string `json:"access_token"`
	}
	if err != nil || json.Unmarshal([]byte(text), &found) != nil {
		return talk, ""
	}
	return talk, found.Token
}

// googleAccount is whom the metadata service speaks for, where somebody wants to know.
func (c *Client) googleAccount(ctx context.Context) string {
	as := "the service account that the metadata service has for the pod"
	if !c.NameAccount {
		return as
	}
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	if email, err := metadata.NewClient(c.direct(ctx).client()).EmailWithContext(ctx, "default"); err == nil {
		as = failure.Clean(strings.TrimSpace(email))
	}
	return as
}

// googleKey uses a key file, or the file of a workload identity federation.
func (c *Client) googleKey(ctx context.Context, name string) (account, *Problem) {
	const fix = "mount the key of a service account, or the configuration of a workload identity federation"
	text, err := file.Read(name, maxFile)
	if err != nil {
		return account{}, missing("the file that "+keyFile+" names cannot be read", fix)
	}
	var key struct {
		Type    oauth.CredentialsType
		Account string `json:"client_email"`
	}
	if json.Unmarshal(text, &key) != nil || !slices.Contains([]oauth.CredentialsType{oauth.ServiceAccount, oauth.ExternalAccount}, key.Type) {
		return account{}, missing("the file that "+keyFile+" names is no key", fix)
	}
	as := failure.Clean(key.Account)
	if as == "" {
		as = "the account that " + keyFile + " names"
	}
	talk := c.outside(ctx, nil)
	found, err := oauth.CredentialsFromJSONWithType(context.WithValue(ctx, oauth2.HTTPClient, talk.client()), text, key.Type, "https://www.googleapis.com/auth/cloud-platform")
	if err != nil {
		return account{}, missing("the file that "+keyFile+" names is no key", fix)
	}
	token, err := found.TokenSource.Token()
	switch {
	case err == nil:
		return account{googleUser, token.AccessToken, as}, nil
	case talk.failed == nil && talk.status == 0:
		return account{}, missing("the key in the file that "+keyFile+" names cannot be used", fix)
	}
	return account{}, talk.problem(oauthCode(talk.body), meaning{failure.Unauthorized, "see whether the key was deleted or its account disabled, and that the clock is right"}, "let the proxy and firewalls pass it")
}

// oauthCode is the code of an error of a token endpoint (RFC 6749, section 5.2).
func oauthCode(body []byte) string {
	var found struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &found) // what is no JSON has no code
	return found.Error
}
