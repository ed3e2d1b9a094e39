package registries

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Cloud answers as the services of Amazon, Google and Microsoft do from which a
// registry's password comes: STS, ECR, the EKS Pod Identity agent, the metadata
// services, and the token endpoints. It tells them apart by path and header, as
// each has its own. What it wants to see is what PodToken and the names of
// roles say; all that it issues is secret, and never to be printed.
type Cloud struct {
	secrets
	mu     sync.Mutex
	issued int
}

// What a pod is given by its cloud, and what registries give in exchange.
const (
	PodToken     = "projected-token-of-the-pod"
	PodRole      = "arn:aws:iam::123456789012:role/image-refresh"
	PodAccount   = "image-refresh@example.iam.gserviceaccount.com"
	PodClient    = "1b2c3d4e-0000-4000-8000-000000000001"
	PodTenant    = "1b2c3d4e-0000-4000-8000-00000000000f"
	CloudAccount = "password-of-the-cloud-identity"
)

// The accounts under which registries know an identity.
const (
	AmazonUser    = "AWS"
	GoogleUser    = "oauth2accesstoken"
	MicrosoftUser = "00000000-0000-0000-0000-000000000000"
)

// Metadata is where the metadata services are: the front's plain port, at an
// address that leads to this machine and that Go, unlike 127.0.0.1, would ask
// through a proxy.
func (s *Site) Metadata() string {
	return strings.Replace(s.Front.PlainAddr(), "127.0.0.1", "0.0.0.0", 1)
}

// Cloud puts the services of clouds onto the site: at some hosts, and where the
// metadata services are.
func (s *Site) Cloud(hosts ...string) *Cloud {
	c := &Cloud{}
	c.keep(PodToken)
	c.keep(CloudAccount)
	s.mu.Lock()
	s.handlers = append(s.handlers, c)
	s.mu.Unlock()
	for _, host := range append(hosts, s.Metadata()) {
		s.Front.Handle(host, c)
	}
	return c
}

// Exchanger puts the exchange of a registry of Microsoft's before the registry.
func (c *Cloud) Exchanger(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth2/exchange" {
			c.ServeHTTP(w, r)
		} else {
			registry.ServeHTTP(w, r)
		}
	})
}

// secret is a new one.
func (c *Cloud) secret(of string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issued++
	issued := fmt.Sprintf("%s-that-a-cloud-issued-%d", of, c.issued)
	c.keep(issued)
	return issued
}

// scopeOfKeys is the region and service that a signature is for.
var scopeOfKeys = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=ASIA[A-Z]+/\d{8}/([a-z0-9-]+)/(ecr|ecr-public)/aws4_request, SignedHeaders=[a-z0-9;-]*x-amz-security-token[a-z0-9;-]*, Signature=[0-9a-f]{64}$`)

func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	login := base64.StdEncoding.EncodeToString([]byte(AmazonUser + ":" + CloudAccount))
	c.keep(login)
	keys := map[string]any{
		"Code": "Success", "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": c.secret("secret-key"), "Token": c.secret("session-token"),
		"Expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
	}
	token := map[string]any{"access_token": CloudAccount, "expires_in": 3600, "token_type": "Bearer"}
	entra := map[string]any{"access_token": "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"appid":"`+PodClient+`"}`)) + ".c2lnbmVk", "expires_in": "3600", "token_type": "Bearer", "expires_on": fmt.Sprint(time.Now().Add(time.Hour).Unix())}
	c.keep(fmt.Sprint(entra["access_token"]))
	scope := scopeOfKeys.FindStringSubmatch(r.Header.Get("Authorization"))
	signed := scope != nil && (strings.Contains(r.Host, "."+scope[1]+"."))
	google := r.Header.Get("Metadata-Flavor") == "Google"
	switch target, path := r.Header.Get("X-Amz-Target"), r.URL.Path; {
	case r.Form.Get("Action") == "AssumeRoleWithWebIdentity" && r.Form.Get("WebIdentityToken") == PodToken && r.Form.Get("RoleArn") == PodRole:
		_, _ = fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
			keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"])
	case target == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" && signed && scope[2] == "ecr":
		reply(w, map[string]any{"authorizationData": []any{map[string]any{"authorizationToken": login, "proxyEndpoint": "https://123456789012.dkr.ecr.us-east-1.amazonaws.com"}}})
	case target == "SpencerFrontendService.GetAuthorizationToken" && signed && scope[2] == "ecr-public":
		reply(w, map[string]any{"authorizationData": map[string]any{"authorizationToken": login}})
	case path == "/v1/credentials" && r.Header.Get("Authorization") == PodToken:
		reply(w, keys)
	case path == "/latest/api/token" && r.Method == http.MethodPut:
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
		_, _ = fmt.Fprint(w, c.secret("metadata-token"))
	case path == "/latest/meta-data/iam/security-credentials/" && r.Header.Get("X-Aws-Ec2-Metadata-Token") != "":
		_, _ = fmt.Fprint(w, "nodes")
	case path == "/latest/meta-data/iam/security-credentials/nodes":
		reply(w, keys)
	case path == "/computeMetadata/v1/instance/service-accounts/default/token" && google:
		w.Header().Set("Metadata-Flavor", "Google")
		reply(w, token)
	case path == "/computeMetadata/v1/instance/service-accounts/default/email" && google:
		_, _ = fmt.Fprint(w, PodAccount)
	case path == "/token" && r.Form.Get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer":
		reply(w, token)
	case strings.HasSuffix(path, "/.well-known/openid-configuration"):
		at := "https://" + r.Host + "/" + PodTenant
		reply(w, map[string]any{"issuer": at + "/v2.0", "authorization_endpoint": at + "/authorize", "token_endpoint": at + "/oauth2/v2.0/token"})
	case strings.HasSuffix(path, "/oauth2/v2.0/token") && r.Form.Get("client_assertion") == PodToken && r.Form.Get("client_id") == PodClient:
		entra["expires_in"] = 3600
		reply(w, entra)
	case path == "/metadata/identity/oauth2/token" && r.Header.Get("Metadata") == "true", path == "/msi/token" && r.Header.Get("X-Identity-Header") != "":
		reply(w, entra)
	case path == "/oauth2/exchange" && r.Form.Get("access_token") == entra["access_token"] && r.Form.Get("service") == r.Host:
		reply(w, map[string]any{"refresh_token": CloudAccount})
	default:
		http.Error(w, "{}", http.StatusNotFound)
	}
}

func reply(w http.ResponseWriter, value map[string]any) {
	text, _ := json.Marshal(value) // of strings and numbers
	_, _ = w.Write(text)
}
