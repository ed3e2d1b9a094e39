package scenario_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// Registries of the clouds.
const (
	ecrHost     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
	ecrFIPSHost = "210987654321.dkr.ecr-fips.us-east-1.amazonaws.com"
	ecrDualHost = "123456789012.dkr-ecr.eu-central-1.on.aws"
	ecrHub      = "public.ecr.aws"
	garHost     = "europe-west3-docker.pkg.dev"
	acrHost     = "tracebloc.azurecr.io"

	stsHost    = "sts.eu-central-1.amazonaws.com"
	ecrAPI     = "api.ecr.eu-central-1.amazonaws.com"
	entraHost  = "login.microsoftonline.com"
	googleHost = "oauth2.googleapis.com"
)

// cloud is a scenario with a private image at a registry of a cloud's, and the services of that cloud.
type cloud struct {
	*harness.Scenario
	services *registries.Cloud
	registry *registries.Registry
	host     string
}

func (c *cloud) private() string { return c.host + "/team/private:1" }

// inCloud makes a scenario whose registry knows the identity, with the variables that the cloud gives to a pod: METADATA in them is
// where the metadata services are, TOKEN a file with the pod's token, KEY one with the key of an account.
func inCloud(t *testing.T, host string, env map[string]string) *cloud {
	t.Helper()
	c := &cloud{Scenario: environment.Scenario(t), host: host}
	c.services = c.Site.Cloud(stsHost, "sts.us-east-1.amazonaws.com", ecrAPI, "api.ecr-fips.us-east-1.amazonaws.com", "ecr.eu-central-1.api.aws", "api.ecr-public.us-east-1.amazonaws.com", entraHost, googleHost)
	store := registries.NewStore(t.Context())
	user, handler := registries.AmazonUser, http.Handler(nil)
	switch host {
	case garHost:
		c.registry, user = registries.NewTokenRegistry(store, "https://"+host+"/v2/token"), registries.GoogleUser
	case acrHost:
		c.registry, user = registries.NewACR(store, host), registries.MicrosoftUser
		handler = c.services.Exchanger(c.registry)
	case ecrHub:
		c.registry = registries.NewECRPublic(store, http.StatusBadRequest)
	default:
		c.registry = registries.NewECR(store, host)
	}
	if handler == nil {
		handler = c.registry
	}
	c.Site.Add(host, store, handler, host)
	c.registry.SetPrivate("team/private", true)
	c.registry.AddAccount(user, registries.CloudAccount, "team/private", "team/other")
	c.Push(c.private(), image("first"))
	for name, value := range env {
		value = strings.ReplaceAll(value, "METADATA", c.Site.Metadata())
		for file, content := range map[string]string{"TOKEN": registries.PodToken, "KEY": googleKey(t, value)} {
			if value == file {
				value = filepath.Join(t.TempDir(), file)
				require.NoError(t, os.WriteFile(value, []byte(content), 0o600))
			}
		}
		c.Setenv(name, value)
	}
	return c
}

// googleKey is the key file of an account, where one is wanted.
func googleKey(t *testing.T, wanted string) string {
	t.Helper()
	if wanted != "KEY" {
		return ""
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	file, err := json.Marshal(map[string]string{"type": "service_account", "client_email": registries.PodAccount, "private_key": string(text), "token_uri": "https://" + googleHost + "/token"})
	require.NoError(t, err)
	return string(file)
}

// logins are the questions to the cloud's own services so far.
func (c *cloud) logins() (hosts []string) {
	for _, call := range c.Site.Front.Calls(nil) {
		if call.Host != c.host || call.Path == "/oauth2/exchange" {
			hosts = append(hosts, call.Host)
		}
	}
	return hosts
}

// The variables that clouds give to a pod.
var (
	irsa        = map[string]string{"AWS_ROLE_ARN": registries.PodRole, "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN", "AWS_REGION": "eu-central-1"}
	podIdentity = map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://METADATA/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "TOKEN"}
	ec2Node     = map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://METADATA"}
	gke         = map[string]string{"GCE_METADATA_HOST": "METADATA"}
	keyFile     = map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": "KEY"}
	aks         = map[string]string{"AZURE_CLIENT_ID": registries.PodClient, "AZURE_TENANT_ID": registries.PodTenant, "AZURE_FEDERATED_TOKEN_FILE": "TOKEN", "AZURE_AUTHORITY_HOST": "https://" + entraHost + "/"}
	azureNode   = map[string]string{"IDENTITY_ENDPOINT": "http://METADATA/msi/token", "IDENTITY_HEADER": "header"}
)

// Private images of clouds' registries resolve, and are refreshed, with the identity that the pod has, and no configuration: one
// login a registry and tick, at the registry's own region, through the proxy but for metadata services.
func TestCloudIdentities(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		host   string
		env    map[string]string
		logins []string // what is asked, in order
		as     string
	}{
		"IRSA":                             {ecrHost, irsa, []string{stsHost, ecrAPI}, registries.PodRole},
		"EKS Pod Identity":                 {ecrHost, podIdentity, []string{"METADATA", ecrAPI}, "the role of its Pod Identity association"},
		"a node of EC2":                    {ecrHost, ec2Node, []string{"METADATA", "METADATA", "METADATA", ecrAPI}, "the node's role"},
		"FIPS, another account and region": {ecrFIPSHost, irsa, []string{stsHost, "api.ecr-fips.us-east-1.amazonaws.com"}, registries.PodRole},
		"dual stack":                       {ecrDualHost, podIdentity, []string{"METADATA", "ecr.eu-central-1.api.aws"}, "the role of its Pod Identity association"},
		"ECR Public":                       {ecrHub, irsa, []string{stsHost, "api.ecr-public.us-east-1.amazonaws.com"}, registries.PodRole},
		"GKE":                              {garHost, gke, []string{"METADATA"}, registries.PodAccount},
		"a key file":                       {garHost, keyFile, []string{googleHost}, registries.PodAccount},
		"AKS":                              {acrHost, aks, []string{entraHost, entraHost, acrHost}, registries.PodClient},
		"a node of Azure":                  {acrHost, azureNode, []string{"METADATA", acrHost}, registries.PodClient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := inCloud(t, row.host, row.env)
			c.Push(c.host+"/team/other:1", image("other"))
			c.registry.SetPrivate("team/other", true)
			watch(c.Scenario, map[string]pull{"app": {image: c.private()}, "other": {image: c.host + "/team/other:1"}})
			harness.RequireExit(t, 0, c.Tick())
			latest := c.Push(c.private(), image("second"))
			c.Forget()
			result := c.Tick()
			harness.RequireExit(t, 0, result)
			requireTarget(t, result, "app", latest, "")
			outcomeOf(t, result, "app", "app", "refreshed", "")
			assert.Empty(t, warnings(t, result))
			var wanted []string
			for _, host := range row.logins {
				wanted = append(wanted, strings.ReplaceAll(host, "METADATA", c.Site.Metadata()))
			}
			assert.Equal(t, wanted, c.logins(), "one login, of two images")
			assert.Empty(t, c.Site.Proxy.Connects(c.Site.Metadata()), "metadata is asked directly")

			checked := c.Run("check")
			line := checkAbout(t, checked, "credential", c.host)
			assert.Equal(t, "ok", line.Status, line.Message)
			assert.Contains(t, line.Subject, row.as)
		})
	}
}

// checkAbout is the one line of a check about a subject.
func checkAbout(t *testing.T, result *product.Result, check, subject string) product.Check {
	t.Helper()
	var found []product.Check
	for _, line := range result.Report.Checks {
		if line.Check == check && strings.Contains(line.Subject, subject) {
			found = append(found, line)
		}
	}
	require.Len(t, found, 1, "%s %s in %s", check, subject, result.Stdout)
	return found[0]
}

// Where there is no identity, or none that may pull, an image that is not served without one says what is missing, and where.
func TestCloudIdentityCauses(t *testing.T) {
	t.Parallel()
	xml := func(code string) string {
		return "<ErrorResponse><Error><Code>" + code + "</Code></Error></ErrorResponse>"
	}
	without := func(from map[string]string, names ...string) map[string]string {
		left := maps.Clone(from)
		for _, name := range names {
			delete(left, name)
		}
		return left
	}
	with := func(from map[string]string, name, value string) map[string]string {
		more := maps.Clone(from)
		more[name] = value
		return more
	}
	for name, row := range map[string]struct {
		host   string
		env    map[string]string
		at     string // where the answer is another
		answer faultinject.Action
		cause  string
		says   []string
	}{
		"AWS: no role at all":          {ecrHost, ec2Node, "METADATA", faultinject.Reply(404, ""), "credential-missing", []string{"eks.amazonaws.com/role-arn", "Pod Identity association"}},
		"AWS: half of IRSA":            {ecrHost, with(ec2Node, "AWS_ROLE_ARN", registries.PodRole), "METADATA", faultinject.Reply(404, ""), "credential-missing", []string{"AWS_WEB_IDENTITY_TOKEN_FILE is not"}},
		"AWS: no token":                {ecrHost, with(irsa, "AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"), "", nil, "credential-missing", []string{"AWS_WEB_IDENTITY_TOKEN_FILE"}},
		"AWS: silent metadata":         {ecrHost, ec2Node, "METADATA", faultinject.Hang(), "timeout", []string{"no answer from the source of the cloud identity, METADATA within 2s", "hop limit", "role-arn", "pull secret"}},
		"AWS: unreachable metadata":    {ecrHost, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}, "", nil, "connection-refused", []string{"127.0.0.1:1", "role-arn"}},
		"AWS: not trusted":             {ecrHost, irsa, stsHost, faultinject.Reply(403, xml("AccessDenied")), "forbidden", []string{stsHost, "sts:AssumeRoleWithWebIdentity", registries.PodRole}},
		"AWS: expired":                 {ecrHost, irsa, stsHost, faultinject.Reply(400, xml("ExpiredTokenException")), "unauthorized", []string{stsHost, "400 (ExpiredTokenException)", "OIDC provider"}},
		"AWS: STS hangs":               {ecrHost, with(irsa, "RESOLVE_TIMEOUT", "4s"), stsHost, faultinject.Hang(), "timeout", []string{stsHost + ":443"}},
		"AWS: may not log in":          {ecrHost, irsa, ecrAPI, faultinject.Reply(400, `{"__type":"com.amazonaws.ecr#AccessDeniedException"}`), "forbidden", []string{ecrAPI, "ecr:GetAuthorizationToken"}},
		"AWS: throttled":               {ecrHost, irsa, ecrAPI, faultinject.Reply(400, `{"__type":"ThrottlingException"}`), "rate-limited", []string{ecrAPI}},
		"AWS: its own trouble":         {ecrHost, irsa, ecrAPI, faultinject.Reply(500, ""), "server-error", []string{ecrAPI}},
		"AWS: no association":          {ecrHost, podIdentity, "METADATA", faultinject.Reply(404, ""), "credential-missing", []string{"Pod Identity association"}},
		"AWS: association not trusted": {ecrHost, podIdentity, "METADATA", faultinject.Reply(400, `{"code":"AccessDeniedException"}`), "forbidden", []string{"pods.eks.amazonaws.com"}},
		"AWS: may not pull":            {ecrHost, irsa, "RIGHTS", nil, "forbidden", []string{registries.PodRole, "ecr:BatchGetImage"}},
		"Google: no account":           {garHost, gke, "METADATA", faultinject.Reply(404, ""), "credential-missing", []string{"iam.gke.io/gcp-service-account"}},
		"Google: not bound":            {garHost, gke, "METADATA", faultinject.Reply(403, "", "Metadata-Flavor", "Google"), "forbidden", []string{"roles/iam.workloadIdentityUser"}},
		"Google: silent metadata":      {garHost, gke, "METADATA", faultinject.Hang(), "timeout", []string{"METADATA within 10s"}},
		"Google: a dead key":           {garHost, keyFile, googleHost, faultinject.Reply(400, `{"error":"invalid_grant"}`), "unauthorized", []string{googleHost, "invalid_grant"}},
		"Google: no key":               {garHost, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere"}, "", nil, "credential-missing", []string{"GOOGLE_APPLICATION_CREDENTIALS"}},
		"Google: may not pull":         {garHost, gke, "RIGHTS", nil, "forbidden", []string{"roles/artifactregistry.reader"}},
		"Azure: no annotation":         {acrHost, without(aks, "AZURE_CLIENT_ID"), "", nil, "credential-missing", []string{"azure.workload.identity/client-id"}},
		"Azure: no federation":         {acrHost, aks, entraHost, faultinject.Reply(400, `{"error":"invalid_request","error_description":"AADSTS700213: no match","error_codes":[700213]}`), "credential-missing", []string{"federated credential", registries.PodClient}},
		"Azure: no identity":           {acrHost, azureNode, "METADATA", faultinject.Reply(400, `{"error":"invalid_request"}`), "credential-missing", []string{`azure.workload.identity/use: "true"`}},
		"Azure: silent metadata":       {acrHost, azureNode, "METADATA", faultinject.Hang(), "timeout", []string{"METADATA within 2s"}},
		"Azure: another tenant":        {acrHost, aks, "EXCHANGE", faultinject.Reply(401, ""), "unauthorized", []string{acrHost, "tenant"}},
		"Azure: may not pull":          {acrHost, aks, "RIGHTS", nil, "forbidden", []string{registries.PodClient, "AcrPull", "Repository Reader"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := inCloud(t, row.host, row.env)
			metadata := c.Site.Metadata()
			switch row.at {
			case "":
			case "RIGHTS":
				for _, user := range []string{registries.AmazonUser, registries.GoogleUser, registries.MicrosoftUser} {
					c.registry.AddAccount(user, registries.CloudAccount)
				}
			case "EXCHANGE":
				inject(c.Scenario, func(call registries.Call) bool { return call.Path == "/oauth2/exchange" }, row.answer)
			default:
				inject(c.Scenario, registries.At(strings.ReplaceAll(row.at, "METADATA", metadata)), row.answer)
			}
			watch(c.Scenario, map[string]pull{"app": {image: c.private()}})
			result := c.Tick()
			harness.RequireExit(t, 0, result)
			requireTarget(t, result, "app", "", row.cause, "the cloud identity", c.private())
			message := result.Report.Target("app").Message
			for _, text := range row.says {
				assert.Contains(t, message, strings.ReplaceAll(text, "METADATA", metadata))
			}
			line := checkAbout(t, c.Run("check"), "credential", c.host)
			assert.Equal(t, row.at != "RIGHTS", line.Status == "failed" && line.Cause == row.cause, "%s: %s", line.Status, line.Message)
		})
	}
}

// A metadata service of Google's that says nothing to a new pod, or refuses it, for its first five seconds is asked again.
func TestCloudIdentityOfANewPod(t *testing.T) {
	t.Parallel()
	c := inCloud(t, garHost, gke)
	begun := time.Now()
	inject(c.Scenario, func(call registries.Call) bool {
		return call.Host == c.Site.Metadata() && time.Since(begun) < 5*time.Second
	}, faultinject.Hang())
	watch(c.Scenario, map[string]pull{"app": {image: c.private()}})
	begun = time.Now()
	result := c.Tick()
	harness.RequireExit(t, 0, result)
	requireTarget(t, result, "app", digestAt(t, c), "")
}

func digestAt(t *testing.T, c *cloud) string {
	t.Helper()
	digest, err := c.Site.Digest(c.private())
	require.NoError(t, err)
	return digest
}

// I78: what is served to anybody waits for no identity, and needs none. I77: a host that only ends like a cloud's is asked as nobody,
// and so is one whose identity is turned off, that has no TLS, or that a pull secret is for.
func TestI77I78NoIdentityWhereNoneIsNeeded(t *testing.T) {
	t.Parallel()
	t.Run("public", func(t *testing.T) {
		t.Parallel()
		c := inCloud(t, garHost, gke)
		inject(c.Scenario, registries.At(c.Site.Metadata()), faultinject.Hang())
		c.registry.SetPrivate("team/private", false)
		watch(c.Scenario, map[string]pull{"app": {image: c.private()}})
		result := c.Tick()
		harness.RequireExit(t, 0, result)
		requireTarget(t, result, "app", digestAt(t, c), "")
		assert.Empty(t, warnings(t, result))
		assert.Less(t, result.Report.DurationSeconds, 10.0, "that the metadata service would be waited for")
		checked := c.Run("check")
		line := checkAbout(t, checked, "credential", garHost)
		assert.Equal(t, "ok", line.Status)
		assert.Contains(t, line.Message, "none is needed")
	})
	for name, row := range map[string]struct {
		host, first string
		env         map[string]string
		secret      bool
	}{
		"another's host":        {"evilgcr.io", "", gke, false},
		"turned off":            {ecrHost, "cloudIdentity: false", irsa, false},
		"turned off for a host": {ecrHost, "registries: [{host: " + ecrHost + ", cloudIdentity: false}]", irsa, false},
		"a pull secret":         {ecrHost, "", irsa, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := inCloud(t, row.host, row.env)
			p := pull{image: c.private()}
			if row.secret {
				mount(t, c.Scenario, "dead", entries{row.host: {registries.AmazonUser, "password-of-yesterday"}})
				p.secrets = []string{"dead"}
			}
			watch(c.Scenario, map[string]pull{"app": p}, row.first)
			result := c.Tick()
			harness.RequireExit(t, 0, result)
			assert.NotEmpty(t, result.Report.Target("app").Cause)
			assert.Empty(t, c.logins())
		})
	}
}

// A registry of Microsoft's with ABAC repository permissions refuses a token for several repositories: each is asked with its own.
func TestCloudIdentityWithABAC(t *testing.T) {
	t.Parallel()
	c := inCloud(t, acrHost, aks)
	inject(c.Scenario, func(call registries.Call) bool {
		return call.Host == acrHost && call.Stage == registries.Token && len(call.Scopes) > 1
	}, faultinject.Reply(400, `{"errors":[{"code":"UNSUPPORTED"}]}`))
	c.registry.SetPrivate("team/other", true)
	c.Push(acrHost+"/team/other:1", image("other"))
	watch(c.Scenario, map[string]pull{"app": {image: c.private()}, "other": {image: acrHost + "/team/other:1"}})
	result := c.Tick()
	harness.RequireExit(t, 0, result)
	for _, target := range result.Report.Targets {
		assert.Empty(t, target.Cause, target.Message)
	}
	shared := c.Site.Front.Calls(func(call registries.Call) bool { return len(call.Scopes) > 1 && call.Scheme == "Basic" })
	assert.NotEmpty(t, shared, "one token for both was tried")
}

// A password of ECR says itself when it ends, after twelve hours, and so does a JWT: a refusal says so, and a check warns a day before.
func TestCloudPasswordsThatEnd(t *testing.T) {
	t.Parallel()
	ecrPassword := func(end time.Duration) string {
		return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"payload":"secret","version":"2","type":"DATA_KEY","expiration":%d}`, time.Now().Add(end).Unix()))
	}
	jwt := "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(time.Hour).Unix())) + ".c2lnbmVk"
	c := inCloud(t, ecrHost, nil)
	pulls := map[string]pull{}
	for name, password := range map[string]string{"dead": ecrPassword(-time.Hour), "ending": ecrPassword(6 * time.Hour), "jwt": jwt, "lasting": ecrPassword(72 * time.Hour)} {
		user := registries.AmazonUser + "-" + name
		mount(t, c.Scenario, name, entries{ecrHost: {user, password}})
		if name != "dead" {
			c.registry.AddAccount(user, password, "team/private")
		}
		pulls[name] = pull{image: c.private(), secrets: []string{name}}
	}
	watch(c.Scenario, pulls)
	result := c.Tick()
	requireTarget(t, result, "dead", "", "forbidden", "the password ended at ", "twelve hours")
	checked := c.Run("check")
	assert.Equal(t, "failed", checkAbout(t, checked, "credential", "/dead ").Status)
	var ending []string
	for _, line := range checked.Report.Checks {
		if line.Status == "warning" && line.Check == "credential" {
			assert.Contains(t, line.Message, "ends at ")
			ending = append(ending, strings.Fields(line.Subject)[2])
		}
	}
	slices.Sort(ending)
	assert.Equal(t, []string{c.Namespace + "/ending", c.Namespace + "/jwt"}, ending)
}
